"""The runner: every sample by every method, so many at once, each trajectory kept as soon as it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from mhm_langgraph import BudgetError, Reader, ReaderError, SettingsError
from mhm_langgraph.errors import redact
from mhm_langgraph.evaluation.folder import Key
from mhm_langgraph.evaluation.methods import Method, Trial, trajectory
from mhm_langgraph.evaluation.records import Sample, Trajectory

__all__ = ["Bench", "Keeper", "Luck", "Models", "Samples", "run_bench"]

Models = Callable[[Sample, int], Reader]
"""The reader for a sample and a run."""

_PREFETCHED = 2  # samples built ahead; more would only take memory
_FAILED_AT_FIRST = 5  # runs that fail before any succeeds: nothing is right
_LONGEST_ERROR = 500  # characters


class Samples(Protocol):
    """Samples of one length, built when they are taken."""

    @property
    def ids(self) -> Sequence[str]:
        """Their ids, without building them."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Build one."""
        ...


class Keeper(Protocol):
    """Where trajectories go."""

    @property
    def done(self) -> set[Key]:
        """What is finished already."""
        ...

    def append(self, trajectory: Trajectory) -> None:
        """Keep one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is to be done.

    Args:
        samples: The samples of each length.
        methods: The methods.
        models: The reader for a sample and a run.
        trial: What the methods are to work with; reader, run and seed are set for each run.
        runs: How often each method reads each sample.
        concurrency: How many runs are under way at once: each has one model call in flight.
    """

    samples: Mapping[int, Samples]
    methods: Sequence[Method]
    models: Models
    trial: Trial
    runs: int = 1
    concurrency: int = 32

    def keys(self) -> list[Key]:
        """All that is to be done, finished or not."""
        return [
            (length, name, method.name, run)
            for length, samples in self.samples.items()
            for name in samples.ids
            for run in range(self.runs)
            for method in self.methods
        ]


async def run_bench(bench: Bench, keeper: Keeper, watch: Callable[[Trajectory], None]) -> None:
    """Do what is not done yet.

    A sample is built when its first run is near, and let go after its last. What fails becomes a trajectory
    with an `error`: it is counted, never scored, and done again at the next start.

    Args:
        bench: What is to be done.
        keeper: What is done already, and where trajectories go.
        watch: Told of each trajectory once it is kept.

    Raises:
        SettingsError: A setting is wrong, which no further run would mend.
        ReaderError: So many runs in a row failed that the model, or its server, must be at fault.
    """
    queue: asyncio.Queue[_Job | None] = asyncio.Queue(_PREFETCHED)
    luck = Luck.of(bench.concurrency)

    async def produce() -> None:
        async with aclosing(_jobs(bench, keeper.done)) as jobs:
            async for job in jobs:
                await queue.put(job)
        for _ in range(bench.concurrency):
            await queue.put(None)

    async def work() -> None:
        while (job := await queue.get()) is not None:
            one = await _done(bench, job)
            keeper.append(one)
            watch(one)
            luck.take(one)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            for _ in range(bench.concurrency):
                group.create_task(work())
    except ExceptionGroup as errors:
        failure = errors.exceptions[0]
    else:
        return
    raise failure  # out here, where the group does not hang on to it as its context


@dataclass(frozen=True)
class _Job:
    """One run of one method on one sample."""

    sample: Sample
    method: Method
    run: int


async def _jobs(bench: Bench, done: set[Key]) -> AsyncGenerator[_Job]:
    """What is not done yet, sample by sample."""
    for length, samples in bench.samples.items():
        for index, name in enumerate(samples.ids):
            missing = [
                (method, run)
                for run in range(bench.runs)
                for method in bench.methods
                if (length, name, method.name, run) not in done
            ]
            if missing:
                sample = await asyncio.to_thread(samples.__getitem__, index)
                for method, run in missing:
                    yield _Job(sample, method, run)


async def _done(bench: Bench, job: _Job) -> Trajectory:
    """Do one; a failure is a record too.

    Raises:
        SettingsError: A setting is wrong.
        BudgetError: The prompts can not fit the model's window.
    """
    began = time.perf_counter()
    try:
        trial = replace(
            bench.trial,
            reader=bench.models(job.sample, job.run),
            run=job.run,
            seed=bench.trial.seed + job.run,
        )
        return await job.method.run(job.sample, trial)
    except (SettingsError, BudgetError):
        raise
    except Exception as error:
        return trajectory(job.sample, job.method.name, job.run, None, began, error=_told(error))


def _told(error: Exception) -> str:
    """A failure on one line, without secrets and without the advice for who holds the graph."""
    text = error.reason if isinstance(error, ReaderError) else f"{type(error).__name__}: {error}"
    return redact(" ".join(text.split()))[:_LONGEST_ERROR]


@dataclass
class Luck:
    """How many runs in a row have failed.

    Args:
        limit: How many are too many, once one has succeeded.
    """

    limit: int
    succeeded: bool = False
    failed: int = 0

    @classmethod
    def of(cls, concurrency: int) -> Luck:
        """Of so many runs under way: all of them may fail for one reason, and once more."""
        return cls(max(_FAILED_AT_FIRST, 2 * concurrency))

    def take(self, one: Trajectory) -> None:
        """Count one.

        Raises:
            ReaderError: Going on would only fail further.
        """
        if one.error is None:
            self.succeeded, self.failed = True, 0
            return
        self.failed += 1
        if self.failed >= (self.limit if self.succeeded else _FAILED_AT_FIRST):
            raise ReaderError(
                f"{self.failed} runs in a row failed, so the bench has stopped. The last: {one.error}"
            )
