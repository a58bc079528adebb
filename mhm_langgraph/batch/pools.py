"""Workers: in this process, or elsewhere. Either way a list of slots, each running one job at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from mhm_langgraph import Usage
from mhm_langgraph.batch.gate import Gate, OpenGate
from mhm_langgraph.batch.jobs import Job
from mhm_langgraph.batch.limits import Limits
from mhm_langgraph.batch.results import ResultRow
from mhm_langgraph.batch.work import Work, Worker

__all__ = ["Local", "Pool", "Slot"]

Slot: TypeAlias = Callable[[Job], Awaitable[ResultRow | None]]
"""Runs one job at a time; None where the batch was stopped before its end."""


@dataclass
class Pool:
    """Workers that are ready.

    Args:
        gate: The gate of all of them.
        workers: The slots of each worker.
        release: Called with a worker's number when it has no more to do.
    """

    gate: Gate
    workers: list[list[Slot]]
    release: Callable[[int], None] = lambda number: None


@dataclass(frozen=True, kw_only=True)
class Local:
    """This process, and no other."""

    @asynccontextmanager
    async def pool(self, work: Work, limits: Limits, usage: Usage) -> AsyncIterator[Pool]:
        """The one worker.

        Args:
            work: What it has to know.
            limits: Ceilings and rates.
            usage: What earlier runs have cost.

        Yields:
            The pool.
        """
        gate = OpenGate(limits, usage)
        worker = Worker(work, gate)
        try:
            yield Pool(gate, [[worker.run] * work.concurrency])
        finally:
            await worker.checkpoints.aclose()
