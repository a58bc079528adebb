"""Files, opened lazily: a file of 1 GB costs one chunk of memory."""

from __future__ import annotations

import codecs
import gzip
import stat
import sys
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import IO, BinaryIO

from mhm_langgraph.errors import SettingsError, SourceError, redact
from mhm_langgraph.sources.base import Budget, Chunk, Source, reported
from mhm_langgraph.sources.encodings import find_encoding, write_utf8

__all__ = ["FileSource", "Files", "OpenFiles"]

_BLOCK = 1 << 20  # bytes read at a time while a file is checked
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_FREE = 64 << 20  # bytes of text from .gz before its ratio is looked at
_GZIP_RATIO = 200  # text deflates 3 to 20 times; far beyond lies a decompression bomb
_OPEN_FILES = 64  # how many files an opener keeps ready
_UTF8_BOM = "\ufeff"


class FileSource(Source):
    """A text file, UTF-8 with or without BOM, another encoding (detected), plain or `.gz`.

    Its unit is the byte of UTF-8 text: for a plain UTF-8 file these are the file's own bytes.
    The whole file is checked once, in blocks, when it is opened, so that an undecodable byte near the
    end is found before the first model call. Other encodings and `.gz` are turned into a temporary
    UTF-8 file on disk. An encoding that is detected is a guess, a poor one for Hebrew, Hungarian and
    the Baltic languages: convert such files to UTF-8.

    Args:
        path: The file.
        name: What errors call it: the path, or what it was asked for by.

    Raises:
        SourceError: It is missing, empty, binary, a folder or not a regular file.
    """

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        self.path = Path(path)
        self.name = str(path) if name is None else name
        self._lock = threading.Lock()
        self._converted: IO[bytes] | None = None
        with reported(self.name, self.path):
            _require_regular(self.path, self.name)
            with self.path.open("rb") as file:
                zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
                file.seek(0)
                self.fingerprint = file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
                self.size = file.tell()
            encoding = find_encoding(self._blocks(zipped))
            if encoding is None:
                raise SourceError(f"{self.name} looks binary: name a text file.")
            if encoding != "utf-8" or zipped:
                self.size = self._convert(zipped, encoding)
        if self.size == 0 or (self.size == len(codecs.BOM_UTF8) and self._is_bom()):
            raise SourceError(f"{self.name} is empty: name a file that holds text.")

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        """Read the chunk at the cursor, as `Source.read`."""
        window = self._bytes(cursor, budget.window)
        if not window and cursor == self.size:
            return None
        more = cursor + len(window) < (self.size or 0)
        try:
            # Incremental, because the window may end inside a character.
            text = codecs.getincrementaldecoder("utf-8")().decode(window, final=not more)
        except UnicodeDecodeError:
            text = ""
        if not text:  # shorter than it was, or not UTF-8 any more
            raise SourceError(f"{self.name} has changed since it was opened: start the reading again.")
        bom = len(_UTF8_BOM) if cursor == 0 and text.startswith(_UTF8_BOM) else 0
        length = bom + budget.cut(text[bom:], more=more)
        return Chunk(text[bom:length], cursor, cursor + len(text[:length].encode()))

    def _bytes(self, start: int, size: int) -> bytes:
        """Bytes of UTF-8 text."""
        if self._converted is None:
            with reported(self.name, self.path), self.path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        with self._lock:
            self._converted.seek(start)
            return self._converted.read(size)

    def _is_bom(self) -> bool:
        return self._bytes(0, len(codecs.BOM_UTF8)) == codecs.BOM_UTF8

    def _convert(self, zipped: bool, encoding: str) -> int:
        """Turn the text into a temporary UTF-8 file; returns its size in bytes."""
        self._converted = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as self
        weakref.finalize(self, self._converted.close)
        try:
            return write_utf8(self._blocks(zipped), encoding, self._converted)
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{self.name} looks like {encoding} text, and is not ({error.reason}): convert it to UTF-8."
            ) from error

    def _blocks(self, zipped: bool) -> Iterator[bytes]:
        """The file's bytes, decompressed, with an eye on how much they swell."""
        packed, unpacked = self.path.stat().st_size, 0
        with gzip.open(self.path) if zipped else self.path.open("rb") as file:
            for block in _read(file):
                unpacked += len(block)
                if zipped and unpacked > max(_GZIP_FREE, packed * _GZIP_RATIO):
                    raise SourceError(
                        f"{self.name} swells more than {_GZIP_RATIO} times on decompression, as no "
                        "text does; decompress it yourself if you trust it."
                    )
                yield block


class OpenFiles:
    """Opens files by path and keeps those read last: one that has not changed is not checked again.

    Args:
        keep: How many files are kept ready.
    """

    def __init__(self, keep: int = _OPEN_FILES) -> None:
        self._keep = keep
        self._open: OrderedDict[Path, tuple[tuple[int, ...], FileSource]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, path: str | Path, name: str | None = None) -> FileSource:
        """Open a file, as `FileSource`."""
        name = str(path) if name is None else name
        path = Path(path)
        with reported(name, path):
            status = path.stat()
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            known = self._open.get(path)
        if known is None or known[0] != version:
            known = (version, FileSource(path, name))
        with self._lock:
            self._open[path] = known
            self._open.move_to_end(path)
            if len(self._open) > self._keep:
                self._open.popitem(last=False)
        return known[1]


class Files:
    """Opens files by path, below an allowed folder or anywhere.

    Args:
        root: The only folder files may lie in, links resolved. None allows any path that the process
            can read, except in a LangGraph server, where those who send the path are not those who
            built the graph.
        keep: How many files are kept ready: as many as are read at the same time, or each of their steps
            checks a whole file anew.

    Raises:
        SettingsError: The root is not a folder.

    Example:
        >>> Files(".")("../secret.txt")
        Traceback (most recent call last):
        mhm_langgraph.errors.SourceError: ../secret.txt lies outside the allowed folder.
    """

    def __init__(self, root: str | Path | None = None, *, keep: int = _OPEN_FILES) -> None:
        self.root = None if root is None else Path(root).resolve()
        if self.root is not None and not self.root.is_dir():
            raise SettingsError(f"sources={str(root)!r} is not allowed: {self.root} is not a folder.")
        self._open_file = OpenFiles(keep)

    def __call__(self, name: str) -> FileSource:
        """Open a file; one that has not changed since is not checked again.

        Args:
            name: A path; below `root` where there is one.

        Returns:
            The source.

        Raises:
            SourceError: It is forbidden, or not a text file.
        """
        return self._open_file(self._allowed(name), name)

    def _allowed(self, name: str) -> Path:
        """The path, where this opener may open it."""
        if "://" in name:
            raise SourceError(f"{redact(name)} is an address, not a file: load it with a document loader.")
        if self.root is None and "langgraph_api" in sys.modules:
            raise SourceError(
                f"{redact(name)} can not be read: a graph in a server reads files only where its builder "
                "named their folder, as in create_mhm_agent(model, sources='books/')."
            )
        path = (self.root or Path()) / name
        with reported(name, path):
            path = path.resolve()
        if self.root is not None and not path.is_relative_to(self.root):
            raise SourceError(f"{redact(name)} lies outside the allowed folder.")
        return path


def _require_regular(path: Path, name: str) -> None:
    """Refuse folders, devices, pipes: reading some of those never ends."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise SourceError(f"{name} is {kind}; name a text file.")


def _read(file: BinaryIO | IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
