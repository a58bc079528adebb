"""The one place where results are written, and where a batch is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from mhm_langgraph import MHMError, Usage
from mhm_langgraph.batch.checkpoints import Checkpoints
from mhm_langgraph.batch.folder import Done, Scan
from mhm_langgraph.batch.gate import Gate
from mhm_langgraph.batch.limits import Limits
from mhm_langgraph.batch.results import ResultRow, ResultsFile, can_go_on

__all__ = ["GROUP", "Progress", "Recorder"]

GROUP = 256
"""So many rows are written at one stroke at most, and after them their threads are forgotten."""
_TICK = 1.0  # seconds


@dataclass(frozen=True)
class Progress:
    """How a batch stands.

    Args:
        total: Jobs in the file.
        before: Jobs that earlier runs have ended.
        failed_before: How many of those failed.
        ended: Jobs that this run has ended.
        failed: How many of those failed.
        usage: What all runs have cost.
        cost: The same in money, 0 where no prices are given.
        seconds: Of this run.
        calls: Model calls that this run has made for the jobs that it has ended.
        calls_under_way: Those that it has made for jobs that have not ended.
        stopped: Why it was stopped, None where it was not.
    """

    total: int
    before: int
    failed_before: int
    ended: int
    failed: int
    usage: Usage
    cost: float
    seconds: float
    calls: int = 0
    calls_under_way: int = 0
    stopped: str | None = None

    @property
    def left(self) -> int:
        """Jobs without a row."""
        return self.total - self.before - self.ended

    @property
    def seconds_left(self) -> float | None:
        """What the rest will take at this run's rate of calls; None before a job has ended that made any.

        It supposes that the jobs left take as many calls as those that have ended: more is not known of
        them. Each has one call to make at least.
        """
        if not (self.ended and self.calls):
            return None
        rest = self.left * self.calls / self.ended - self.calls_under_way
        return self.seconds / (self.calls + self.calls_under_way) * max(rest, self.left)


class Recorder:
    """Writes rows in groups, then forgets their threads: in this order, so that a kill loses neither.

    Args:
        results: The file of results.
        checkpoints: The store of unfinished jobs.
        gate: The gate, which counts and closes.
        limits: Of failures, and prices.
        scan: What the file of jobs holds.
        done: What earlier runs have done.
        keep_threads: Whether threads of finished jobs are kept.
        watch: Called with the progress.
    """

    def __init__(
        self,
        results: ResultsFile,
        checkpoints: Checkpoints,
        gate: Gate,
        limits: Limits,
        scan: Scan,
        done: Done,
        keep_threads: bool,
        watch: Callable[[Progress], None] | None,
    ) -> None:
        self._results, self._checkpoints, self._gate, self._limits = results, checkpoints, gate, limits
        self._scan, self._done, self._keep, self._watch = scan, done, keep_threads, watch
        self._rows: asyncio.Queue[ResultRow | None] = asyncio.Queue(GROUP)
        self._ended = self._failed = 0
        self._outcomes = [0, 0]  # as they come: written or not, failures tell at once
        self._broken = self.stopping = False
        self._started = time.monotonic()

    async def put(self, row: ResultRow) -> None:
        """Take a row in; waits while many are to be written."""
        self._outcomes[0] += 1
        self._outcomes[1] += row["error"] is not None
        if reason := self._limits.failed(self._outcomes[1], self._outcomes[0]):
            await self.stop(f"{reason} Look at their errors, then go on with --retry-failed.")
        await self._rows.put(row)

    async def stop(self, reason: str) -> None:
        """Take up no more jobs, and make no more calls; the first reason stands."""
        self.stopping = True
        await self._gate.close(reason)

    async def end(self) -> None:
        """No more rows come."""
        await self._rows.put(None)

    async def write(self) -> None:
        """Write rows as they come, until the end."""
        ending = False
        while not ending:
            rows = [await self._rows.get()]
            while len(rows) < GROUP and not self._rows.empty():
                rows.append(self._rows.get_nowait())
            ending = rows[-1] is None
            await self._record([row for row in rows if row is not None])
        await self._show()

    async def tick(self) -> None:
        """Show the progress every second."""
        while True:
            await self._show()
            await asyncio.sleep(_TICK)

    async def progress(self) -> Progress:
        """How the batch stands."""
        gate = await self._gate.state()
        self.stopping |= gate.closed is not None
        return Progress(
            total=self._scan.total,
            before=self._scan.done,
            failed_before=self._done.failed,
            ended=self._ended,
            failed=self._failed,
            usage=gate.usage,
            cost=self._limits.cost(gate.usage["input_tokens"], gate.usage["output_tokens"]),
            seconds=time.monotonic() - self._started,
            calls=gate.calls,
            calls_under_way=gate.calls_under_way,
            stopped=gate.closed,
        )

    async def _record(self, rows: list[ResultRow]) -> None:
        """Write rows, then count and forget. After a failure to write, rows wait in their threads."""
        if not rows or self._broken:
            return
        try:
            await asyncio.to_thread(self._results.append, rows)
            for row in rows:
                await self._gate.settle(row["thread"], row["usage"])
                self._ended += 1
                self._failed += row["error"] is not None
                if not (self._keep or can_go_on(row["error"])):
                    await self._checkpoints.forget(row["thread"])
        except Exception as error:
            self._broken = True
            await self.stop(str(error))
            if not isinstance(error, MHMError | OSError):
                raise

    async def _show(self) -> None:
        if self._watch is not None:
            self._watch(await self.progress())
