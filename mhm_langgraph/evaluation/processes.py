"""A bench in several processes: where one processor is not enough to keep the server, or the reader, busy."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from threading import Thread

from mhm_langgraph import MHMError
from mhm_langgraph.evaluation.folder import Key
from mhm_langgraph.evaluation.records import Sample, Trajectory
from mhm_langgraph.evaluation.runner import Bench, Keeper, Luck, Samples, run_bench

__all__ = ["run_in_processes", "share_of"]


def run_in_processes(
    plan: Callable[[], Bench], processes: int, keeper: Keeper, watch: Callable[[Trajectory], None]
) -> None:
    """As `run_bench`, the samples and the runs under way shared out among processes.

    The processes end with this one, however it ends.

    Args:
        plan: Makes the bench, once more in each process; it must be known by name, as `pickle` asks.
        processes: How many.
        keeper: What is done already, and where trajectories go: they are kept by this process alone.
        watch: Told of each trajectory once it is kept.

    Raises:
        SettingsError: A setting is wrong, which no further run would mend.
        ReaderError: So many runs in a row failed that the model, or its server, must be at fault.
    """
    context = get_context("spawn")
    luck = Luck.of(plan().concurrency)
    children, pipes = [], []
    for number in range(processes):
        ours, its = context.Pipe()
        child = context.Process(target=_work, args=(plan, number, processes, keeper.done, its), daemon=True)
        child.start()
        its.close()
        children.append(child)
        pipes.append(ours)
    try:
        while pipes:
            for pipe in wait(pipes):
                assert isinstance(pipe, Connection)  # noqa: S101  # the type of what was waited for
                if (one := _received(pipe)) is None:
                    pipes.remove(pipe)
                    continue
                keeper.append(one)
                watch(one)
                luck.take(one)
    finally:
        for child in children:
            child.kill()
            child.join()


def _received(pipe: Connection) -> Trajectory | None:
    """What a process says; None when it has done its share.

    Raises:
        MHMError: What ended it.
    """
    try:
        said = pipe.recv()
    except EOFError:
        raise MHMError("A process of the bench ended by itself: was it killed, or out of memory?") from None
    if isinstance(said, Exception):
        raise said
    return None if said is None else Trajectory.from_json(said)


def share_of(bench: Bench, number: int, processes: int) -> Bench:
    """One process's part of a bench: every so many-th sample, and its part of the runs under way.

    Args:
        bench: The whole.
        number: Which part, from 0.
        processes: How many parts.

    Returns:
        The part. All parts together are the whole.
    """
    samples = {length: _Part(whole, number, processes) for length, whole in bench.samples.items()}
    at_once = len(range(number, bench.concurrency, processes))
    return replace(bench, samples=samples, concurrency=max(1, at_once))


@dataclass(frozen=True)
class _Part:
    """Every so many-th sample of a set."""

    whole: Samples
    number: int
    processes: int

    @property
    def ids(self) -> Sequence[str]:
        return self.whole.ids[self.number :: self.processes]

    def __getitem__(self, index: int, /) -> Sample:
        return self.whole[self.number + index * self.processes]


@dataclass
class _Sender:
    """Keeps trajectories by sending them to the parent."""

    done: set[Key]
    pipe: Connection

    def append(self, trajectory: Trajectory) -> None:
        self.pipe.send(trajectory.to_json())


def _work(plan: Callable[[], Bench], number: int, processes: int, done: set[Key], pipe: Connection) -> None:
    """What a process does: its share, and nothing once its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    try:
        bench = share_of(plan(), number, processes)
        asyncio.run(run_bench(bench, _Sender(done, pipe), lambda one: None))
    except MHMError as error:
        pipe.send(error)
    else:
        pipe.send(None)


def _end_with_parent(pipe: Connection) -> None:
    try:
        pipe.recv()  # nothing is ever sent this way: it returns when the parent is gone
    except (EOFError, OSError):
        os._exit(1)
