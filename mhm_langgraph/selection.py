"""The selectors: which head a step rewrites, chosen before anything is generated."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from mhm_langgraph.errors import SettingsError, shown
from mhm_langgraph.readers.base import Patience, Pick, PickRequest, Reader
from mhm_langgraph.readers.prompts import STANDARD, Prompts
from mhm_langgraph.state import Head, Usage, no_usage

__all__ = ["Choice", "HeadSelector", "Turn", "lru", "named_selector", "resolve_selector"]


@dataclass(frozen=True)
class Turn:
    """What a selector may look at.

    Args:
        heads: The memory.
        step: The step, counted from 0 over the life of the thread.
        question: The run's question, None where it only reads.
        span: `[start, end]` of the chunk in the source's own units.
        read: Reads the chunk's text; costs nothing unless called.
        taken: Heads that the round's earlier chunks have chosen, where it reads several
            (`parallel_heads`): a selector must choose another. In `heads` they stand with their old text
            and the step that will rewrite them.
    """

    heads: Sequence[Head]
    step: int
    question: str | None
    span: Sequence[int]
    read: Callable[[], str]
    taken: frozenset[int] = frozenset()

    @property
    def free(self) -> list[int]:
        """The heads that may be chosen."""
        return [index for index in range(len(self.heads)) if index not in self.taken]

    @property
    def chunk(self) -> str:
        """The chunk's text. Reading it may block: in async code, `await asyncio.to_thread(turn.read)`."""
        return self.read()


@dataclass(frozen=True)
class Choice:
    """What a selector chose.

    Args:
        head: Index of the head to rewrite.
        usage: What choosing cost in model calls.
    """

    head: int
    usage: Usage = field(default_factory=no_usage)


@runtime_checkable
class HeadSelector(Protocol):
    """The policy that picks the head to rewrite. A plain function of the turn serves as well.

    Example:
        >>> class RoundRobin(HeadSelector):
        ...     def select(self, turn):
        ...         return Choice(turn.step % len(turn.heads))
        >>> from mhm_langgraph.state import empty_heads
        >>> RoundRobin().select(Turn(empty_heads(4), 6, None, [0, 1], str)).head
        2
    """

    def select(self, turn: Turn) -> Choice:
        """Choose a head.

        Args:
            turn: The step's memory, question and chunk.

        Returns:
            The choice.
        """
        ...

    async def aselect(self, turn: Turn) -> Choice:
        """Choose a head in an async graph; by default in a thread, since reading the chunk may block."""
        return await asyncio.to_thread(self.select, turn)


def lru(turn: Turn) -> int:
    """The least recently updated head, ties to the lowest index (the paper's MHM-LRU).

    Example:
        >>> from mhm_langgraph.state import empty_heads
        >>> heads = [{**head, "updated_at": at} for head, at in zip(empty_heads(3), (2, 0, 1))]
        >>> lru(Turn(heads, 3, None, [0, 1], str))
        1
    """
    return min(turn.free, key=lambda index: turn.heads[index]["updated_at"])


class RandomSelector(HeadSelector):
    """Any head, equally likely. The same seed and step give the same head, also after a resume."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def select(self, turn: Turn) -> Choice:
        """Choose a head, as `HeadSelector.select`."""
        generator = random.Random(f"{self.seed}:{turn.step}")  # noqa: S311  # not for secrets
        return Choice(turn.free[generator.randrange(len(turn.free))])


class RelevanceSelector(HeadSelector):
    """The head that the reader finds closest to the chunk: one extra model call a step.

    A reply that names no head falls back to the least recently updated one.
    """

    def __init__(self, reader: Reader, prompts: Prompts, patience: Patience) -> None:
        self.reader, self.prompts, self.patience = reader, prompts, patience

    def select(self, turn: Turn) -> Choice:
        """Choose a head, as `HeadSelector.select`."""
        pick = self.reader.pick(self._request(turn))
        return self._choice(turn, pick)

    async def aselect(self, turn: Turn) -> Choice:
        """Choose a head, as `HeadSelector.aselect`."""
        pick = await self.reader.apick(await asyncio.to_thread(self._request, turn))
        return self._choice(turn, pick)

    def _choice(self, turn: Turn, pick: Pick) -> Choice:
        return Choice(lru(turn) if pick.head is None else turn.free[pick.head], pick.usage)

    def _request(self, turn: Turn) -> PickRequest:
        return PickRequest(
            question=turn.question,
            heads=[turn.heads[index]["text"] for index in turn.free],
            chunk=turn.chunk,
            step=turn.step,
            span=list(turn.span),
            prompts=self.prompts,
            patience=self.patience,
        )


class FunctionSelector(HeadSelector):
    """A user's function from a turn to an index; it may be async in an async graph."""

    def __init__(self, function: Callable[[Turn], Any]) -> None:
        self.function = function

    def select(self, turn: Turn) -> Choice:
        """Choose a head, as `HeadSelector.select`."""
        index = self.function(turn)
        if inspect.iscoroutine(index):
            index.close()  # or Python warns that nobody awaited it
            raise SettingsError(
                f"selector {_name(self.function)} is async: run the graph with ainvoke or astream."
            )
        return self._choice(index, turn)

    async def aselect(self, turn: Turn) -> Choice:
        """Choose a head, as `HeadSelector.aselect`; `lru` reads nothing, so it needs no thread."""
        if self.function is lru or inspect.iscoroutinefunction(self.function):
            index = self.function(turn)
        else:
            index = await asyncio.to_thread(self.function, turn)
        return self._choice(await index if inspect.isawaitable(index) else index, turn)

    def _choice(self, index: Any, turn: Turn) -> Choice:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(turn.heads):
            raise SettingsError(
                f"selector {_name(self.function)} returned {shown(index)}; an index from 0 to "
                f"{len(turn.heads) - 1} is needed."
            )
        return Choice(index)


def _name(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)


def named_selector(
    name: str,
    *,
    seed: int,
    reader: Reader,
    prompts: Prompts = STANDARD,
    patience: Patience = Patience(),  # noqa: B008  # frozen
) -> HeadSelector:
    """The selector of a name: `lru`, `random` or `relevance`."""
    if name == "random":
        return RandomSelector(seed)
    return RelevanceSelector(reader, prompts, patience) if name == "relevance" else FunctionSelector(lru)


def resolve_selector(selector: object) -> HeadSelector | None:
    """A user's own selector, or None where the selector is named in the settings.

    Raises:
        SettingsError: It is neither a selector nor a function.
    """
    if isinstance(selector, str):
        return None
    if not isinstance(selector, type):  # a class has the methods, but nothing to call them on
        if isinstance(selector, HeadSelector):
            return selector
        if callable(selector):
            return FunctionSelector(selector)
    raise SettingsError(
        f"selector={shown(selector)} is not allowed: pass 'lru', 'random', 'relevance', a HeadSelector "
        "object, or a function from a Turn to the index of a head."
    )
