"""Files that a kill at any moment leaves whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["cut_torn_line", "replacing"]

_BLOCK = 1 << 16


def cut_torn_line(file: IO[bytes]) -> None:
    r"""Cut off what a kill has left of a last line: it was never finished.

    Args:
        file: A file of lines, open to be read and written; it is left at its end.

    Example:
        >>> from io import BytesIO
        >>> file = BytesIO(b"a whole line\nhalf a l")
        >>> cut_torn_line(file)
        >>> file.getvalue()
        b'a whole line\n'
    """
    end = size = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        file.truncate(end)
    file.seek(0, os.SEEK_END)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file aside; it takes its place at one stroke, so that a kill leaves the old one or the new one.

    Args:
        path: The file.

    Yields:
        Where to write meanwhile. Where the block raises, the old file stays.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "facts.json"
        >>> with replacing(path) as aside:
        ...     _ = aside.write_text("{}")
        >>> path.read_text()
        '{}'
    """
    aside = path.with_name(f"{path.name}.partial")
    yield aside
    aside.replace(path)
