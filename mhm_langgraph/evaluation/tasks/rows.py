"""Rows of a published file, read one at a time: a file of long contexts may be a gigabyte."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mhm_langgraph import SettingsError

__all__ = ["Rows", "open_rows"]

# Whole strings are skipped in one go, so that only braces outside them are seen.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}]', re.DOTALL)

Rows = Sequence[Mapping[str, Any]]


def open_rows(path: Path) -> Rows:
    """The rows of a `.json` (one array), `.jsonl` or `.parquet` file.

    Args:
        path: The file.

    Returns:
        The rows; of JSON files only the one that is asked for is in memory.

    Raises:
        SettingsError: It is none of these, or can not be read, or holds no row.
    """
    try:
        found = path.stat()
        rows = _opened(path, found.st_mtime_ns, found.st_size)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{str(path)!r} can not be read: {error!s:.200}.") from error
    if not rows:
        raise SettingsError(f"{str(path)!r} holds no row: a list of JSON objects is needed.")
    return rows


@lru_cache(maxsize=32)
def _opened(path: Path, changed: int, size: int) -> Rows:
    if size == 0:
        return ()
    return _parquet(path) if path.suffix == ".parquet" else _JsonRows(path)


class _JsonRows(Sequence[Mapping[str, Any]]):
    """The outermost objects of a JSON or JSON lines file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            self._spans = list(_objects(content))

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        start, end = self._spans[index]
        with self._path.open("rb") as file:
            file.seek(start)
            content = file.read(end - start)
        try:
            return json.loads(content)
        except ValueError as error:
            raise SettingsError(f"row {index} of {self._path.name} is not JSON: {error!s:.200}.") from error


def _objects(content: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Where each outermost object begins and ends, in bytes."""
    depth, start = 0, 0
    for token in _TOKEN.finditer(content):
        if token[0] == b"{":
            start = start if depth else token.start()
            depth += 1
        elif token[0] == b"}":
            depth -= 1
            if depth == 0:
                yield start, token.end()


def _parquet(path: Path) -> Rows:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise SettingsError(
            f'{path.name} needs a package that reads parquet: pip install "mhm-langgraph[batch]"'
        ) from error
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows
