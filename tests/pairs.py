"""Covering arrays: few combinations in which any two choices meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product
from random import Random
from typing import Any

__all__ = ["every_pair", "pairs_of"]

Combination = dict[str, Any]
_TRIES = 30


def every_pair(
    factors: Mapping[str, Sequence[Any]], allowed: Callable[[Combination], bool], seed: int = 0
) -> list[Combination]:
    """Combinations of all factors such that any two choices that are allowed together meet in one.

    Greedy: each further combination is the best of a few random ones that hold a pair not met yet.

    Args:
        factors: The choices of each factor.
        allowed: Whether a combination makes sense; also asked of partial ones.
        seed: Of the random choices.

    Returns:
        The combinations.
    """
    random = Random(seed)
    left = [pair for pair in _all_pairs(factors) if allowed(dict(pair))]
    found = []
    while left:
        tries = [_completed(dict(left[0]), factors, allowed, random) for _ in range(_TRIES)]
        best = max(tries, key=lambda one: sum(pair in pairs_of(one) for pair in left))
        met = pairs_of(best)
        left = [pair for pair in left if pair not in met]
        found.append(best)
    return found


def pairs_of(one: Combination) -> list[tuple[tuple[str, Any], ...]]:
    """All pairs of choices in a combination."""
    return list(combinations(sorted(one.items(), key=lambda item: item[0]), 2))


def _all_pairs(factors: Mapping[str, Sequence[Any]]) -> Iterator[tuple[tuple[str, Any], ...]]:
    for one, other in combinations(sorted(factors), 2):
        for choices in product(factors[one], factors[other]):
            yield tuple(zip((one, other), choices, strict=True))


def _completed(
    start: Combination,
    factors: Mapping[str, Sequence[Any]],
    allowed: Callable[[Combination], bool],
    random: Random,
) -> Combination:
    """A combination with the choices made so far, the others at random."""
    one = dict(start)
    names = [name for name in factors if name not in one]
    random.shuffle(names)
    for name in names:
        choices = [choice for choice in factors[name] if allowed({**one, name: choice})]
        one[name] = random.choice(choices)
    return one
