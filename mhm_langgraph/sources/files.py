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
from hashlib import blake2b
from pathlib import Path
from typing import IO, BinaryIO

from charset_normalizer import from_bytes

from mhm_langgraph.errors import SourceError
from mhm_langgraph.sources.base import Budget, Chunk, Source

__all__ = ["FileSource", "Files"]

_BLOCK = 1 << 20  # bytes read at a time while a file is checked
_SAMPLE = 1 << 18  # bytes shown to the encoding detector
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_FREE = 64 << 20  # bytes of text from .gz before its ratio is looked at
_GZIP_RATIO = 200  # text deflates 3 to 20 times; far beyond lies a decompression bomb
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OPEN_FILES = 64  # how many files one graph keeps ready
_UTF8_BOM = "\ufeff"


class FileSource(Source):
    """A text file, UTF-8 with or without BOM, another encoding (detected), plain or `.gz`.

    Its unit is the byte of UTF-8 text: for a plain UTF-8 file these are the file's own bytes.
    The whole file is checked once, in blocks, when it is opened, so that an undecodable byte near the
    end is found before the first model call. Other encodings and `.gz` are turned into a temporary
    UTF-8 file on disk.

    Args:
        path: The file.

    Raises:
        SourceError: It is missing, empty, binary, a folder or not a regular file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._converted: IO[bytes] | None = None
        with _reported(self.path):
            _require_regular(self.path)
        with _reported(self.path), self.path.open("rb") as file:
            zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            file.seek(0)
            digest = blake2b(digest_size=16)
            encoding = _encoding(self._blocks(zipped))
            if encoding == "utf-8" and not zipped:
                self.size = sum(len(block) for block in _hashed(_read(file), digest))
            else:
                for _ in _hashed(_read(file), digest):
                    pass
                self._converted = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as self
                weakref.finalize(self, self._converted.close)
                self.size = _convert(self._blocks(zipped), encoding, self._converted)
        self.fingerprint = digest.hexdigest()
        if self.size == 0 or (self.size == len(codecs.BOM_UTF8) and self._is_bom()):
            raise SourceError(f"{self.path} is empty.")

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        """Read the chunk at the cursor, as `Source.read`."""
        window = self._bytes(cursor, budget.window)
        if not window:
            return None
        more = cursor + len(window) < (self.size or 0)
        try:
            # Incremental, because the window may end inside a character.
            text = codecs.getincrementaldecoder("utf-8")().decode(window, final=not more)
        except UnicodeDecodeError as error:
            raise SourceError(f"{self.path} has changed since the run began: {error}.") from error
        bom = len(_UTF8_BOM) if cursor == 0 and text.startswith(_UTF8_BOM) else 0
        length = bom + budget.cut(text[bom:], more=more)
        return Chunk(text[bom:length], cursor, cursor + len(text[:length].encode()))

    def _bytes(self, start: int, size: int) -> bytes:
        """Bytes of UTF-8 text."""
        if self._converted is None:
            with _reported(self.path), self.path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        with self._lock:
            self._converted.seek(start)
            return self._converted.read(size)

    def _is_bom(self) -> bool:
        return self._bytes(0, len(codecs.BOM_UTF8)) == codecs.BOM_UTF8

    def _blocks(self, zipped: bool) -> Iterator[bytes]:
        """The file's bytes, decompressed, with an eye on how much they swell."""
        packed, unpacked = self.path.stat().st_size, 0
        with gzip.open(self.path) if zipped else self.path.open("rb") as file:
            for block in _read(file):
                unpacked += len(block)
                if zipped and unpacked > max(_GZIP_FREE, packed * _GZIP_RATIO):
                    raise SourceError(
                        f"{self.path} swells more than {_GZIP_RATIO} times on decompression, as no "
                        "text does; decompress it yourself if you trust it."
                    )
                yield block


class Files:
    """Opens files by path, below an allowed folder or anywhere.

    Args:
        root: The only folder files may lie in, links resolved. None allows any path that the process
            can read, except in a LangGraph server, where those who send the path are not those who
            built the graph.

    Example:
        >>> Files("books")("../secret.txt")
        Traceback (most recent call last):
        mhm_langgraph.errors.SourceError: ../secret.txt lies outside the allowed folder ...
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = None if root is None else Path(root).resolve()
        self._open: OrderedDict[Path, tuple[tuple[int, ...], FileSource]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> FileSource:
        """Open a file; one that has not changed since is not checked again.

        Args:
            name: A path; below `root` where there is one.

        Returns:
            The source.

        Raises:
            SourceError: It is forbidden, or not a text file.
        """
        path = self._allowed(name)
        with _reported(path):
            status = path.stat()
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            known = self._open.get(path)
        if known is None or known[0] != version:
            known = (version, FileSource(path))
        with self._lock:
            self._open[path] = known
            self._open.move_to_end(path)
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)
        return known[1]

    def _allowed(self, name: str) -> Path:
        """The path, where this opener may open it."""
        if "://" in name:
            raise SourceError(f"{name} is an address, not a file: load it with a document loader.")
        if self.root is None and "langgraph_api" in sys.modules:
            raise SourceError(
                f"{name} can not be read: a graph in a server reads files only where its builder "
                "named their folder, as in create_mhm_agent(model, sources='books/')."
            )
        with _reported(name):
            path = ((self.root or Path()) / name).resolve()
        if self.root is not None and not path.is_relative_to(self.root):
            raise SourceError(f"{name} lies outside the allowed folder {self.root}.")
        return path


class _reported:  # noqa: N801  # reads as a verb: with _reported(path)
    """Turns what the system says of a path into a SourceError."""

    def __init__(self, name: str | Path) -> None:
        self.name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, UnicodeError | ValueError) and not isinstance(error, SourceError):
            raise SourceError(f"{self.name!s:.200} can not be read as text: {error}.") from error
        if isinstance(error, OSError | EOFError):
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceError(f"{self.name!s:.200} can not be read: {reason}.") from error


def _require_regular(path: Path) -> None:
    """Refuse folders, devices, pipes: reading some of those never ends."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise SourceError(f"{path} is {kind}; name a text file.")


def _read(file: BinaryIO | IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _hashed(blocks: Iterator[bytes], digest: blake2b) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block


def _encoding(blocks: Iterator[bytes]) -> str:
    """The text's encoding, from its first bytes or, for UTF-8, from all of them.

    Raises:
        ValueError: It is not text.
    """
    sample = next(blocks, b"")
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return name
    if b"\0" in sample:
        raise ValueError("it holds NUL bytes, so it looks binary")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(sample)
        for block in blocks:
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        head = sample[:_SAMPLE]  # whole lines, so that no character is cut in two
        guess = from_bytes(head.rpartition(b"\n")[0] or head).best()
        if guess is None:
            raise ValueError(f"it looks binary, and it is not UTF-8 ({error})") from None
        return guess.encoding
    return "utf-8"


def _convert(blocks: Iterator[bytes], encoding: str, target: IO[bytes]) -> int:
    """Write the text as UTF-8 without a BOM; returns its size in bytes."""
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    for block in blocks:
        target.write(decoder.decode(block).encode())
    target.write(decoder.decode(b"", final=True).encode())
    return target.tell()
