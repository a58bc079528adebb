"""A batch over Ray whose workers write every model call down: what is killed by the tests, and the long run.

python -m tests.soak.ray_batch FOLDER     # the batch that is killed
python -m tests.soak.ray_batch            # the long run: kills workers, drivers and whole nodes
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhm_langgraph import Reader, Reply, Usage
from mhm_langgraph.batch import Local, Ray, run_batch
from mhm_langgraph.readers import AnswerRequest, UpdateRequest
from tests.soak.worker import Journal

__all__ = [
    "CONCURRENCY", "JOBS", "STEPS", "Calls", "NotingReader", "expected", "journal_in", "kill_a_worker",
    "results_in", "write_jobs",
]  # fmt: skip

JOBS, STEPS, CONCURRENCY = 24, 8, 3
SETTINGS: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 1000}
_ONE_CALL = Usage(input_tokens=0, output_tokens=0, calls=1)
_PATIENCE_SECONDS = 240


class NotingReader(Reader):
    """Writes down who makes which call, takes its time, and appends to the head what it has read.

    Args:
        journal: Where the calls are written down; None where nobody counts.
        seconds: How long a call takes.
    """

    def __init__(self, journal: Journal | None = None, seconds: float = 0.0) -> None:
        self._journal, self._seconds = journal, seconds

    def update(self, request: UpdateRequest) -> Reply:
        """As `aupdate`; a batch does not call it."""
        raise NotImplementedError

    def answer(self, request: AnswerRequest) -> Reply:
        """As `aanswer`; a batch does not call it."""
        raise NotImplementedError

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """The head, and step and span of what was read into it."""
        await self._call(f"{request.question} {request.step}")
        start, end = request.span
        text = f"{request.heads[request.head]}[{request.step}:{start}-{end}]"
        return Reply(text=text, usage=_ONE_CALL)

    async def aanswer(self, request: AnswerRequest) -> Reply:
        """All heads."""
        await self._call(f"{request.question} answer")
        return Reply(text=" | ".join(request.heads), usage=_ONE_CALL)

    async def _call(self, what: str) -> None:
        if self._journal is not None:
            self._journal.note(f"{os.getpid()} {what}")
        await asyncio.sleep(self._seconds)


@dataclass(frozen=True)
class Calls:
    """What the journal tells.

    Args:
        by_worker: How many calls each process has begun.
        by_call: How often each call was begun.
    """

    by_worker: Mapping[int, int]
    by_call: Mapping[str, int]

    @classmethod
    def of(cls, journal: Journal) -> Calls:
        """Read it."""
        lines = [line.partition(" ") for line in journal.lines()]
        return cls(Counter(int(pid) for pid, _, _ in lines), Counter(call for _, _, call in lines))

    @property
    def repeated(self) -> int:
        """Calls that were begun once more."""
        return sum(count - 1 for count in self.by_call.values())


def write_jobs(folder: Path) -> None:
    """`jobs.jsonl`: each text fills as many chunks."""
    text = "".join(f"Paragraph {number:04d} ".ljust(38, "x") + "\n\n" for number in range(STEPS))
    jobs = [{"id": number, "question": f"job-{number}", "document": text} for number in range(JOBS)]
    (folder / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))


def journal_in(folder: Path) -> Journal:
    """Where the calls are written down."""
    return Journal(folder / "journal.txt")


def results_in(out: Path) -> dict[str, Any]:
    """The rows, each once, without what differs from run to run."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    found = {row["id"]: {name: row[name] for name in row if name != "seconds"} for row in rows}
    assert len(found) == len(rows), "a job has two rows"
    return found


def expected(folder: Path) -> dict[str, Any]:
    """The rows of an undisturbed run in one process."""
    progress = run_batch(
        folder / "jobs.jsonl", folder / "undisturbed", model=NotingReader(), engine=Local(), **SETTINGS
    )
    assert (progress.ended, progress.failed) == (JOBS, 0)
    return results_in(folder / "undisturbed")


@contextmanager
def ray_environment() -> Iterator[dict[str, str]]:
    """The environment of a program that starts Ray: its files in a folder of their own, nothing reported.

    The folder's path is short: a socket's may hold no more than some 100 characters.
    """
    with tempfile.TemporaryDirectory(prefix="mhm-ray-", ignore_cleanup_errors=True) as folder:
        yield {**os.environ, "RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}


@contextmanager
def running(folder: Path, environment: Mapping[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """The batch in a process group of its own, with all that Ray starts; gone afterwards."""
    process = subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "tests.soak.ray_batch", str(folder), *options],
        cwd=Path(__file__).parents[2],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _kill_group(process)


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something to become true while a process runs."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not true():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the batch ended or hangs: {process.stderr and process.stderr.read()}")
        time.sleep(0.005)


def _wait_for_calls(journal: Journal, count: int, process: subprocess.Popen[str]) -> None:
    wait_until(lambda: len(journal.lines()) >= count, process)


def _kill_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stderr:
        process.stderr.close()


def kill_a_worker(folder: Path, calls: int) -> Calls:
    """Run a batch, kill one of its workers once so many calls were begun, and let it come to its end.

    Args:
        folder: Where its jobs are, and its results go.
        calls: When to kill.

    Returns:
        What the journal told at the moment of the kill.
    """
    journal = journal_in(folder)
    with ray_environment() as environment, running(folder, environment) as process:
        wait_until(lambda: len(Calls.of(journal).by_worker) == 2 and len(journal.lines()) >= calls, process)
        before = Calls.of(journal)
        os.kill(min(before.by_worker), signal.SIGKILL)
        _end(process)
    return before


def _end(process: subprocess.Popen[str]) -> None:
    """Wait for the batch's own end, which is to be a good one."""
    _, said = process.communicate(timeout=_PATIENCE_SECONDS)
    if process.returncode != 0:
        raise RuntimeError(f"the batch failed: {said}")


def _new(folder: Path, name: str) -> Path:
    """A folder with jobs for one round."""
    made = folder / name
    made.mkdir()
    write_jobs(made)
    return made


def _workers_round(folder: Path, moments: random.Random) -> None:
    kill_a_worker(folder, moments.randrange(6, JOBS * STEPS // 2))


def _driver_round(folder: Path, moments: random.Random) -> None:
    """Kill the driver, and the cluster with it, twice; then let it come to its end."""
    journal = journal_in(folder)
    for _ in range(2):
        with ray_environment() as environment, running(folder, environment) as process:
            _wait_for_calls(journal, len(journal.lines()) + moments.randrange(6, JOBS * STEPS // 3), process)
    with ray_environment() as environment, running(folder, environment) as process:
        _end(process)


def _node_round(folder: Path, moments: random.Random) -> None:
    """Kill one of two machines of a running cluster: its worker has to find room on the other."""
    from ray.cluster_utils import Cluster

    journal = journal_in(folder)
    with ray_environment() as environment:
        os.environ.update(environment)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        other = cluster.add_node(num_cpus=1)
        try:
            with running(folder, environment, "--address", cluster.address) as process:
                calls = moments.randrange(6, JOBS * STEPS // 2)
                wait_until(
                    lambda: len(Calls.of(journal).by_worker) == 2 and len(journal.lines()) >= calls, process
                )
                cluster.remove_node(other, allow_graceful=False)
                _end(process)
        finally:
            cluster.shutdown()


def soak(rounds: int = 4) -> None:
    """The long run; it raises at the first row that is lost, doubled or different."""
    moments = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="mhm-soak-") as given:
        folder = Path(given)
        whole = expected(_new(folder, "expected"))
        for number in range(rounds):
            for kill in (_workers_round, _driver_round, _node_round):
                made = _new(folder, f"{kill.__name__}-{number}")
                started = time.monotonic()
                kill(made, moments)
                assert results_in(made / "out") == whole, made
                calls = Calls.of(journal_in(made))
                print(
                    f"{kill.__name__[1:-6]}: {JOBS} jobs, each once; {calls.repeated} calls repeated, "
                    f"{len(calls.by_worker)} processes, {time.monotonic() - started:.0f} s",
                    flush=True,
                )


def main(folder: str, address: str | None) -> None:
    """The batch that is killed."""
    given = Path(folder)
    engine = Ray(workers=2, address=address)
    reader = NotingReader(journal_in(given), seconds=0.05)
    jobs, out = given / "jobs.jsonl", given / "out"
    progress = run_batch(jobs, out, model=reader, engine=engine, concurrency=CONCURRENCY, **SETTINGS)
    sys.exit(0 if (progress.left, progress.failed, progress.stopped) == (0, 0, None) else str(progress))


if __name__ == "__main__":
    # Imported by its name, or Ray would send its classes as those of a `__main__` that is elsewhere another.
    from tests.soak import ray_batch

    if len(sys.argv) == 1:
        ray_batch.soak()
    else:
        ray_batch.main(sys.argv[1], sys.argv[3] if "--address" in sys.argv else None)
