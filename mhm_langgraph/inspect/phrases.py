"""When a phrase entered and left memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mhm_langgraph.inspect.model import Timeline, Update

__all__ = ["Sighting", "find_phrase", "phrase_pattern"]

# page.js has the same rule: what is found here is found there.
_ALIKE = ("'‘’ʼ", '"“”„', "-‐‑‒–—")


@dataclass(frozen=True)
class Sighting:
    """A phrase came into a head, or went from it.

    Args:
        update: The update that did it.
        entered: Whether it came; False where it went.
    """

    update: Update
    entered: bool


def phrase_pattern(phrase: str) -> re.Pattern[str]:
    """What finds a phrase: case does not count, nor the kind of space, quotation mark or dash.

    Args:
        phrase: Some text.

    Returns:
        The pattern.

    Example:
        >>> bool(phrase_pattern("ahab's leg").search("They say Ahab’s leg is of ivory."))
        True
    """
    return re.compile(r"\s+".join(map(_word_pattern, phrase.split())), re.IGNORECASE)


def _word_pattern(word: str) -> str:
    kinds = (next((kind for kind in _ALIKE if char in kind), "") for char in word)
    return "".join(
        f"[{re.escape(kind)}]" if kind else re.escape(char) for char, kind in zip(word, kinds, strict=True)
    )


def find_phrase(timeline: Timeline, phrase: str) -> list[Sighting]:
    """Tell when a phrase entered and left each head.

    Args:
        timeline: The life of a memory.
        phrase: What to look for; blank finds nothing.

    Returns:
        Its comings and goings, in order.
    """
    return list(_sightings(timeline, phrase_pattern(phrase))) if phrase.strip() else []


def _sightings(timeline: Timeline, pattern: re.Pattern[str]) -> Iterator[Sighting]:
    held = [False] * len(timeline.heads)
    for update in timeline.updates:
        holds = pattern.search(update.after) is not None
        if holds != held[update.head]:
            yield Sighting(update, entered=holds)
        held[update.head] = holds
