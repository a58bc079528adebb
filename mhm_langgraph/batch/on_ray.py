"""The same over Ray: workers are actors, a job is a call that Ray makes again where its worker was lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from mhm_langgraph import MHMError, SettingsError, Usage
from mhm_langgraph.batch.gate import GateState, OpenGate
from mhm_langgraph.batch.jobs import Job
from mhm_langgraph.batch.limits import Limits
from mhm_langgraph.batch.pools import Pool, Slot
from mhm_langgraph.batch.results import ResultRow
from mhm_langgraph.batch.work import Work, Worker
from mhm_langgraph.errors import redact

__all__ = ["Ray"]

_MOST_ASKING = 100_000  # jobs that wait at the gate at once
_OBJECT_STORE = 100_000_000  # bytes; jobs and rows are small, and Ray would take a third of the memory


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Workers on a Ray cluster.

    A job whose worker is lost goes on elsewhere from its checkpoints, which all machines must reach: in
    PostgreSQL, or in a folder on a shared disk. The package, the sources and the model's key must be there
    on every machine.

    Args:
        workers: How many processes, each with one core and `concurrency` jobs at once.
        address: A running cluster, as `ray.init` takes it (`"auto"`, `"host:6379"`); None starts one on
            this machine, for as long as the batch lasts.
        runtime_env: What Ray is to set up on its machines, as `ray.init` takes it.
    """

    workers: int = 2
    address: str | None = None
    runtime_env: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise SettingsError(f"workers={self.workers} is not allowed: give 1 or more.")

    @asynccontextmanager
    async def pool(self, work: Work, limits: Limits, usage: Usage) -> AsyncIterator[Pool]:
        """The workers, once they are up.

        Args:
            work: What they have to know.
            limits: Ceilings and rates.
            usage: What earlier runs have cost.

        Yields:
            The pool.

        Raises:
            SettingsError: There is no Ray, or no cluster at the address.
        """
        ray = _ray()
        ours = not ray.is_initialized()
        if ours:
            await asyncio.to_thread(self._connect, ray)
        try:
            name = f"mhm-gate-{uuid4()}"
            gate = _start_gate(ray, name, limits, usage)
            options = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": -1}
            kind = ray.remote(max_concurrency=work.concurrency, **options)(_RemoteWorker)
            actors = [kind.remote(work, name) for _ in range(self.workers)]
            slots: list[list[Slot]] = [[partial(_run, actor)] * work.concurrency for actor in actors]
            yield Pool(_Asked(gate), slots, release=lambda number: ray.kill(actors[number]))
        finally:
            if ours:
                await asyncio.to_thread(ray.shutdown)

    def _connect(self, ray: Any) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self.runtime_env is not None:
            options["runtime_env"] = dict(self.runtime_env)
        if self.address is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a batch reports to nobody
            options |= {
                "num_cpus": self.workers,
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE,
            }
        try:
            ray.init(address=self.address or "local", **options)
        except Exception as error:
            where = f"--address {self.address}" if self.address else "a local cluster"
            raise SettingsError(f"Ray could not start with {where}: {redact(str(error)):.300}") from error


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise SettingsError('engine="ray" needs its extra: pip install "mhm-langgraph[ray]"') from error
    return ray


def _start_gate(ray: Any, name: str, limits: Limits, usage: Usage) -> Any:
    """The gate, beside the driver: it is lost with the driver only.

    Workers find it by its name: with a handle among its arguments an actor may fail to restart (ray 53727).
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "max_concurrency": _MOST_ASKING, "scheduling_strategy": here}
    return ray.remote(**options)(OpenGate).options(name=name).remote(limits, usage)


class _RemoteWorker:
    """A worker in a process of Ray's; its methods run in one event loop.

    Args:
        work: What it has to know.
        gate: Name of the actor that is the gate.
    """

    def __init__(self, work: Work, gate: str) -> None:
        self._worker = Worker(work, _Asked(_ray().get_actor(gate)))

    async def run(self, job: Job) -> ResultRow | None:
        """As `Worker.run`."""
        return await self._worker.run(job)


class _Asked:
    """The gate, asked from another process.

    Args:
        actor: The actor that is the gate.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def begin(self, thread: str, usage: Usage) -> int:
        """As `Gate.begin`."""
        return int(await self._actor.begin.remote(thread, usage))

    async def admit(self, tokens: int) -> bool:
        """As `Gate.admit`."""
        return bool(await self._actor.admit.remote(tokens))

    async def spend(self, thread: str, usage: Usage) -> None:
        """As `Gate.spend`."""
        await self._actor.spend.remote(thread, usage)

    async def settle(self, thread: str, usage: Usage) -> None:
        """As `Gate.settle`."""
        await self._actor.settle.remote(thread, usage)

    async def close(self, reason: str) -> None:
        """As `Gate.close`."""
        await self._actor.close.remote(reason)

    async def state(self) -> GateState:
        """As `Gate.state`."""
        return GateState(*await self._actor.state.remote())


async def _run(actor: Any, job: Job) -> ResultRow | None:
    """Run a job on an actor; Ray makes the call again for as long as its workers are lost."""
    from ray.exceptions import RayError, RayTaskError

    try:
        row: ResultRow | None = await actor.run.remote(job)
    except RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, MHMError) else MHMError(redact(str(cause))) from None
    except RayError as error:
        raise MHMError(f"Ray failed: {redact(str(error)):.300}. The same command goes on.") from error
    return row
