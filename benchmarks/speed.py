"""Time around the model: a step of three nodes with a reader that takes none."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from benchmarks.common import (
    QUESTION,
    InstantReader,
    chunk_tokens_for,
    megabytes,
    prose,
    temporary_folder,
)
from benchmarks.table import Row, main, progress
from mhm_langgraph import MHMInput, create_mhm_agent

__all__ = ["measure"]

_GOAL = 0.0015  # seconds
_CHUNK_BYTES = 20_000
_FULL, _QUICK = (100, 24), (8, 2)  # steps, runs; short runs, so that some meet no neighbour

Run = Callable[[], Any]


@dataclass(frozen=True)
class Times:
    """Seconds a step, one figure a run.

    Args:
        seconds: By the clock, which the goal is about.
        cpu: Of the process and its threads: what is left of it where neighbours take the cores.
    """

    seconds: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def best(self) -> float:
        """The fastest run: what the code needs when no neighbour is in its way."""
        return min(self.seconds)

    def __str__(self) -> str:
        return (
            f"best {1000 * self.best:.2f} ms, median {1000 * median(self.seconds):.2f} ms "
            f"(CPU {1000 * min(self.cpu):.2f} and {1000 * median(self.cpu):.2f})"
        )


class BareState(TypedDict, total=False):
    """The least that a loop needs."""

    step: int


def measure(quick: bool) -> list[Row]:
    """The rows of this theme."""
    steps, runs = _QUICK if quick else _FULL
    text = prose(steps * _CHUNK_BYTES)
    with temporary_folder() as folder:
        path = folder / "book.txt"
        path.write_text(text, encoding="utf-8")
        candidates = _candidates(text, path, steps)
        progress(f"speed: {runs} runs of {', '.join(candidates)}")
        load = f"load average {os.getloadavg()[0]:.1f} before"
        times = _timed(candidates, steps, runs)
    return [
        _row(f"{kind}, {mode}", times[f"{kind} {mode}"], times[f"bare {mode}"], steps, load, quick)
        for mode in ("sync", "async")
        for kind in ("file", "inline")
    ]


def _candidates(text: str, path: Path, steps: int) -> dict[str, Run]:
    """What is timed, by name; the bare loops belong to the same runs."""
    agent = create_mhm_agent(InstantReader(), chunk_tokens=chunk_tokens_for(text, steps))
    file = MHMInput(question=QUESTION, source=str(path))
    inline = MHMInput(question=QUESTION, document=text)
    config = {"recursion_limit": 3 * steps + 10}
    bare, abare = _bare_loop(steps, mode="sync"), _bare_loop(steps, mode="async")
    return {
        "bare sync": partial(bare.invoke, {"step": 0}, config),
        "file sync": partial(agent.invoke, file),
        "inline sync": partial(agent.invoke, inline),
        "bare async": lambda: asyncio.run(abare.ainvoke({"step": 0}, config)),
        "file async": lambda: asyncio.run(agent.ainvoke(file)),
        "inline async": lambda: asyncio.run(agent.ainvoke(inline)),
    }


def _timed(candidates: dict[str, Run], steps: int, runs: int) -> dict[str, Times]:
    """Take turns, so that a noisy minute falls on all alike; the first, cold turn is not counted."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(runs + 1):
        for name, run in candidates.items():
            began, busy = time.perf_counter(), time.process_time()
            taken = run()["step"]
            elapsed, used = time.perf_counter() - began, time.process_time() - busy
            assert abs(taken - steps) <= 1 + steps // 50, f"{name} took {taken} steps"
            found[name].append((elapsed / taken, used / taken))
    return {name: Times(*zip(*values[1:], strict=True)) for name, values in found.items()}


def _bare_loop(steps: int, *, mode: Literal["sync", "async"]) -> Any:
    """LangGraph's own share: a loop of three nodes that do nothing."""

    def nothing(_: BareState) -> BareState:
        return {}

    def step(state: BareState) -> BareState:
        return {"step": state["step"] + 1}

    async def anothing(_: BareState) -> BareState:
        return {}

    async def astep(state: BareState) -> BareState:
        return {"step": state["step"] + 1}

    # A sync function in an async graph would go through a thread: that is not LangGraph's share.
    idle: Any = nothing if mode == "sync" else anothing
    last: Any = step if mode == "sync" else astep
    builder = StateGraph(BareState)
    builder.add_sequence([("first", idle), ("second", idle), ("third", last)])
    builder.add_edge(START, "first")
    builder.add_conditional_edges(
        "third", lambda state: END if state["step"] >= steps else "first", ["first", END]
    )
    return builder.compile()


def _row(name: str, times: Times, bare: Times, steps: int, load: str, quick: bool) -> Row:
    """One way of running, beside LangGraph alone."""
    return Row(
        name=f"time around the model, per step of three nodes, no checkpointer, {name}",
        limit=f"0.5 ms (LangGraph itself; here {1000 * bare.best:.2f} ms)",
        goal=f"<= {1000 * _GOAL:.1f} ms",
        measured=str(times),
        value=times.best,
        unit="seconds",
        met=None if quick else times.best <= _GOAL,
        note=f"CPU {min(times.cpu) / min(bare.cpu):.1f} x a bare loop of three nodes ({bare}); "
        f"{len(times.seconds)} runs of {steps} steps, {megabytes(steps * _CHUNK_BYTES)}, chunks of 5000 "
        f"tokens, full heads; the goal is held against the best by the clock; {load}",
        detail={"a step": asdict(times), "a step of the bare loop": asdict(bare)},
    )


if __name__ == "__main__":
    main(measure, __doc__)
