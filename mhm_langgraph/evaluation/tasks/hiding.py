"""Hiding sentences in book text: at sentence ends only, in their order."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from mhm_langgraph.evaluation.tasks.data import Books

__all__ = ["depths", "hide"]

_NEAR = 0.004  # share of a context that may be given up so that it ends where a sentence does


def depths(number: int, chance: random.Random) -> list[float]:
    """Where so many sentences shall stand, growing, in [0, 1): any place is as likely as any other."""
    return sorted(chance.random() for _ in range(number))


def hide(
    books: Books, begin: float, facts: Sequence[str], places: Sequence[float], size: int
) -> tuple[str, list[tuple[int, int]], bool]:
    """Book text with facts in it.

    Args:
        books: The books.
        begin: Where in them the text begins, in [0, 1).
        facts: What is hidden, in order.
        places: How deep each stands, growing, in [0, 1): a share of the sentence ends there are.
        size: Characters of the whole.

    Returns:
        The text, the facts' `(start, end)` in it, and whether all books went into it.
    """
    start = _sentence_start(books, begin)
    wanted = max(0, size - sum(len(fact) + 1 for fact in facts))
    stop = _stop(books, start, min(start + wanted, start + books.size))
    first, last = bisect_right(books.ends, start), bisect_right(books.ends, stop)
    parts, spans, length, at = [], [], 0, start
    for fact, place in zip(facts, places, strict=True):
        # 0 is before the first sentence, the others are after a sentence each.
        number = int(place * (last - first + 1))
        point = books.ends[first + number - 1] if number else start
        before = books.text[at:point]
        # A space on the side where the book goes on without one.
        ahead, behind = ("", " ") if point == start else (" ", "")
        parts += [before, ahead, fact, behind]
        begins = length + len(before) + len(ahead)
        spans.append((begins, begins + len(fact)))
        length, at = spans[-1][1] + len(behind), point
    parts.append(books.text[at:stop])
    return "".join(parts), spans, wanted >= books.size


def _sentence_start(books: Books, begin: float) -> int:
    """The start of a sentence in the first round of the books."""
    number = int(begin * bisect_left(books.ends, books.size))
    if number == 0:
        return 0
    start = books.ends[number - 1]
    return start + len(books.text[start : start + 100]) - len(books.text[start : start + 100].lstrip())


def _stop(books: Books, start: int, limit: int) -> int:
    """The last sentence end before the limit, or a word's where that is far."""
    number = bisect_right(books.ends, limit)
    if number and books.ends[number - 1] >= limit - _NEAR * (limit - start):
        return books.ends[number - 1]
    word = books.text.rfind(" ", start, limit)
    return word if word > start else limit
