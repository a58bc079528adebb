"""The gate every model call of a batch goes through: it counts, it paces, and it closes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple, Protocol, TypeVar

from langgraph.config import get_config

from mhm_langgraph import MHMError, Reader, Reply, SettingsError, Usage
from mhm_langgraph.batch.limits import Limits
from mhm_langgraph.readers import AnswerRequest, Load, Pick, PickRequest, UpdateRequest
from mhm_langgraph.state import add_usage, no_usage
from mhm_langgraph.tokens import TokenCounter, counting, utf8_tokens

__all__ = ["BatchStoppedError", "Gate", "GateState", "GatedReader", "OpenGate"]

Request = TypeVar("Request", UpdateRequest, AnswerRequest, PickRequest)
Result = TypeVar("Result", Reply, Pick)
_PICK_TOKENS = 16
_A_MINUTE = 60.0


class BatchStoppedError(MHMError):
    """The batch is stopped before a model call; the job's thread holds all that was read."""


class GateState(NamedTuple):
    """How a batch stands.

    Args:
        usage: What it has cost, over all its runs.
        closed: Why nothing more is asked; None while it is open.
        calls: Calls that this run has made for jobs that have ended.
        calls_under_way: Calls that it has made for jobs that have not.
    """

    usage: Usage
    closed: str | None
    calls: int
    calls_under_way: int


class Gate(Protocol):
    """What jobs and the batch say to the gate, in this process or from another."""

    async def begin(self, thread: str, usage: Usage) -> int:
        """A job is taken up that has cost so much before: how often it was taken up in this run.

        Said again, since a worker was lost, its cost still counts once.
        """
        ...

    async def admit(self, tokens: int) -> bool:
        """Wait for a call's turn; False where no more calls are to be made."""
        ...

    async def spend(self, thread: str, usage: Usage) -> None:
        """A call of a job has cost so much."""
        ...

    async def settle(self, thread: str, usage: Usage) -> None:
        """A job has ended, and has cost so much in all."""
        ...

    async def close(self, reason: str) -> None:
        """Let no more calls through."""
        ...

    async def state(self) -> GateState:
        """How the batch stands."""
        ...


class OpenGate:
    """The gate itself; of a batch there is one.

    Args:
        limits: Ceilings and rates.
        usage: What earlier runs have cost.
    """

    def __init__(self, limits: Limits, usage: Usage) -> None:
        self._limits = limits
        self._total, self._running, self._begun = usage, dict[str, Usage](), dict[str, int]()
        # Apart from the usage, which many a reader does not tell, and which holds earlier runs.
        self._calls, self._calls_ended = Counter[str](), 0
        self._rates = [
            _rate(limits.requests_per_minute),
            _rate(limits.tokens_per_minute),
        ]
        self._paced = any(self._rates)
        self._reason: str | None = None
        self._closed = asyncio.Event()

    async def begin(self, thread: str, usage: Usage) -> int:
        """As `Gate.begin`."""
        self._count(self._running.pop(thread, no_usage()), -1)
        self._running[thread] = usage
        self._count(usage)
        self._begun[thread] = self._begun.get(thread, 0) + 1
        return self._begun[thread]

    async def admit(self, tokens: int) -> bool:
        """As `Gate.admit`. Calls under way are finished, so a ceiling is passed by those at most."""
        self._look()
        if self._paced and not self._closed.is_set():
            await self._wait(tokens)
            self._look()
        return not self._closed.is_set()

    async def spend(self, thread: str, usage: Usage) -> None:
        """As `Gate.spend`."""
        self._calls[thread] += 1
        self._running[thread] = add_usage(self._running.get(thread, no_usage()), usage)
        self._count(usage)

    async def settle(self, thread: str, usage: Usage) -> None:
        """As `Gate.settle`."""
        self._count(self._running.pop(thread, no_usage()), -1)
        self._count(usage)
        self._begun.pop(thread, None)
        self._calls_ended += self._calls.pop(thread, 0)

    async def close(self, reason: str) -> None:
        """As `Gate.close`; the first reason stands."""
        self._reason = self._reason or reason
        self._closed.set()

    async def state(self) -> GateState:
        """As `Gate.state`."""
        return GateState(self._total, self._reason, self._calls_ended, self._calls.total())

    def _count(self, usage: Usage, sign: int = 1) -> None:
        """Add to the total, which every call looks at: a sum over all jobs under way would take too long."""
        self._total = Usage(
            input_tokens=self._total["input_tokens"] + sign * usage["input_tokens"],
            output_tokens=self._total["output_tokens"] + sign * usage["output_tokens"],
            calls=self._total["calls"] + sign * usage["calls"],
        )

    def _look(self) -> None:
        """Close at a ceiling."""
        if not self._closed.is_set() and (reason := self._limits.spent(self._total)):
            self._reason = reason
            self._closed.set()

    async def _wait(self, tokens: int) -> None:
        """Wait for the rates, or for the gate to be closed."""
        turn = asyncio.ensure_future(self._turn(tokens))
        closed = asyncio.ensure_future(self._closed.wait())
        await asyncio.wait({turn, closed}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (turn, closed):
            waiting.cancel()
        await asyncio.gather(turn, closed, return_exceptions=True)

    async def _turn(self, tokens: int) -> None:
        for limiter, amount in zip(self._rates, (1.0, float(tokens)), strict=True):
            while limiter is not None and amount > 0:  # more than a bucket holds is taken in parts
                part = min(amount, limiter.max_rate)
                await limiter.acquire(part)
                amount -= part


def _rate(per_minute: float | None) -> Any:
    """A bucket that lets a minute's amount through evenly, a second's worth at once."""
    if per_minute is None:
        return None
    try:
        from aiolimiter import AsyncLimiter
    except ModuleNotFoundError as error:
        raise SettingsError('rates a minute need their extra: pip install "mhm-langgraph[batch]"') from error
    period = max(1.0, _A_MINUTE / per_minute)  # a bucket holds one request at least
    return AsyncLimiter(per_minute * period / _A_MINUTE, period)


class GatedReader(Reader):
    """A reader whose every call goes through the gate.

    Args:
        reader: The reader.
        gate: The gate.
        paced: Whether tokens a minute are limited, so that each call's are counted beforehand.
    """

    def __init__(self, reader: Reader, gate: Gate, *, paced: bool = False) -> None:
        self._reader, self._gate, self._paced = reader, gate, paced
        self.description = reader.description

    def __getattr__(self, name: str) -> Any:
        """What else the factory looks for in a reader: its model, the prompts that suit it."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._reader, name)

    def update(self, request: UpdateRequest) -> Reply:
        """Ungated; a batch runs in an event loop."""
        return self._reader.update(request)

    def answer(self, request: AnswerRequest) -> Reply:
        """Ungated; a batch runs in an event loop."""
        return self._reader.answer(request)

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """As `Reader.aupdate`."""
        tokens = await self._size(
            request.count,
            request.head_tokens,
            request.question,
            request.chunk,
            *request.heads,
            *request.recalled,
        )
        return await self._gated(tokens, request, self._reader.aupdate)

    async def aanswer(self, request: AnswerRequest) -> Reply:
        """As `Reader.aanswer`."""
        texts = request.question, *request.heads, *request.recalled
        tokens = await self._size(request.count, request.answer_tokens, *texts)
        return await self._gated(tokens, request, self._reader.aanswer)

    async def apick(self, request: PickRequest) -> Pick:
        """As `Reader.apick`."""
        tokens = await self._size(utf8_tokens, _PICK_TOKENS, request.question, request.chunk, *request.heads)
        return await self._gated(tokens, request, self._reader.apick)

    def check(self, load: Load) -> None:
        """As `Reader.check`."""
        self._reader.check(load)

    async def _size(self, count: TokenCounter, reply: int, *prompt: str | None) -> int:
        """Tokens of a call, where they matter: counting them may take longer than all else."""
        if not self._paced:
            return 0
        return reply + await counting(count, lambda: sum(count(text) for text in prompt if text))

    async def _gated(
        self, tokens: int, request: Request, call: Callable[[Request], Awaitable[Result]]
    ) -> Result:
        """Wait, call, and tell what it has cost. A call that the reader makes again waits again."""
        if not await self._gate.admit(tokens):
            raise BatchStoppedError("The batch is stopped.")
        turn = _after_the_first(partial(self._gate.admit, tokens))
        reply = await call(replace(request, patience=replace(request.patience, turn=turn)))
        await self._gate.spend(get_config()["configurable"]["thread_id"], reply.usage)
        return reply


def _after_the_first(admit: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[None]]:
    """A turn to wait for from the second time on. Where the gate has closed, what was begun is finished."""
    calls = count()

    async def turn() -> None:
        if next(calls):
            await admit()

    return turn
