"""How many model calls a second `mhm bench` makes, beside what 32 in flight could make.

The server answers after a fixed time however many ask, in a process of its own on the same machine. Three
clients ask it: OpenAI's own alone, LangChain's `ChatOpenAI` alone, and the runner with the whole graph.
`python -m benchmarks.throughput` measures; each client has a fresh interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from openai import AsyncOpenAI

from benchmarks.common import HEAD_TOKENS, HEADS, QUESTION, prose
from benchmarks.fixed_server import fixed_server
from benchmarks.table import conditions, progress
from mhm_langgraph.evaluation import Sample, Trajectory
from mhm_langgraph.evaluation.folder import Key
from mhm_langgraph.evaluation.methods import Trial, resolve_methods
from mhm_langgraph.evaluation.models import open_models
from mhm_langgraph.evaluation.processes import run_in_processes
from mhm_langgraph.evaluation.runner import Bench, run_bench

__all__ = ["main"]

_RESULTS = Path(__file__).resolve().parent / "results"
_IN_FLIGHT = 32
_CHUNK_TOKENS = 5000
_STEPS = 12  # of a sample: its text has so many chunks, and one more call answers
_LATENCIES = (0.05, 0.2, 1.0)
_GOAL = 0.95
_CHILD = "--one"
_SECONDS = 8  # that a measurement takes at full speed


@dataclass(frozen=True)
class Measured:
    """One client at one latency, from its 33rd call or run on: what a start imports is not counted.

    Args:
        client: Which.
        latency: The server's, in seconds.
        processes: Of the client.
        calls: How many it made.
        seconds: By the clock.
        most: The most that the server saw at once.
        cpu: Seconds of processor time; None where it is spread over processes.
    """

    client: str
    latency: float
    processes: int
    calls: int
    seconds: float
    most: int
    cpu: float | None

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    @property
    def share(self) -> float:
        """Of what so many in flight could be at this latency."""
        return self.rate * self.latency / _IN_FLIGHT


@dataclass(frozen=True)
class Texts:
    """Samples of running text."""

    count: int
    text: str

    @property
    def ids(self) -> Sequence[str]:
        return [f"{number}" for number in range(self.count)]

    def __getitem__(self, index: int, /) -> Sample:
        return Sample(
            id=f"{index}",
            task="throughput",
            length=0,
            tokens=0,
            question=QUESTION,
            context=self.text,
            answers=("?",),
        )


@dataclass
class Meter:
    """Counts calls from the 33rd report on. For the runner it stands where trajectories go."""

    done: set[Key] = field(default_factory=set)
    reports: int = 0
    calls: int = 0
    began: float = 0.0
    busy: float = 0.0

    def append(self, one: Trajectory) -> None:
        """A run has ended."""
        assert one.error is None, one.error
        self.count(one.usage["calls"])

    def count(self, calls: int) -> None:
        """So many calls have been made."""
        self.reports += 1
        if self.reports == _IN_FLIGHT:
            self.began, self.busy = time.perf_counter(), time.process_time()
        elif self.reports > _IN_FLIGHT:
            self.calls += calls

    def read(self) -> dict[str, float]:
        """What has been counted."""
        return {
            "calls": self.calls,
            "seconds": time.perf_counter() - self.began,
            "cpu": time.process_time() - self.busy,
        }


def plan(url: str, samples: int) -> Bench:
    """The bench that is measured: the paper's sizes, one method."""
    models = open_models("openai:latency", base_url=url)
    texts = Texts(samples, prose(_CHUNK_TOKENS * 4 * _STEPS))
    trial = Trial(reader=models(texts[0], 0), memory_tokens=HEADS * HEAD_TOKENS, chunk_tokens=_CHUNK_TOKENS)
    return Bench(
        samples={0: texts},
        methods=resolve_methods(["mhm-lru"]),
        models=models,
        trial=trial,
        concurrency=_IN_FLIGHT,
    )


def runner(url: str, calls: int, processes: int) -> Meter:
    """The runner, with the whole graph."""
    meter, rounds = Meter(), 1 + math.ceil(calls / (_STEPS + 1) / _IN_FLIGHT)
    samples = rounds * _IN_FLIGHT  # full to the end
    if processes == 1:
        asyncio.run(run_bench(plan(url, samples), meter, lambda one: None))
    else:
        run_in_processes(partial(plan, url, samples), processes, meter, lambda one: None)
    return meter


def langchain(url: str, calls: int, processes: int) -> Meter:
    """LangChain's client alone."""
    model = open_models("openai:latency", base_url=url).model
    assert model is not None
    return asyncio.run(_asked(lambda text: model.ainvoke([("human", text)]), calls))


def openai(url: str, calls: int, processes: int) -> Meter:
    """OpenAI's client alone."""

    async def ask() -> Meter:
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            create = client.chat.completions.create
            return await _asked(
                lambda text: create(model="latency", messages=[{"role": "user", "content": text}]), calls
            )

    return asyncio.run(ask())


async def _asked(call: Callable[[str], Awaitable[object]], calls: int) -> Meter:
    """So many calls, 32 in flight, of the size that the runner's have."""
    text, meter = prose((_CHUNK_TOKENS + HEADS * HEAD_TOKENS) * 4), Meter()

    async def one_after_another() -> None:
        for _ in range(1 + math.ceil(calls / _IN_FLIGHT)):
            await call(text)
            meter.count(1)

    await asyncio.gather(*(one_after_another() for _ in range(_IN_FLIGHT)))
    return meter


_CLIENTS = {"openai alone": openai, "ChatOpenAI alone": langchain, "mhm bench": runner}


def measure(quick: bool, processes: Sequence[int]) -> list[Measured]:
    """All clients at all latencies."""
    rows = [(name, 1) for name in _CLIENTS] + [("mhm bench", number) for number in processes if number > 1]
    found = []
    for latency in _LATENCIES[:1] if quick else _LATENCIES:
        calls = int(_IN_FLIGHT / latency * (1 if quick else _SECONDS))
        with fixed_server(latency) as server:
            for name, number in rows:
                progress(f"throughput: {name}, {number} processes, {1000 * latency:.0f} ms")
                told = _in_a_fresh_interpreter(name, server.url, calls, number)
                cpu = told["cpu"] if number == 1 else None
                most = server.counts().most
                found.append(Measured(name, latency, number, int(told["calls"]), told["seconds"], most, cpu))
    return found


def _in_a_fresh_interpreter(name: str, url: str, calls: int, processes: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.throughput", _CHILD, name, url, f"{calls}", f"{processes}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _child(arguments: list[str]) -> bool:
    """Whether this is the interpreter that asks; if so, it has, and has printed what it counted."""
    if arguments[:1] != [_CHILD]:
        return False
    name, url, calls, processes = arguments[1:]
    print(json.dumps(_CLIENTS[name](url, int(calls), int(processes)).read()))
    return True


def markdown(rows: Sequence[Measured], facts: dict[str, str]) -> str:
    """The rows as a page."""
    lines = ["# Calls a second, 32 in flight", ""]
    lines += [*(f"- {key}: {value}" for key, value in facts.items()), ""]
    lines += [
        f"Prompts of {_CHUNK_TOKENS + HEADS * HEAD_TOKENS:,} tokens (a chunk, full heads), replies that fill "
        "a head. The ideal is 32 / latency. Client and server share the machine.",
        "",
        "| client | processes | latency | calls | ideal a second | measured | share | at once | CPU a call |"
        " >= 95% |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            row.client,
            f"{row.processes}",
            f"{1000 * row.latency:,.0f} ms",
            f"{row.calls:,}",
            f"{_IN_FLIGHT / row.latency:,.0f}",
            f"{row.rate:,.0f}",
            f"{row.share:.0%}",
            f"{row.most}",
            "-" if row.cpu is None else f"{1000 * row.cpu / row.calls:.1f} ms",
            "yes" if row.share >= _GOAL else "NO",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 ms alone, a second each; nothing is kept")
    parser.add_argument("--processes", type=int, nargs="+", default=[2], help="numbers of processes to try")
    asked = parser.parse_args()
    before = os.getloadavg()[0]
    rows = measure(asked.quick, asked.processes)
    facts = conditions("python -m benchmarks.throughput") | {
        "load": f"average {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    }
    page = markdown(rows, facts)
    print(page)
    if not asked.quick:
        table = [asdict(row) | {"share": row.share, "rate": row.rate} for row in rows]
        text = json.dumps({"measured": facts, "rows": table}, indent=2)
        (_RESULTS / "throughput.json").write_text(text + "\n", encoding="utf-8")
        (_RESULTS / "throughput.md").write_text(page, encoding="utf-8")


if __name__ == "__main__" and not _child(sys.argv[1:]):
    main()
