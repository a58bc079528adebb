"""One job: from its thread's last checkpoint, or from its start, to a row of the results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from langchain_core.runnables import RunnableConfig

from mhm_langgraph import MHMError, MHMGraph, MHMInput, ReaderError, SettingsError, create_mhm_agent
from mhm_langgraph.batch.checkpoints import is_store_failure, open_checkpoints
from mhm_langgraph.batch.gate import BatchStoppedError, Gate, GatedReader
from mhm_langgraph.batch.jobs import Job
from mhm_langgraph.batch.results import ResultRow
from mhm_langgraph.errors import redact
from mhm_langgraph.readers import resolve_reader
from mhm_langgraph.readers.causes import told
from mhm_langgraph.sources import Files
from mhm_langgraph.state import no_usage

__all__ = ["Work", "Worker"]

_THREADS_BESIDE = 8
_LEAST_FILES = 64
_MOST_LOSSES = 5
"""How often a job is begun again since its worker died: one that kills its workers must come to an end."""


@dataclass(frozen=True)
class Work:
    """What a worker has to know; it travels to other machines.

    Args:
        model: As in `create_mhm_agent`.
        settings: The other settings of `create_mhm_agent`.
        root: The folder that sources lie in.
        checkpoints: Where unfinished jobs are kept.
        concurrency: How many jobs a worker runs at once.
        paced: Whether tokens a minute are limited.
    """

    model: Any
    settings: Mapping[str, Any]
    root: Path
    checkpoints: str = field(repr=False)  # may hold a password
    concurrency: int
    paced: bool = False


class Worker:
    """Runs jobs, many at once, in one event loop over one graph.

    Args:
        work: What it has to know.
        gate: The gate its model calls go through.

    Raises:
        SettingsError: A setting is wrong.
    """

    def __init__(self, work: Work, gate: Gate) -> None:
        self._gate, self._concurrency = gate, work.concurrency
        self.checkpoints = open_checkpoints(work.checkpoints, work.concurrency)
        self._graph = _graph(work, gate)
        self._threads: ThreadPoolExecutor | None = None

    async def run(self, job: Job) -> ResultRow | None:
        """Run a job to its end.

        Args:
            job: The job.

        Returns:
            Its row; None where the batch was stopped before its end.

        Raises:
            MHMError: The store of checkpoints failed, which is not the job's fault.
        """
        self._widen()
        if job.problem is not None:
            return _row(job, {}, 0.0, f"SettingsError: {job.problem}")
        started = time.monotonic()
        try:
            async with self.checkpoints.opened(job.thread) as saver:
                values, error = await self._finish(self._graph.copy({"checkpointer": saver}), job)
        except BatchStoppedError:
            return None
        except Exception as failure:
            if not is_store_failure(failure):
                raise
            raise MHMError(
                f"the store of checkpoints failed: {told(failure)}. The same command goes on."
            ) from None
        return _row(job, values, time.monotonic() - started, error)

    async def _finish(self, graph: MHMGraph, job: Job) -> tuple[Mapping[str, Any], str | None]:
        """The values at the end, or those where it failed and why."""
        config: RunnableConfig = {"configurable": {"thread_id": job.thread}}
        state = await graph.aget_state(config)
        # Not state.next: it is empty where a kill fell between a node's writes and the checkpoint.
        if state.values and not state.tasks:
            return state.values, None  # finished, and killed before its row was written
        begun = await self._gate.begin(job.thread, state.values.get("usage") or no_usage())
        if begun > _MOST_LOSSES + 1:
            return state.values, f"WorkerLost: {begun - 1} workers died while they ran it."
        try:
            return await graph.ainvoke(None if state.tasks else cast(MHMInput, job.given), config), None
        except BatchStoppedError:
            raise
        except Exception as failure:
            if is_store_failure(failure):
                raise
            error = _told(failure)
        return (await graph.aget_state(config)).values, error

    def _widen(self) -> None:
        """Let as many jobs block as run at once: a reader of the user's own may know no async."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._concurrency + _THREADS_BESIDE, "mhm-batch")
            asyncio.get_running_loop().set_default_executor(self._threads)


def _graph(work: Work, gate: Gate) -> MHMGraph:
    """The one graph of all jobs, its reader behind the gate."""
    settings = dict(work.settings)
    base_url = settings.pop("base_url", None)
    timeout = {"call_timeout": settings["call_timeout"]} if "call_timeout" in settings else {}
    reader = GatedReader(resolve_reader(work.model, base_url, **timeout), gate, paced=work.paced)
    # Every job has three readings of its file a step: those of all that run are kept ready.
    files = Files(work.root, keep=max(_LEAST_FILES, 2 * work.concurrency))
    try:
        return create_mhm_agent(reader, sources=files, **settings)
    except TypeError as error:
        raise SettingsError(f"{error}: the settings are those of create_mhm_agent.") from None


def _told(failure: Exception) -> str:
    """Why a job failed: the kind of error, and a sentence without secrets."""
    if not isinstance(failure, MHMError):
        return told(failure)
    # A reader's error goes on to speak of `invoke`, which a batch's user does not call.
    sentence = failure.reason if isinstance(failure, ReaderError) else redact(str(failure))
    return f"{type(failure).__name__}: {sentence}"


def _row(job: Job, values: Mapping[str, Any], seconds: float, error: str | None) -> ResultRow:
    return ResultRow(
        id=job.id,
        thread=job.thread,
        error=error,
        seconds=round(seconds, 3),
        steps=values.get("step") or 0,
        exited=values.get("exited"),
        usage=values.get("usage") or no_usage(),
        answer=None if error else values.get("answer"),
        heads=values.get("heads") or [],
    )
