"""What every task stands on: lengths, samples that are built when asked for, fitting to a length."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar, overload

from mhm_langgraph import SettingsError
from mhm_langgraph.errors import shown
from mhm_langgraph.evaluation.records import Sample
from mhm_langgraph.tokens import TokenCounter

__all__ = [
    "Draft",
    "Request",
    "SampleSet",
    "fit",
    "format_length",
    "generator",
    "in_turn",
    "parse_length",
    "shuffled",
]

_T = TypeVar("_T")
_LENGTH = re.compile(r"(?i)\s*(\d+(?:\.\d+)?)\s*([km]?)\s*")
# Each column of the paper's tables doubles the one before it, up to 1M = 128 x 8K: so M is 1,024 K, and K is
# 1,024 as in the 4,096 tokens of memory and in models' windows.
_UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}
_CHARACTERS_PER_TOKEN = 4  # where the search for a size begins
_AIM = 0.9975  # of the length; whatever ends in [_GOOD, 1] is taken
_GOOD = 0.995
_SHORT = 0.98  # less than this, with all text used, and there was not enough text
_TRIES = 12


def parse_length(text: str | int) -> int:
    """A length in tokens from what a user types: `8K`, `896K`, `1M` or a plain number.

    Args:
        text: The length; K is 1,024 tokens and M is 1,024 K, in either case.

    Returns:
        Tokens, at least 1.

    Raises:
        SettingsError: It is not a length.

    Example:
        >>> parse_length("8K"), parse_length("1M"), parse_length("5000")
        (8192, 1048576, 5000)
    """
    match = None if isinstance(text, bool) else _LENGTH.fullmatch(str(text))
    tokens = float(match[1]) * _UNITS[match[2].upper()] if match else 0.0
    if not match or tokens < 1 or not tokens.is_integer():
        raise SettingsError(f"length={shown(text)} is not allowed: write tokens, such as 5000, 8K or 1M.")
    return int(tokens)


def format_length(tokens: int) -> str:
    """A length as people write it, in the largest unit that divides it.

    Example:
        >>> format_length(917504), format_length(1048576), format_length(5000)
        ('896K', '1M', '5000')
    """
    unit = next(unit for unit, size in reversed(_UNITS.items()) if tokens % size == 0 and tokens >= size)
    return f"{tokens // _UNITS[unit]}{unit}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a task is asked for.

    Args:
        task: Its name.
        length: Tokens of each context.
        samples: How many samples.
        seed: What all chance is drawn from.
        variants: Which of its kinds, in turn; empty where it has one.
        count: The token counter.
    """

    task: str
    length: int
    samples: int
    seed: int
    variants: tuple[str, ...]
    count: TokenCounter


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleSet(Sequence[Sample]):
    """Samples that are built when they are asked for, and not kept.

    The same request and index always give the same sample, whatever was asked for before; a set of more
    samples begins with those of a smaller one.

    Args:
        request: What was asked for.
        ids: The samples' ids, in order; reading them builds nothing.
        build: Builds the sample of an index.
        description: What the samples are made of, for people.
        files: The data files they are made of: name, and sha256 of the content.
    """

    request: Request
    ids: tuple[str, ...] = field(repr=False)
    build: Callable[[int], Sample] = field(repr=False)
    description: str
    files: Mapping[str, str] = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Build one sample, or those of a slice."""
        places = range(len(self.ids))[index]
        return self.build(places) if isinstance(places, int) else [self.build(place) for place in places]


class Draft(NamedTuple):
    """A context that was tried.

    Args:
        text: The context.
        evidence: `(start, end)` in characters of the passages the answer stands on.
        whole: Whether all text there is went into it.
    """

    text: str
    evidence: tuple[tuple[int, int], ...]
    whole: bool


def fit(build: Callable[[int], Draft], request: Request, *, what: str) -> tuple[Draft, int]:
    """The context that comes closest to the length asked for, never over it.

    A counter may be slow, so whole contexts are counted, a few times: the size in characters is led to the
    length by proportion, and by halving where that does not help.

    Args:
        build: Builds a context of about so many characters.
        request: The length and the counter.
        what: Names the text in an error.

    Returns:
        The context and its tokens.

    Raises:
        SettingsError: What must stand in the context is over the length, or there is too little text.
    """
    length, count = request.length, request.count
    size, best, best_tokens = length * _CHARACTERS_PER_TOKEN, None, 0
    fits, over, seen = 0, 0, -1  # sizes that were tried: the largest that fits, the smallest that does not
    for _ in range(_TRIES):
        draft = build(size)
        tokens = count(draft.text)
        if best_tokens < tokens <= length:
            best, best_tokens = draft, tokens
        if _GOOD * length <= tokens <= length or (draft.whole and tokens < length):
            break
        fits, over = (fits, size) if tokens > length else (size, over)
        size += int((_AIM * length - tokens) * len(draft.text) / max(tokens, 1))
        if over and (tokens == seen or not fits < size < over):
            size = (fits + over) // 2  # whole documents come and go: proportion alone stands still
        seen = tokens
    if best is None:
        raise SettingsError(
            f"length={format_length(length)} is too short: what the answer stands on has "
            f"{tokens:,} tokens; ask for a longer context."
        )
    if best.whole and best_tokens < _SHORT * length:
        raise SettingsError(
            f"length={format_length(length)} ({length:,} tokens) is more than there is: {what} gives "
            f"{best_tokens:,} tokens. Ask for less, or name a folder with more text (--data DIR)."
        )
    return best, best_tokens


def generator(request: Request, *parts: object) -> random.Random:
    """Chance that depends on the task, the seed and the parts alone."""
    key = ":".join(map(str, (request.seed, request.task, *parts)))
    return random.Random(key)  # noqa: S311  # not for secrets


def shuffled(items: Sequence[_T], chance: random.Random) -> list[_T]:
    """The items in random order."""
    return chance.sample(items, len(items))


def in_turn(items: Sequence[_T], chance: random.Random, index: int) -> _T:
    """The item of an index in random order, again from the first where the items run out."""
    return shuffled(items, chance)[index % len(items)]
