"""run_batch: jobs in, rows out, each once."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from mhm_langgraph import MHMError, SettingsError, Usage
from mhm_langgraph.batch.checkpoints import Checkpoints, open_checkpoints
from mhm_langgraph.batch.folder import Done, check_manifest, done_jobs, locked, scan_jobs, write_manifest
from mhm_langgraph.batch.gate import OpenGate
from mhm_langgraph.batch.jobs import Job, read_jobs
from mhm_langgraph.batch.limits import Limits
from mhm_langgraph.batch.pools import Local, Pool
from mhm_langgraph.batch.recorder import GROUP, Progress, Recorder
from mhm_langgraph.batch.results import ResultsFile, can_go_on, write_parquet
from mhm_langgraph.batch.work import Work, Worker
from mhm_langgraph.errors import redact
from mhm_langgraph.settings import Settings
from mhm_langgraph.state import no_usage

__all__ = ["Engine", "arun_batch", "run_batch"]

_NOT_OF_THE_RESULT = {"call_timeout", "max_retries", "stream_answer"}
"""Settings that may change in the middle: they change no reply."""
_MOST_AT_ONCE = 10_000
_NO_LIMITS = Limits()
_LOCAL = Local()


class Engine(Protocol):
    """What runs the jobs: `Local()`, or `Ray(...)`."""

    def pool(self, work: Work, limits: Limits, usage: Usage) -> AbstractAsyncContextManager[Pool]:
        """The workers, for as long as the batch lasts."""
        ...


def run_batch(jobs: str | Path, out: str | Path, **options: Any) -> Progress:
    """As `arun_batch`, from a program that has no event loop.

    Ctrl-C, or SIGTERM, stops it cleanly: calls under way are finished and every job's thread is saved. A
    second one breaks off.

    Args:
        jobs: As in `arun_batch`.
        out: As in `arun_batch`.
        **options: As in `arun_batch`.

    Returns:
        As `arun_batch`.

    Raises:
        MHMError: As `arun_batch`.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> job = {"id": 1, "document": "Starbuck is the mate.", "question": "Who is the mate?"}
        >>> _ = (folder / "jobs.jsonl").write_text(json.dumps(job))
        >>> run_batch(folder / "jobs.jsonl", folder / "out").ended
        1
        >>> json.loads((folder / "out" / "results.jsonl").read_text())["answer"]
        '“Starbuck is the mate.”'
    """
    return asyncio.run(arun_batch(jobs, out, **options))


async def arun_batch(
    jobs: str | Path,
    out: str | Path,
    *,
    model: Any = "extractive",
    concurrency: int = 8,
    engine: Engine = _LOCAL,
    limits: Limits = _NO_LIMITS,
    root: str | Path | None = None,
    checkpoints: str | Path | None = None,
    keep_threads: bool = False,
    retry_failed: bool = False,
    parquet: bool = False,
    watch: Callable[[Progress], None] | None = None,
    **settings: Any,
) -> Progress:
    """Run a file of jobs over one graph; go on where an earlier run of the same call was stopped.

    Each job is a run of its own on a thread of its own. `OUT/results.jsonl` gets a row for every job that
    has ended, once, whatever is killed when; a job that was under way goes on in the middle of its text.

    Args:
        jobs: JSONL or CSV (`.gz` too), or Parquet, with the columns `id`, `source` or `document`, and
            `question`.
        out: A folder; made if need be.
        model: As in `create_mhm_agent`.
        concurrency: How many jobs run at once, in each worker.
        engine: `Local()`, this process; or `Ray(workers=..., address=...)`.
        limits: Ceilings and rates.
        root: The folder that a job's `source` lies in; by default that of `jobs`.
        checkpoints: Where unfinished jobs are kept: a folder, by default OUT/checkpoints; or
            `postgresql://...`.
        keep_threads: Whether the threads of finished jobs are kept, to be looked at.
        retry_failed: Whether the jobs that failed in earlier runs are run again.
        parquet: Whether all results are also written as `OUT/results.parquet`, at the end of the run. Where
            an earlier run has written it, they are whether asked or not, so that it does not fall behind.
        watch: Called with the progress, every second.
        **settings: As in `create_mhm_agent`: `heads`, `chunk_tokens` and so on.

    Returns:
        How the batch stands at the end of this run.

    Raises:
        SettingsError: Something is wrong with the jobs, the folder or a setting; nothing was run.
    """
    jobs, out = Path(jobs), Path(out)
    if not 1 <= concurrency <= _MOST_AT_ONCE:
        raise SettingsError(f"concurrency={concurrency} is not allowed: give 1 to {_MOST_AT_ONCE:,}.")
    root = jobs.parent if root is None else Path(root)
    store = str((out / "checkpoints").resolve() if checkpoints is None else checkpoints)
    work = Work(model, settings, root.resolve(), store, concurrency, limits.tokens_per_minute is not None)
    Worker(work, OpenGate(limits, no_usage()))  # what is wrong is found before anything is made
    manifest, told = out / "manifest.json", _manifest(model, settings, checkpoints)
    with locked(out), closing(ResultsFile(out / "results.jsonl")) as results:
        check_manifest(manifest, told)
        if retry_failed:
            results.drop(lambda row: row["error"] is not None)
        done = done_jobs(results, GROUP)
        scan = scan_jobs(jobs, done)
        write_manifest(manifest, told)
        async with aclosing(open_checkpoints(store, concurrency)) as kept:
            await kept.prepare()
            if not keep_threads:
                await _sweep(kept, results, done)
            async with engine.pool(work, limits, done.usage) as pool:
                recorder = Recorder(results, kept, pool.gate, limits, scan, done, keep_threads, watch)
                with _interruptible(recorder), _plain_errors():
                    await _drive(pool, _Feed(jobs, done, scan.total), recorder)
                progress = await recorder.progress()
        table = out / "results.parquet"
        if parquet or table.exists():
            await asyncio.to_thread(write_parquet, results, table)
    return progress


async def _drive(pool: Pool, feed: _Feed, recorder: Recorder) -> None:
    """Work the jobs off, and write down what comes of them."""
    async with asyncio.TaskGroup() as beside:
        beside.create_task(recorder.write())
        ticking = beside.create_task(recorder.tick())
        async with asyncio.TaskGroup() as working:
            for number in range(len(pool.workers)):
                working.create_task(_work_off(pool, number, feed, recorder))
        await recorder.end()
        ticking.cancel()


async def _work_off(pool: Pool, number: int, feed: _Feed, recorder: Recorder) -> None:
    """Keep one worker's slots busy; one that has nothing more to do makes room for others."""

    async def busy(slot: Any) -> None:
        try:
            while not recorder.stopping and (job := await feed.next()) is not None:
                if (row := await slot(job)) is None:
                    return
                await recorder.put(row)
        except MHMError as error:  # the store or the file of jobs, not a job: the others stop cleanly
            await recorder.stop(str(error))

    async with asyncio.TaskGroup() as slots:
        for slot in pool.workers[number]:
            slots.create_task(busy(slot))
    pool.release(number)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Of what went wrong in tasks beside each other, the first, as it was raised."""
    try:
        yield
    except ExceptionGroup as group:
        error: Exception = group
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise error from None


class _Feed:
    """The jobs that are left, one at a time to whoever asks.

    Args:
        path: The file of jobs.
        done: The jobs that have their row.
        total: How many jobs were looked at beforehand: what is added meanwhile waits for the next run.
    """

    def __init__(self, path: Path, done: Done, total: int) -> None:
        self._jobs = (job for job in islice(read_jobs(path), total) if job not in done)
        self._lock = asyncio.Lock()

    async def next(self) -> Job | None:
        """The next job; None where there are no more."""
        async with self._lock:
            return await asyncio.to_thread(next, self._jobs, None)


async def _sweep(kept: Checkpoints, results: ResultsFile, done: Done) -> None:
    """Forget the threads of jobs whose row a kill let be written, and no more."""
    leftovers = kept.leftovers()
    if leftovers is None:
        threads = list(done.last)
    elif leftovers:
        rows = (row for row in results.summaries() if not can_go_on(row["error"]))
        threads = [row["thread"] for row in rows if row["thread"].rpartition(":")[2] in leftovers]
    else:
        threads = []
    for thread in threads:
        await kept.forget(thread)


@contextmanager
def _interruptible(recorder: Recorder) -> Iterator[None]:
    """Stop cleanly on the first Ctrl-C or SIGTERM; the second does what it does elsewhere."""
    loop, closing = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    signals = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop() -> None:
        for each in signals:
            loop.remove_signal_handler(each)
        closing.add(loop.create_task(recorder.stop("interrupted: the same command goes on.")))

    for each in signals:
        with suppress(NotImplementedError):  # Windows: there Ctrl-C is as good as a kill
            loop.add_signal_handler(each, stop)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


def _manifest(model: Any, settings: Mapping[str, Any], checkpoints: str | Path | None) -> dict[str, Any]:
    """What must be the same in every run: whatever a reply depends on, and where unfinished jobs are."""
    plain = {name: value for name, value in settings.items() if name in Settings.model_fields}
    objects = [name for name, value in plain.items() if not isinstance(value, str | int | float | None)]
    own = {name: _named(plain.pop(name)) for name in objects}
    plain = {name: value for name, value in plain.items() if value is not None}
    return {
        "model": _named(model),
        **Settings.checked(plain).model_dump(exclude=_NOT_OF_THE_RESULT),
        **own,
        **{name: _named(settings.get(name)) for name in ("base_url", "token_counter", "recall_ranking")},
        "checkpoints": _named(str(checkpoints) if checkpoints is not None else None),
    }


def _named(value: Any) -> str | None:
    """A value as the manifest tells it: text as it is, an object by its kind."""
    if value is None or isinstance(value, str):
        return value if value is None else redact(value)
    kind = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    name = getattr(value, "model_name", None)
    return f"{kind.__module__}.{kind.__qualname__}" + (f" {name}" if isinstance(name, str) else "")
