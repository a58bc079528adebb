"""Which encoding a text is in, found from its bytes, a block at a time."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from itertools import chain
from typing import IO

from charset_normalizer import from_bytes

__all__ = ["find_encoding", "write_utf8"]

_SAMPLE = 1 << 16  # bytes shown to the detector
_LONGEST_CHARACTER = 4  # bytes, in GB 18030
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose BOM it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN, _CENTRAL = "cp1252", "cp1250"
# The usual encodings of each script and no others: of more, the detector takes rare ones for these.
_ENCODINGS = [
    *(_WESTERN, _CENTRAL, "cp1254"),
    *("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949"),
]
# What Czech, Croatian and their like hold when read as Western, and Polish with its ł and ą.
_CENTRAL_LETTERS = re.compile("[šžŠŽ\ufffd]|(?<=[a-z][a-z])[³¹]")
_ODD_LETTERS = 0.05  # of all that is not ASCII


def find_encoding(blocks: Iterator[bytes]) -> str | None:
    """The text's encoding: by its BOM, UTF-8 if all of it is, else the likeliest of the usual ones.

    Args:
        blocks: The text's bytes; those after the answer is known are left.

    Returns:
        The codec's name, None for what is not text.
    """
    first = next(blocks, b"")
    for bom, name in _BOMS:
        if first.startswith(bom):
            return name
    if b"\0" in first:
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for block in chain([first], blocks):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _guess(block)
    return "utf-8"


def write_utf8(blocks: Iterator[bytes], encoding: str, target: IO[bytes]) -> int:
    """Write the text as UTF-8 without a BOM; returns its size in bytes.

    Raises:
        UnicodeDecodeError: It is not in this encoding throughout.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    for block in blocks:
        target.write(decoder.decode(block).encode())
    target.write(decoder.decode(b"", final=True).encode())
    return target.tell()


def _guess(block: bytes) -> str | None:
    """The likeliest encoding of text that is not UTF-8, None where none makes sense of it."""
    matches = [match for sample in _samples(block) for match in from_bytes(sample, cp_isolation=_ENCODINGS)]
    if not matches:
        return None
    best = min(matches).encoding
    if best not in (_WESTERN, _CENTRAL):
        return best
    return _CENTRAL if _is_central(block.decode(_WESTERN, "replace")) else _WESTERN


def _is_central(western: str) -> bool:
    """Whether text read as Western European is Central European: these the detector mistakes.

    A Western text has an odd letter now and then, in a name; a Central one many among its accents.
    """
    accents = sum(not character.isascii() for character in western)
    return len(_CENTRAL_LETTERS.findall(western)) > accents * _ODD_LETTERS


def _samples(block: bytes) -> list[bytes]:
    """What of a block to show to the detector: whole lines, and not those that are plain ASCII."""
    telling = b"".join(line for line in block.splitlines(keepends=True) if not line.isascii())[:_SAMPLE]
    whole_lines = telling.rpartition(b"\n")[0]
    if whole_lines:
        return [whole_lines]
    # A single line may be cut inside a character: one of these ends is not.
    ends = (telling[: len(telling) - cut] for cut in range(_LONGEST_CHARACTER))
    return [sample for sample in ends if sample]
