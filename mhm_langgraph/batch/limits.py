"""What a batch may spend, how fast, and how much of it may fail."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mhm_langgraph import SettingsError, Usage

__all__ = ["Limits"]

_A_MILLION = 1_000_000
_FEW = 20
"""So many jobs must have ended before a share of failures says anything."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Ceilings and rates of a batch. They count all its runs, what failed included.

    Args:
        max_tokens: Tokens, of prompts and replies, after which nothing new is asked.
        max_cost: The same in money, by the two prices.
        price_in: Price of a million tokens of prompts.
        price_out: Price of a million tokens of replies.
        max_failures: How many jobs of a run may fail before it is stopped: a number, or a share such as
            `"50%"`, which is looked at once 20 jobs have ended.
        requests_per_minute: Model calls a minute, of all workers together, those made again included. A
            reader of one's own counts one for each update and answer.
        tokens_per_minute: Tokens a minute, of all workers together; counted before a call, as the size of
            its prompt and the most it may reply.

    Raises:
        SettingsError: A limit is no number above 0, or a ceiling of money has no price.

    Example:
        >>> Limits(max_cost=20, price_in=0.4, price_out=1.6).cost(1_000_000, 500_000)
        1.2
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    max_failures: int | str = "50%"
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_cost", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SettingsError(f"{name}={value} is not allowed: give a number above 0, or leave it out.")
        for name in ("price_in", "price_out"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingsError(f"{name}={getattr(self, name)} is not allowed: give 0 or more.")
        if self.max_cost is not None and not (self.price_in or self.price_out):
            raise SettingsError(
                f"max_cost={self.max_cost:g} needs prices: give price_in and price_out, per million tokens."
            )
        self._failures()

    def cost(self, input_tokens: int, output_tokens: int) -> float:
        """What tokens cost, 0 where no prices are given."""
        return (input_tokens * self.price_in + output_tokens * self.price_out) / _A_MILLION

    def spent(self, usage: Usage) -> str | None:
        """Which ceiling a usage has reached, as a sentence; None where it may go on.

        Example:
            >>> Limits(max_tokens=10).spent({"input_tokens": 8, "output_tokens": 4, "calls": 1})
            'max_tokens=10 is reached: raise it to go on.'
        """
        sent, received = usage["input_tokens"], usage["output_tokens"]
        if self.max_tokens is not None and sent + received >= self.max_tokens:
            return f"max_tokens={self.max_tokens} is reached: raise it to go on."
        if self.max_cost is not None and self.cost(sent, received) >= self.max_cost:
            return f"max_cost={self.max_cost:g} is reached: raise it to go on."
        return None

    def failed(self, failures: int, ended: int) -> str | None:
        """Whether too many jobs of a run have failed, as a sentence; None where it may go on.

        Example:
            >>> Limits(max_failures="10%").failed(2, 19), Limits(max_failures=5).failed(5, 5)
            (None, None)
            >>> Limits(max_failures="10%").failed(3, 20)
            '3 of 20 jobs failed, more than max_failures=10%.'
        """
        count, share = self._failures()
        over = failures > count if count is not None else ended >= _FEW and failures > ended * share
        if not over:
            return None
        return f"{failures} of {ended} jobs failed, more than max_failures={self.max_failures}."

    def _failures(self) -> tuple[int | None, float]:
        """The limit on failures as a count, or as a share."""
        text = str(self.max_failures)
        if re.fullmatch(r"\d+", text):
            return int(text), 0.0
        share = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
        if share is None or float(share[1]) > 100:
            raise SettingsError(
                f"max_failures={self.max_failures!r} is not allowed: give a number of jobs, or a share such "
                "as 50%."
            )
        return None, float(share[1]) / 100
