"""What bounds a batch of many workers: the list of jobs, the driver, PostgreSQL, the gate.

python -m benchmarks.batch_bounds
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.common import HEAD_TOKENS, HEADS, QUESTION, InstantReader, full_text, prose, temporary_folder
from benchmarks.table import Row, conditions, markdown, progress, show
from mhm_langgraph import Head
from mhm_langgraph.batch import Limits, ResultRow, run_batch
from mhm_langgraph.batch.folder import done_jobs, scan_jobs
from mhm_langgraph.batch.gate import OpenGate
from mhm_langgraph.batch.results import ResultsFile
from mhm_langgraph.state import no_usage
from tests.postgres import postgres_server, postgres_versions

__all__ = ["main", "measure"]

_RESULTS = Path(__file__).resolve().parent / "results"
_ROWS = 256  # written at one stroke
_ASKING = 64  # at the gate, from one process


def measure(quick: bool) -> list[Row]:
    """The rows of this theme."""
    with temporary_folder() as folder:
        rows = [*_list_rows(folder, 1000 if quick else 1_000_000), _driver_row(folder, 2 if quick else 20)]
        with postgres_server() as address:
            rows.append(_postgres_row(folder, address, 2 if quick else 64))
    return [*rows, asyncio.run(_gate_row(128 if quick else 4000))]


def _row(name: str, measured: str, value: float, unit: str, note: str = "") -> Row:
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    return Row(name, "", "", measured, value, unit, None, f"{note}; {load}" if note else load)


def _list_rows(folder: Path, count: int) -> Iterator[Row]:
    """Reading a list of jobs before the first is run: time, and memory in a process of its own."""
    progress(f"bounds: a list of {count:,} jobs")
    path = folder / "many.jsonl"
    with path.open("w") as file:
        for number in range(count):
            file.write(
                json.dumps({"id": f"contract-{number}", "source": "a.txt", "question": QUESTION}) + "\n"
            )
    command = [sys.executable, "-m", "benchmarks.batch_bounds", "--scan", str(path)]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    yield _row(
        f"looking at {count:,} jobs before the first is run",
        f"{done['seconds']:.1f} s, {done['bytes'] / 1e6:.0f} MB of memory",
        done["seconds"],
        "seconds",
        "JSONL; memory over what the process had before",
    )


def _scan(path: Path) -> None:
    """In a process of its own: prints what the list has cost."""
    results = ResultsFile(path.with_suffix(".results"))
    done = done_jobs(results, _ROWS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    scan_jobs(path, done)
    seconds = time.perf_counter() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"seconds": seconds, "bytes": 1024 * grown}))


def _driver_row(folder: Path, groups: int) -> Row:
    """Rows with full heads, written and on disk."""
    progress("bounds: rows a second")
    results = ResultsFile(folder / "rows.jsonl")
    rows = [_result(number) for number in range(_ROWS)]
    began = time.perf_counter()
    for _ in range(groups):
        results.append(rows)
    seconds = time.perf_counter() - began
    rate = groups * _ROWS / seconds
    size = results.path.stat().st_size / (groups * _ROWS)
    return _row(
        f"rows the driver writes, {HEADS} full heads of {HEAD_TOKENS} tokens, fsync every {_ROWS}",
        f"{rate:,.0f} a second",
        rate,
        "rows a second",
        f"{size / 1000:.1f} kB a row",
    )


def _result(number: int) -> ResultRow:
    head = Head(
        text=full_text(HEAD_TOKENS),
        updated_at=8,
        span=[0, 20_000],
        source="a.txt",
        tokens=1024,
        selected=False,
    )
    return ResultRow(
        id=str(number), thread=f"{number}:{number:032x}", error=None, seconds=20.0, steps=9, exited=None,
        usage=no_usage(), answer="A doubloon.", heads=[head] * HEADS,
    )  # fmt: skip


def _postgres_row(folder: Path, address: str, jobs: int) -> Row:
    """Steps a second that one process and one server save, with a model that takes no time."""
    progress("bounds: steps a second into PostgreSQL")
    (folder / "book.txt").write_text(prose(9 * 20_000))
    asked = ({"id": n, "source": "book.txt", "question": QUESTION} for n in range(jobs))
    (folder / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in asked))
    found = run_batch(
        folder / "jobs.jsonl",
        folder / "postgres",
        model=InstantReader(),
        concurrency=16,
        checkpoints=address,
    )
    steps = found.usage["calls"]
    return _row(
        "model calls a second that one process saves in PostgreSQL, full heads",
        f"{steps / found.seconds:,.0f} a second",
        steps / found.seconds,
        "calls a second",
        f"{steps} calls of {jobs} jobs, threads forgotten; server on the same cores, fsync off, "
        f"{postgres_versions(address)}",
    )


async def _gate_row(calls: int) -> Row:
    """Questions that the gate answers over Ray, asked by one process."""
    ray: Any = import_module("ray")  # its types know only what its decorator decorates
    progress("bounds: questions a second at the gate")
    await asyncio.to_thread(
        ray.init, "local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    gate = ray.remote(num_cpus=0, max_concurrency=1000)(OpenGate).remote(Limits(), no_usage())
    await gate.admit.remote(1)

    async def ask() -> None:
        for _ in range(calls // _ASKING):
            await gate.admit.remote(1)

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(_ASKING)))
    rate = calls // _ASKING * _ASKING / (time.perf_counter() - began)
    await asyncio.to_thread(ray.shutdown)
    return _row(
        f"questions at the gate over Ray, {_ASKING} at once from one process",
        f"{rate:,.0f} a second",
        rate,
        "questions a second",
        "a model call asks two: may I, and so much it has cost",
    )


def main() -> None:
    """Measure, print, and write `batch_bounds.json` and `batch_bounds.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it works; keeps nothing"
    )
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.scan is not None:
        return _scan(asked.scan)
    rows = measure(asked.quick)
    show(rows)
    if asked.quick:
        return None
    measured = conditions("python -m benchmarks.batch_bounds")
    table = {"measured": measured, "rows": [asdict(row) for row in rows]}
    (_RESULTS / "batch_bounds.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    (_RESULTS / "batch_bounds.md").write_text(markdown(rows, measured), encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
