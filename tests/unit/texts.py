"""Texts to cut, and what must hold wherever a source cuts them."""

from __future__ import annotations

import gzip
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from pathlib import Path

import regex
from hypothesis import strategies as st

from mhm_langgraph import Budget, Chunk, Source
from mhm_langgraph.tokens import utf8_tokens

DATA = Path(__file__).parents[1] / "data"

FAMILY = "👨‍👩‍👧‍👦"  # 7 code points, 25 bytes, one character as a reader sees it
ZALGO = "e" + "\u0301" * 80  # longer than any look-around of fixed size is likely to be

_FRAGMENTS = [
    # Whole characters of several code points.
    FAMILY,
    ZALGO,
    "🇫🇷",
    "🇩🇪🇯🇵",
    "👍🏽",
    "1\ufe0f\u20e3",
    "e\u0301",
    " \u0301",  # a space is a base like any other
    ".\u0308",
    "\u1112\u1161\u11ab",
    "क्षि",
    # Line ends and white space.
    "\r\n",
    "\r",
    "\n",
    "\n\n",
    "\r\n\r\n",
    "\n \t\n",
    "\u2028",
    "\u00a0",
    "\u3000",
    " ",
    "\t",
    # Sentences and words.
    "Call me Ishmael. ",
    "Mr. Starbuck said: “No!” ",
    "叫我以实玛利吧。",
    "吾輩は猫である！",
    "word ",
    "x" * 40,
    "…",
    # What is seldom seen.
    "\0",
    "\u200d",
    "\u202e",
    "\u0300",
    "𠮷",
    "\u00df",
]

_pieces = st.sampled_from(_FRAGMENTS) | st.text(max_size=12)
texts = st.lists(_pieces, min_size=1, max_size=40).map("".join).filter(bool)
"""Any text but none: st.text() alone seldom makes whole characters of several code points."""

long_texts = st.builds(lambda text, times: text * times, texts, st.integers(1, 40))
"""As `texts`, often longer than what a source reads ahead."""


def words(text: str) -> int:
    """A counter that sees nothing but words: a chunk's text may be far longer than its tokens tell."""
    return len(text.split())


counters = st.sampled_from([utf8_tokens, len, words])


@cache
def moby_dick() -> str:
    """Chapters 31 to 37."""
    return gzip.decompress((DATA / "moby_dick_ch31-37.txt.gz").read_bytes()).decode()


def whole_characters(text: str) -> list[str]:
    """The text's grapheme clusters."""
    return regex.findall(r"\X", text)


def read_all(source: Source, budget: Budget, cursor: int = 0) -> list[Chunk]:
    """Every chunk from the cursor on."""
    chunks = []
    while (chunk := source.read(cursor, budget)) is not None:
        assert chunk.start == cursor < chunk.end, "a chunk starts where it was asked for, and moves on"
        chunks.append(chunk)
        cursor = chunk.end
    return chunks


def assert_covered(source: Source, text: str, budget: Budget, unit: Callable[[str], int] = len) -> None:
    """The chunks are the text, in order, without overlap; read again from anywhere they are the same.

    `unit` measures a text in the source's own units.
    """
    chunks = read_all(source, budget)
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(unit(chunk.text) == chunk.end - chunk.start for chunk in chunks)
    assert source.size in (None, chunks[-1].end if chunks else 0)
    middle = chunks[len(chunks) // 2]
    assert source.read(middle.start, budget) == middle
    assert source.read(middle.start, budget) == middle


def assert_whole(source: Source, text: str, budget: Budget) -> None:
    """No character is cut; only one that is over the budget by itself makes a chunk that is."""
    ends = set(accumulate(map(len, whole_characters(text))))
    at = 0
    for chunk in read_all(source, budget):
        at += len(chunk.text)
        assert at in ends, f"a character is cut between {text[at - 3 : at]!a} and {text[at : at + 3]!a}"
        if len(whole_characters(chunk.text)) > 1:
            assert budget.count(chunk.text) <= budget.tokens


def largest_character(text: str) -> int:
    """Bytes of the largest character; one beyond what a source reads ahead can not be kept whole."""
    return max((len(character.encode()) for character in whole_characters(text)), default=0)


@contextmanager
def watchdog(seconds: int = 10) -> Iterator[None]:
    """Break off what hangs. Not a measurement: what is guarded takes a hundredth of the time."""

    def bark(*_: object) -> None:
        raise AssertionError(f"still at it after {seconds} s: it hangs")

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
