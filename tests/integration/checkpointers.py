"""The checkpointers people use, each driven in its own way behind one face."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

__all__ = ["KINDS", "Driver", "Memory"]

KINDS = ("in-memory", "sqlite", "async-sqlite", "postgres", "async-postgres")


@dataclass(frozen=True)
class Driver:
    """Calls a graph as its checkpointer wants to be called: with await or without."""

    graph: Any
    is_async: bool

    async def invoke(self, *args: Any, **options: Any) -> Any:
        if self.is_async:
            return await self.graph.ainvoke(*args, **options)
        return self.graph.invoke(*args, **options)

    async def state(self, config: Any, **options: Any) -> Any:
        if self.is_async:
            return await self.graph.aget_state(config, **options)
        return self.graph.get_state(config, **options)

    async def history(self, config: Any) -> list[Any]:
        if self.is_async:
            return [snapshot async for snapshot in self.graph.aget_state_history(config)]
        return list(self.graph.get_state_history(config))

    async def update(self, config: Any, values: Any, **options: Any) -> Any:
        if self.is_async:
            return await self.graph.aupdate_state(config, values, **options)
        return self.graph.update_state(config, values, **options)

    async def forget(self, thread: str) -> None:
        if self.is_async:
            await self.graph.checkpointer.adelete_thread(thread)
        else:
            self.graph.checkpointer.delete_thread(thread)


@dataclass
class Memory:
    """Where one test keeps its threads. Tests share a server, so each has thread ids of its own.

    Args:
        kind: One of `KINDS`.
        place: The SQLite file, or the PostgreSQL server's address; unused in memory.
    """

    kind: str
    place: str
    prefix: str = field(default_factory=lambda: uuid4().hex)

    def thread(self, name: str = "1") -> Any:
        """The configuration of a thread."""
        return {"configurable": {"thread_id": f"{self.prefix}-{name}"}}

    @asynccontextmanager
    async def opened(self, build: Callable[[Any], Any]) -> AsyncIterator[Driver]:
        """A graph built on the checkpointer, opened anew as another process would open it."""
        async with self._savers[self.kind]() as saver:
            yield Driver(build(saver), is_async=self.kind.startswith("async"))

    @cached_property
    def _savers(self) -> dict[str, Callable[[], Any]]:
        kept = InMemorySaver()
        return {
            "in-memory": lambda: nullcontext(kept),
            "sqlite": lambda: _as_async(SqliteSaver.from_conn_string(self.place)),
            "async-sqlite": lambda: AsyncSqliteSaver.from_conn_string(self.place),
            "postgres": lambda: _as_async(PostgresSaver.from_conn_string(self.place)),
            "async-postgres": lambda: AsyncPostgresSaver.from_conn_string(self.place),
        }


@asynccontextmanager
async def _as_async(manager: Any) -> AsyncIterator[Any]:
    with manager as saver:
        yield saver
