"""How long a captured fact stays in memory, by a model of two chances that docs/retention.md derives.

Nothing here calls a language model. It is what the architecture does by itself, and what `heads="auto"`
goes by.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

from mhm_langgraph.errors import SettingsError, shown

__all__ = [
    "AUTO_HEADS",
    "LEAST_HEAD_TOKENS",
    "Rates",
    "best_heads",
    "expected_retention",
    "retention_without_copies",
    "survival",
]

AUTO_HEADS = (1, 2, 4, 8)
"""The numbers that `best_heads` chooses from; with more than 8 the paper's retention stays level."""

LEAST_HEAD_TOKENS = 256
"""A head is not made smaller than this by choice: what is smaller captures less (docs/retention.md)."""

_UNKNOWN_LENGTH = 4  # the paper's number
_AS_GOOD = 0.01  # retention that is worth no further split of the memory
_MOST_STEPS = 1000  # by then the numbers of heads stand in their order for good
_MOST_CHAIN_HEADS = 16  # 2 ** heads patterns
_TINY = 1e-9


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What happens to a fact when a head is rewritten.

    The defaults are those that the paper's figures suggest at 896K tokens (arXiv 2607.01523; Qwen2.5-14B,
    RULER-HQA): with them the expected retention of 1, 4 and 8 heads is .27, .73 and .87, where .27, .75 and
    .87 were measured.

    Args:
        capture: Chance that a fact in the chunk is written into the head.
        forget: Chance that a fact which the head holds is not written again.
        copy: Chance that a fact which another head holds, and this one does not, is written into it.

    Raises:
        SettingsError: One is no probability.

    Example:
        >>> Rates(forget=2)
        Traceback (most recent call last):
        mhm_langgraph.errors.SettingsError: forget=2 is not allowed: a probability from 0 to 1 is needed.
    """

    capture: float = 0.7
    forget: float = 0.02
    copy: float = 0.01

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise SettingsError(
                    f"{field.name}={shown(value)} is not allowed: a probability from 0 to 1 is needed."
                )


def survival(heads: int, steps: int, rates: Rates = Rates()) -> list[float]:
    """The chance that a captured fact still stands in some head, k steps after its capture.

    The least recently updated head is rewritten at each step. It does not matter when the capture was.

    Args:
        heads: Number of heads; at most 16 where facts are copied.
        steps: How many steps to go on.
        rates: What a rewrite does; `capture` plays no part.

    Returns:
        `steps + 1` chances, that of k = 0 first.

    Raises:
        SettingsError: The numbers are out of range.

    Example:
        >>> survival(2, 4, Rates(forget=0.5, copy=0))
        [1.0, 1.0, 0.5, 0.5, 0.25]
        >>> survival(2, 4, Rates(forget=0.5, copy=1))
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    _check(heads=heads)
    _check(least=0, steps=steps)
    if rates.copy == 0 or heads == 1:
        return [float((1 - rates.forget) ** (k // heads)) for k in range(steps + 1)]
    if heads > _MOST_CHAIN_HEADS:
        raise SettingsError(
            f"heads={heads} is not allowed: the chain has 2 ** heads patterns, so at most "
            f"{_MOST_CHAIN_HEADS}. Set copy=0 for the closed form, or simulate."
        )
    return list(_chain(heads, steps, rates.forget, rates.copy))


@lru_cache(maxsize=64)
def _chain(heads: int, steps: int, forget: float, copy: float) -> tuple[float, ...]:
    """The survival, from the chances of each pattern of heads that hold the fact.

    Bit 0 of a pattern is the head that was rewritten last, the highest bit the one whose turn is next.
    """
    chances = [0.0] * 2**heads
    chances[1] = 1.0  # captured just now, into this head alone
    alive = [1.0]
    for _ in range(steps):
        chances = _rewritten(chances, forget, copy)
        alive.append(1 - chances[0])
    return tuple(alive)


def _rewritten(chances: list[float], forget: float, copy: float) -> list[float]:
    """The chances after the oldest head's turn: it becomes the newest, so all others move up by one."""
    half = len(chances) // 2
    after: list[float] = []
    for others in range(half):
        absent, held = chances[others], chances[half + others]
        copied = copy if others else 0.0  # what no other head holds can not be copied
        holds = held * (1 - forget * (1 - copied)) + absent * copied
        after += (absent + held - holds, holds)
    return after


def expected_retention(heads: int, steps: int, rates: Rates = Rates()) -> float:
    """The share of captured facts that the final memory holds (MRR), facts lying anywhere in the text.

    Args:
        heads: Number of heads; at most 16 where facts are copied.
        steps: Steps of the whole reading, N. A fact captured at step s has N - 1 - s steps to survive.
        rates: What a rewrite does; `capture` plays no part.

    Returns:
        The expected MRR.

    Raises:
        SettingsError: The numbers are out of range.

    Example:
        >>> [round(expected_retention(heads, 184), 2) for heads in (1, 2, 4, 8)]
        [0.27, 0.51, 0.73, 0.87]
    """
    _check(heads=heads, steps=steps)
    return sum(survival(heads, steps - 1, rates)) / steps


def retention_without_copies(heads: int, steps: int, forget: float) -> float:
    """`expected_retention` in closed form, for facts that are never copied.

    With N = qH + r, that is (H (1 - (1 - f)^q) / f + r (1 - f)^q) / N.

    Example:
        >>> round(retention_without_copies(4, 180, 0.02), 4)
        0.6635
        >>> retention_without_copies(4, 180, 0.0)
        1.0
    """
    _check(heads=heads, steps=steps)
    rounds, rest = divmod(steps, heads)
    last = (1 - forget) ** rounds
    # The sum of (1 - f)^i over i < q: a forget near 0 would take (1 - last) / forget apart.
    whole = rounds if forget < _TINY else (1 - last) / forget
    return float((heads * whole + rest * last) / steps)


def best_heads(steps: int | None, memory_tokens: int, rates: Rates = Rates()) -> int:
    """The number of heads for a reading: the rule of `heads="auto"`.

    Of 1, 2, 4 and 8, as far as each head gets 256 tokens, the fewest whose expected retention is within
    0.01 of the best. An unknown length counts as the paper's 4.

    Args:
        steps: Steps that the reading will take; None where that is not known.
        memory_tokens: Size of all heads together, in tokens.
        rates: What a rewrite does.

    Returns:
        The number of heads; 1 where the memory is too small to be split.

    Example:
        >>> [best_heads(steps, 4096) for steps in (1, 5, 20, 200)]
        [1, 4, 8, 8]
        >>> best_heads(200, 1024), best_heads(200, 300), best_heads(None, 4096)
        (4, 1, 4)
    """
    allowed = [heads for heads in AUTO_HEADS if heads * LEAST_HEAD_TOKENS <= memory_tokens] or [1]
    if steps is None:
        return max(heads for heads in allowed if heads <= _UNKNOWN_LENGTH)
    expected = [expected_retention(heads, min(max(steps, 1), _MOST_STEPS), rates) for heads in allowed]
    return next(
        heads
        for heads, retention in zip(allowed, expected, strict=True)
        if retention >= max(expected) - _AS_GOOD
    )


def _check(least: int = 1, **numbers: int) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise SettingsError(
                f"{name}={shown(value)} is not allowed: a whole number from {least} is needed."
            )
