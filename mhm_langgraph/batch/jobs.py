"""Jobs: what is asked of which text. Read lazily, one at a time, from JSONL, CSV or Parquet."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, TextIO

from mhm_langgraph import SettingsError

__all__ = ["COLUMNS", "Job", "digest", "jobs_format", "read_jobs"]

COLUMNS = ("id", "source", "document", "question")
"""What is read of a row; whatever else it holds is the user's own."""

_LONGEST_ID = 200  # characters
_ROWS_AT_ONCE = 64  # of a Parquet file: each may hold a document


@dataclass(frozen=True)
class Job:
    """One question about one text.

    Args:
        id: Its name among the jobs.
        question: What to answer; None to read only.
        source: The text by name, below the root; several are read one after the other.
        document: The text itself.
        place: Where it stands in its file, for people.
        problem: What is wrong with it, so that it can not be run.
    """

    id: str
    question: str | None = None
    source: str | list[str] | None = None
    document: str | None = None
    place: str = ""
    problem: str | None = None

    @cached_property
    def thread(self) -> str:
        """The thread it is run on: its id, and a fingerprint of all that is asked.

        A job that was changed gets another thread, so that it never goes on from what was read for the
        old one.

        Example:
            >>> Job("a", "Who?", "book.txt").thread
            'a:9c54944727aa28220b8ddf214336d028'
        """
        asked = json.dumps([self.id, self.question, self.source, self.document])
        return f"{self.id}:{blake2b(asked.encode(), digest_size=16).hexdigest()}"

    @property
    def given(self) -> dict[str, Any]:
        """The graph's input."""
        return {"question": self.question, "source": self.source, "document": self.document}


def digest(text: str) -> int:
    """A text as 64 bits: a million of them fit into 8 MB.

    Example:
        >>> digest("a") == digest("a") != digest("b")
        True
    """
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def jobs_format(path: Path) -> str:
    """`jsonl`, `csv` or `parquet`, by the file's name.

    Raises:
        SettingsError: It is none of these, or there is no such file.

    Example:
        >>> jobs_format(Path("missing.jsonl"))
        Traceback (most recent call last):
        mhm_langgraph.errors.SettingsError: JOBS missing.jsonl is not there: name a file of jobs.
    """
    if not path.is_file():
        raise SettingsError(f"JOBS {path} is not there: name a file of jobs.")
    name = path.name.lower().removesuffix(".gz")
    for kind, endings in _ENDINGS.items():
        if name.endswith(endings) and not (kind == "parquet" and path.name.lower().endswith(".gz")):
            return kind
    raise SettingsError(
        f"JOBS {path} is of no known format: name it .jsonl or .csv (.gz too), or .parquet, after what it is."
    )


_ENDINGS: dict[str, str | tuple[str, ...]] = {
    "jsonl": (".jsonl", ".ndjson"),
    "csv": ".csv",
    "parquet": ".parquet",
}


def read_jobs(path: str | Path) -> Iterator[Job]:
    """Read jobs lazily: as much is in memory as one row (of Parquet, some rows) takes.

    A job whose row has an id and nothing that can be run comes with its `problem`; a row without an id
    can not be told of in the results and ends the reading.

    Args:
        path: The file. JSONL and CSV may be packed by gzip (`.gz`).

    Yields:
        The jobs, in the file's order.

    Raises:
        SettingsError: The file can not be read, or a row has no id.
    """
    path = Path(path)
    rows = _READERS[jobs_format(path)]
    try:
        for place, row in rows(path):
            yield _job(row, place, path)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"JOBS {path} can not be read: {error}.") from error


def _job(row: Any, place: str, path: Path) -> Job:
    """A job from a row of its file."""
    if not isinstance(row, Mapping):
        raise SettingsError(f"{place} of {path} is no object with id, source or document, and question.")
    name = _id(row.get("id"), place, path)
    found = {name: value for name in COLUMNS[1:] if (value := row.get(name)) not in (None, "", [])}
    problem = _problem(found) or ("it has more cells than there are columns" if None in row else None)
    if problem is not None:
        return Job(name, place=place, problem=f"{place} can not be run: {problem}.")
    return Job(name, found.get("question"), found.get("source"), found.get("document"), place)


def _id(value: Any, place: str, path: Path) -> str:
    """An id as text: it becomes a thread's name and a row's key."""
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(name, str) and 0 < len(name) <= _LONGEST_ID and name.isprintable():
        return name
    raise SettingsError(
        f"{place} of {path} has the id {value!r:.80}: give each job a text of 1 to {_LONGEST_ID} printable "
        "characters, or a whole number, that no other job has."
    )


def _problem(found: Mapping[str, Any]) -> str | None:
    """What is wrong with a job's columns."""
    source = found.get("source")
    names = source if isinstance(source, list) else [source]
    if ("source" in found) == ("document" in found):
        return f"it has {'both' if source else 'neither'} source {'and' if source else 'nor'} document"
    if source is not None and not all(isinstance(name, str) and name for name in names):
        return f"source={source!r:.80} is no name, nor a list of names"
    for name in ("document", "question"):
        if not isinstance(found.get(name, ""), str):
            return f"{name}={found[name]!r:.80} is no text"
    return None


def _jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    with _text(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield f"line {number}", json.loads(line)
            except ValueError as error:
                raise SettingsError(f"line {number} of JOBS {path} is not JSON: {error}.") from None


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a document is a cell; 128 kB is Python's own limit
    with _text(path) as lines:
        rows = csv.DictReader(lines, strict=True)
        _require_id(rows.fieldnames or [], path)
        for row in rows:
            yield f"line {rows.line_num}", row


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise SettingsError('Parquet files need their extra: pip install "mhm-langgraph[batch]"') from error
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            _require_id(names, path)
            columns, number = [name for name in COLUMNS if name in names], 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except pyarrow.ArrowException as error:
        raise SettingsError(f"JOBS {path} can not be read: {error}.") from error


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "parquet": _parquet,
}


def _require_id(columns: Any, path: Path) -> None:
    if "id" not in columns:
        raise SettingsError(
            f"JOBS {path} has the columns {', '.join(map(str, columns))[:200] or 'none'}: id is needed, and "
            "source or document, and question."
        )


def _text(path: Path) -> TextIO:
    """The file as text, unpacked; line ends are left as they are, for CSV's sake."""
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
