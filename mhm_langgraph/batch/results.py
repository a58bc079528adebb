"""Results: a row a job, in a file that is only added to, so that a kill can tear its last line at most."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from typing_extensions import TypedDict

from mhm_langgraph import Exited, Head, SettingsError, Usage
from mhm_langgraph.files import cut_torn_line, replacing

__all__ = ["ResultRow", "ResultsFile", "can_go_on", "write_parquet"]

_HEADS = b', "heads": '
"""Begins the last and longest value of a line. No text can hold it: quotes inside are escaped."""
_ROWS_A_GROUP = 1000  # of a Parquet file


class ResultRow(TypedDict):
    """What became of a job."""

    id: str
    """The job's id, as text."""
    thread: str
    """The thread it was run on."""
    error: str | None
    """Why it failed: the kind of error and a sentence. None where it did not."""
    seconds: float
    """What the run that finished it spent on it, waiting for the model included."""
    steps: int
    """Chunks read."""
    exited: Exited | None
    """With `exit_gate`: how much of the text was read where its end was not; else None."""
    usage: Usage
    """What its model calls cost, over all runs."""
    answer: str | None
    """The answer; None where none was asked for, or where it failed."""
    heads: list[Head]
    """The memory at the end, each head with its span."""


def can_go_on(error: str | None) -> bool:
    """Whether a job that failed can go on where it stopped: the text and the settings are as they were.

    Example:
        >>> can_go_on("ReaderError: the server is down"), can_go_on("SourceError: no such file")
        (True, False)
    """
    return error is not None and error.startswith(("ReaderError:", "WorkerLost:"))


class ResultsFile:
    """The file of results. One line is one job, written at one stroke and never changed.

    Args:
        path: The file; made if need be. A last line that a kill has torn is taken away.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] = path.open("ab+", buffering=0)
        cut_torn_line(self._file)

    def append(self, rows: Sequence[ResultRow]) -> None:
        """Write rows, and return when they are on disk.

        Raises:
            SettingsError: The disk does not take them; none of them is in the file then.
        """
        before = self._file.seek(0, os.SEEK_END)
        left = memoryview(b"".join(map(_line, rows)))
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(before)
            raise SettingsError(
                f"{self.path} can not be written: {error.strerror}. Make room; the same command goes on."
            ) from error

    def summaries(self) -> Iterator[dict[str, Any]]:
        """The rows without their heads, which are most of a line's bytes."""
        for number, line in self._lines():
            head, found, _ = line.partition(_HEADS)
            yield self._parsed(head + b"}" if found else line, number)

    def rows(self) -> Iterator[ResultRow]:
        """The rows."""
        for number, line in self._lines():
            yield self._parsed(line, number)

    def drop(self, unwanted: Callable[[dict[str, Any]], bool]) -> int:
        """Take rows away: the others are written to a new file, which takes this one's place at one stroke.

        Args:
            unwanted: Whether a row, without its heads, is to go.

        Returns:
            How many have gone.
        """
        dropped = 0
        with replacing(self.path) as aside, aside.open("wb") as file:
            for (_, line), row in zip(self._lines(), self.summaries(), strict=True):
                if unwanted(row):
                    dropped += 1
                else:
                    file.write(line)
            file.flush()
            os.fsync(file.fileno())
            self._file.close()
        self._file = self.path.open("ab+", buffering=0)
        return dropped

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with self.path.open("rb") as file:
            yield from enumerate(file, 1)

    def _parsed(self, line: bytes, number: int) -> Any:
        try:
            row = json.loads(line)
            return {**row, "thread": row["thread"], "usage": row["usage"], "error": row["error"]}
        except (ValueError, KeyError, TypeError):
            raise SettingsError(
                f"line {number} of {self.path} is no result of a batch: put the file back as it was, or use "
                "another --out."
            ) from None


def _line(row: ResultRow) -> bytes:
    """A row as a line of JSON, its heads last."""
    ordered = {name: row[name] for name in ResultRow.__annotations__}  # type: ignore[literal-required]
    try:
        return json.dumps(ordered, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair in a reply: escaped, it can be written
        return json.dumps(ordered).encode() + b"\n"


def write_parquet(results: ResultsFile, path: Path) -> None:
    """Write all results as a Parquet file, in groups of rows, at one stroke.

    Args:
        results: The results.
        path: The file; one that is there is replaced.

    Raises:
        SettingsError: pyarrow is not installed, or the disk does not take the file.
    """
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ModuleNotFoundError as error:
        raise SettingsError('Parquet files need their extra: pip install "mhm-langgraph[batch]"') from error
    schema = _schema(pa)
    try:
        with replacing(path) as aside, ParquetWriter(aside, schema, compression="zstd") as writer:
            for rows in _groups(results.rows(), _ROWS_A_GROUP):
                writer.write_table(_table(pa, rows, schema))
    except OSError as error:
        raise SettingsError(
            f"{path} can not be written: {error}. All results are in {results.path}."
        ) from error


def _groups(rows: Iterator[ResultRow], size: int) -> Iterator[list[ResultRow]]:
    while group := list(islice(rows, size)):
        yield group


def _table(pa: Any, rows: list[ResultRow], schema: Any) -> Any:
    """Rows as Parquet writes them: half a surrogate pair, which it can not hold, becomes a question mark."""
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except UnicodeEncodeError:
        text = json.dumps(rows, ensure_ascii=False).encode("utf-8", "replace")
        return pa.Table.from_pylist(json.loads(text), schema=schema)


def _schema(pa: Any) -> Any:
    """The columns of a result, in the row's own order."""
    count, text = pa.int64(), pa.string()
    head = [
        ("text", text),
        ("updated_at", count),
        ("span", pa.list_(count)),
        ("source", text),
        ("tokens", count),
        ("selected", pa.bool_()),
        ("unsupported", pa.list_(text)),
        ("archived", text),
    ]
    usage = [(name, count) for name in ("input_tokens", "output_tokens", "calls")]
    return pa.schema(
        [
            ("id", text),
            ("thread", text),
            ("error", text),
            ("seconds", pa.float64()),
            ("steps", count),
            ("exited", pa.struct([("read", count), ("total", count)])),
            ("usage", pa.struct(usage)),
            ("answer", text),
            ("heads", pa.list_(pa.struct(head))),
        ]
    )
