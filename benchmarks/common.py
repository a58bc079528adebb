"""What every measurement needs: documents of a given size, full heads, a reader that takes no time."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from mhm_langgraph import Budget, Reader, Reply, Usage
from mhm_langgraph.readers import AnswerRequest, UpdateRequest
from mhm_langgraph.sources import InlineSource
from mhm_langgraph.tokens import utf8_tokens

__all__ = [
    "BYTES_PER_TOKEN",
    "HEADS",
    "HEAD_BYTES",
    "HEAD_TOKENS",
    "MEGABYTE",
    "QUESTION",
    "InstantReader",
    "chunk_tokens_for",
    "chunks_of",
    "full_text",
    "megabytes",
    "prose",
    "prose_origin",
    "temporary_folder",
    "write_prose",
]

MEGABYTE: Final = 1_000_000
BYTES_PER_TOKEN: Final = 4
HEADS: Final = 4
HEAD_TOKENS: Final = 1024
HEAD_BYTES: Final = HEAD_TOKENS * BYTES_PER_TOKEN
QUESTION: Final = "What did the captain nail to the mast, and why?"

_BOOKS = Path(__file__).resolve().parents[1] / "examples" / "books"
_GENERATED_WORDS = 60_000
_PARAGRAPH_SENTENCES = 5
_LEAST_FILL = 0.6  # chunks are fuller than this; only where the search for a chunk size begins
_TRIES = 16


@cache
def _base() -> tuple[str, str]:
    """The text everything is cut from, and where it comes from."""
    shipped = sorted(_BOOKS.glob("*.txt.gz"))
    if not shipped:
        return _generated(), "generated prose"
    with gzip.open(shipped[0], "rt", encoding="utf-8") as file:
        return file.read().strip() + "\n\n", shipped[0].name


def prose_origin() -> str:
    """Where `prose` comes from, in a word or two."""
    return _base()[1]


def prose(size: int) -> str:
    """Running text of a given size; the base text again and again.

    Args:
        size: UTF-8 bytes. Up to three fewer where the last character would be cut.

    Returns:
        The text.
    """
    base = _base()[0]
    text = base * (size // len(base.encode()) + 1)
    return text.encode()[:size].decode(errors="ignore")


def write_prose(path: Path, size: int) -> Path:
    """Write `prose` into a file without ever holding all of it.

    Args:
        path: The file.
        size: Bytes.

    Returns:
        The path.
    """
    block = _base()[0].encode()
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
        file.write(block[: size % len(block)].decode(errors="ignore").encode())
    return path


def full_text(tokens: int, number: int = 0) -> str:
    """A head or a reply filled to its size: ASCII, so one byte a character.

    Args:
        tokens: Its size as `utf8_tokens` counts it.
        number: Another number, another text.

    Returns:
        Exactly `tokens` tokens, without white space at either end.
    """
    size = tokens * BYTES_PER_TOKEN
    source = _plain()
    start = number * 1009 % (len(source) - size) if len(source) > size else 0
    body = source[start : start + size].strip()
    return body + "." * (size - len(body))


@cache
def _plain() -> str:
    """Words and stops only: nothing that a prompt would shield or a reply be cleaned of."""
    return re.sub(r"[^A-Za-z0-9.,; ]+", " ", prose(400_000))


def _generated() -> str:
    """Sentences of made-up words in paragraphs: for a checkout without the shipped book."""
    generator = random.Random(0)  # noqa: S311  # not for secrets
    syllables = [first + last for first in "bdfklmnprst" for last in ("a", "en", "i", "or", "us", "ey")]
    known = ["".join(generator.choices(syllables, k=generator.randint(1, 3))) for _ in range(4000)]
    sentences: list[str] = []
    for _ in range(_GENERATED_WORDS // 12):
        words = generator.choices(known, k=generator.randint(6, 18))
        end = ".\n\n" if len(sentences) % _PARAGRAPH_SENTENCES == _PARAGRAPH_SENTENCES - 1 else ". "
        sentences.append(" ".join(words).capitalize() + end)
    return "".join(sentences)


class InstantReader(Reader):
    """A reader that takes no time and keeps nothing, so that what is measured is the loop.

    `testing.ScriptedReader` remembers every request, and with it every chunk: too much for a file of
    1 GB. Its async form is async of its own, as a chat model's is: the default goes through a thread.

    Args:
        head_tokens: Size of the heads it writes.
    """

    description = "instant"

    def __init__(self, head_tokens: int = HEAD_TOKENS) -> None:
        self._texts = [full_text(head_tokens, number) for number in range(16)]

    def update(self, request: UpdateRequest) -> Reply:
        """A full head, another one at each step."""
        return Reply(text=self._texts[request.step % len(self._texts)], usage=_ONE_CALL)

    def answer(self, request: AnswerRequest) -> Reply:
        """A short answer."""
        return Reply(text="A doubloon.", usage=_ONE_CALL)

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """As `update`."""
        return self.update(request)

    async def aanswer(self, request: AnswerRequest) -> Reply:
        """As `answer`."""
        return self.answer(request)


_ONE_CALL = Usage(input_tokens=0, output_tokens=0, calls=1)


def chunks_of(text: str, chunk_tokens: int) -> int:
    """How many chunks a text has, counted without a graph."""
    source, budget = InlineSource(text), Budget(chunk_tokens, utf8_tokens)
    cursor = number = 0
    while (chunk := source.read(cursor, budget)) is not None:
        cursor, number = chunk.end, number + 1
    return number


@cache
def chunk_tokens_for(text: str, steps: int) -> int:
    """The chunk size with which a text is read in (as good as exactly) so many steps.

    Args:
        text: The text.
        steps: How many chunks there shall be.

    Returns:
        Tokens. A few steps off where no size gives exactly that number.
    """
    least = max(1, len(text) // BYTES_PER_TOKEN // steps)
    low, high = least, int(least / _LEAST_FILL) + 2
    best, distance = low, steps * steps
    for _ in range(_TRIES):
        guess = (low + high) // 2
        found = chunks_of(text, guess)
        if abs(found - steps) < distance:
            best, distance = guess, abs(found - steps)
        if found == steps or low >= high:
            break
        low, high = (guess + 1, high) if found > steps else (low, guess)
    return best


def megabytes(size: float) -> str:
    """Bytes as people read them: MB of 1,000,000 bytes."""
    return f"{size / MEGABYTE:,.2f} MB" if size < 100 * MEGABYTE else f"{size / MEGABYTE:,.0f} MB"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with TemporaryDirectory(prefix="mhm-bench-") as folder:
        yield Path(folder)
