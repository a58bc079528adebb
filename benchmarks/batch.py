"""How much of a model server's throughput a batch uses, here and on Ray: `python -m benchmarks.batch`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from benchmarks.common import HEAD_TOKENS, HEADS, QUESTION, full_text, prose, temporary_folder
from benchmarks.fixed_server import Counts, FixedServer, fixed_server
from benchmarks.table import Row, conditions, markdown, progress, show

__all__ = ["main", "measure"]

_RESULTS = Path(__file__).resolve().parent / "results"
_CHUNK_BYTES = 20_000  # 5,000 tokens, the default
_LOCAL_GOAL, _RAY_GOAL = 0.95, 0.90
_A_JOB = 2  # jobs a slot, one after the other


@dataclass(frozen=True)
class Scale:
    """How large the measurements are.

    Args:
        latency: Seconds a call takes.
        chunks: Chunks of each document.
        local: Jobs at once on this machine.
        ray: Jobs at once in each of Ray's workers.
    """

    latency: float
    chunks: int
    local: tuple[int, ...]
    ray: int


_FULL = Scale(2.0, 9, (16, 32, 64, 128), 16)
_QUICK = Scale(0.1, 2, (4,), 2)


@dataclass(frozen=True)
class Measured:
    """One batch.

    Args:
        counts: What the server saw.
        cpu: Seconds of CPU of the batch's processes, from their start to their end.
        slots: Jobs at once.
        latency: Seconds a call took.
    """

    counts: Counts
    cpu: float
    slots: int
    latency: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.counts.calls / self.counts.seconds

    @property
    def cpu_a_call(self) -> str:
        """CPU of a call, for people."""
        return f"{1000 * self.cpu / self.counts.calls:.1f} ms of CPU a call"

    @property
    def share(self) -> float:
        """Of what the server can take: so many slots that are never empty."""
        return self.rate * self.latency / self.slots


def measure(quick: bool, ray: bool = True) -> list[Row]:
    """The rows of this theme."""
    scale = _QUICK if quick else _FULL
    with temporary_folder() as folder, fixed_server(scale.latency) as server:
        rows = list(_local_rows(folder, server, scale, quick))
        return [*rows, *(_ray_rows(folder, server, scale, quick) if ray else ())]


def _local_rows(folder: Path, server: FixedServer, scale: Scale, quick: bool) -> Iterator[Row]:
    for slots in scale.local:
        progress(f"batch: {slots} jobs at once")
        bare = asyncio.run(_bare(server, scale, slots))
        found = _batch(folder, server, scale, slots, "--concurrency", str(slots))
        yield _row(f"mhm batch, {slots} jobs at once", found, quick, bare=bare)


def _ray_rows(folder: Path, server: FixedServer, scale: Scale, quick: bool) -> Iterator[Row]:
    found = {}
    for workers in (1, 2):
        progress(f"batch: Ray, {workers} workers")
        options = ["--engine", "ray", "--workers", str(workers), "--concurrency", str(scale.ray)]
        found[workers] = _batch(folder, server, scale, workers * scale.ray, *options)
        yield _row(f"over Ray, {workers} workers of {scale.ray} jobs at once", found[workers], quick)
    ratio = found[2].rate / (2 * found[1].rate)
    yield Row(
        name="over Ray, 2 workers against twice one worker",
        limit="1.00",
        goal=f">= {_RAY_GOAL:.2f}",
        measured=f"{ratio:.3f}",
        value=ratio,
        unit="ratio",
        met=None if quick else ratio >= _RAY_GOAL,
        note=f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
    )


def _row(name: str, found: Measured, quick: bool, *, bare: Measured | None = None) -> Row:
    latency, calls, counts = found.latency, found.counts.calls, found.counts
    notes = [
        *([f"a bare HTTP client: {bare.share:.1%}, {bare.cpu_a_call}"] if bare else []),
        f"{calls} calls, at most {counts.most} at once, {found.cpu_a_call}, start and end included",
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
    ]
    return Row(
        name=f"calls a second, {name}, {latency:g} s a call",
        limit=f"{found.slots / latency:.1f}",
        goal=f">= {_LOCAL_GOAL:.0%} of it" if bare else "",
        measured=f"{found.rate:.2f} ({found.share:.1%})",
        value=found.rate,
        unit="calls a second",
        met=None if quick or not bare else found.share >= _LOCAL_GOAL,
        note="; ".join(notes),
        detail={"share": found.share, **asdict(found)},
    )


def _batch(folder: Path, server: FixedServer, scale: Scale, slots: int, *options: str) -> Measured:
    """Run the program, and ask the server what it saw of it."""
    out = folder / f"out-{time.monotonic_ns()}"
    (folder / "book.txt").write_text(prose(scale.chunks * _CHUNK_BYTES))
    jobs = ({"id": n, "source": "book.txt", "question": QUESTION} for n in range(slots * _A_JOB))
    (folder / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    model = ["--model", "openai:fixed", "--base-url", server.url]
    command = [sys.executable, "-m", "mhm_langgraph.cli", "batch", "jobs.jsonl", "--out", str(out)]
    server.counts()
    before = _cpu()
    subprocess.run([*command, *model, *options], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    return Measured(server.counts(), _cpu() - before, slots, scale.latency)


def _cpu() -> float:
    """Seconds of CPU of the processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _bare(server: FixedServer, scale: Scale, slots: int) -> Measured:
    """The same calls by an HTTP client and nothing else: what the machine lets through."""
    content = prose(_CHUNK_BYTES) + full_text(HEAD_TOKENS) * HEADS
    body = {"model": "fixed", "messages": [{"role": "user", "content": content}]}
    limits = httpx.Limits(max_connections=slots, max_keepalive_connections=slots)
    server.counts()
    before = time.process_time()
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:

        async def slot() -> None:
            for _ in range(_A_JOB * (scale.chunks + 1)):
                (await client.post(f"{server.url}/chat/completions", json=body)).json()

        await asyncio.gather(*(slot() for _ in range(slots)))
    cpu = time.process_time() - before
    return Measured(await asyncio.to_thread(server.counts), cpu, slots, scale.latency)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write `batch.json` and `batch.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it works; keeps nothing"
    )
    parser.add_argument("--no-ray", action="store_true", help="this machine only; keeps nothing")
    asked = parser.parse_args(argv)
    rows = measure(asked.quick, ray=not asked.no_ray)
    show(rows)
    if asked.quick or asked.no_ray:
        return
    measured = conditions("python -m benchmarks.batch")
    table = {"measured": measured, "rows": [asdict(row) for row in rows]}
    (_RESULTS / "batch.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    (_RESULTS / "batch.md").write_text(markdown(rows, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
