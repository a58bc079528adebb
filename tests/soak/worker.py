"""What the crash tests kill: a run that writes every model call down before it makes it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Durability
from typing_extensions import TypedDict

from mhm_langgraph import Reader, Reply, Usage, create_mhm_agent
from mhm_langgraph.readers import AnswerRequest, UpdateRequest

__all__ = ["Job", "Journal", "Place", "SlowReader", "read_undisturbed", "work"]

_ONE_CALL = Usage(input_tokens=0, output_tokens=0, calls=1)
Place: TypeAlias = Literal["top", "parent"]
_HEADS = 3
_CHUNK_TOKENS = 10


@dataclass(frozen=True)
class Job:
    """One reading, as often as it has to be started.

    Args:
        database: A SQLite file, or the address of a PostgreSQL server.
        folder: Where the journal and the result are written; the text of a file source, too.
        thread: The thread.
        given: The run's input.
        place: At the top, or as a subgraph of a checkpointed parent.
        call_seconds: How long a model call takes.
        durability: LangGraph's own; None leaves it to the graph.
        is_async: Whether the graph runs in an event loop.
        parallel_heads: How many chunks are read at the same time.
    """

    database: str
    folder: Path
    thread: str
    given: dict[str, str | None]
    place: Place = "top"
    call_seconds: float = 0.0
    durability: Durability | None = None
    is_async: bool = False
    parallel_heads: int = 1

    @property
    def config(self) -> Any:
        """The thread's configuration."""
        return {"configurable": {"thread_id": self.thread}}

    @property
    def journal(self) -> Journal:
        """Where the calls are written down."""
        return Journal(self.folder / "journal.txt")

    @property
    def result(self) -> Path:
        """Where the output is written."""
        return self.folder / "result.json"


@dataclass(frozen=True)
class Journal:
    """A file of lines that a SIGKILL can not take back: each is one write to the operating system."""

    path: Path

    def note(self, line: str) -> None:
        """Add a line."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)

    def lines(self) -> list[str]:
        """The lines so far."""
        return self.path.read_text().splitlines() if self.path.exists() else []


class SlowReader(Reader):
    """Writes down that a call begins, takes its time, and appends to the head what it has read.

    Args:
        journal: Where the calls are written down; None where nobody counts.
        seconds: How long a call takes.
    """

    def __init__(self, journal: Journal | None = None, seconds: float = 0.0) -> None:
        self._journal, self._seconds = journal, seconds

    def update(self, request: UpdateRequest) -> Reply:
        """The head, and step and span of what was read into it."""
        self._begin(f"update {request.step}")
        time.sleep(self._seconds)
        return _updated(request)

    def answer(self, request: AnswerRequest) -> Reply:
        """All heads."""
        self._begin("answer")
        time.sleep(self._seconds)
        return _answered(request)

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """As `update`."""
        self._begin(f"update {request.step}")
        await asyncio.sleep(self._seconds)
        return _updated(request)

    async def aanswer(self, request: AnswerRequest) -> Reply:
        """As `answer`."""
        self._begin("answer")
        await asyncio.sleep(self._seconds)
        return _answered(request)

    def _begin(self, call: str) -> None:
        if self._journal is not None:
            self._journal.note(call)


def _updated(request: UpdateRequest) -> Reply:
    start, end = request.span
    return Reply(text=f"{request.heads[request.head]}[{request.step}:{start}-{end}]", usage=_ONE_CALL)


def _answered(request: AnswerRequest) -> Reply:
    return Reply(text=" | ".join(request.heads), usage=_ONE_CALL)


class Parent(TypedDict, total=False):
    """A host that shares the memory's keys."""

    question: str
    document: str
    source: str
    answer: str
    heads: list[Any]


def build(job: Job, reader: Reader, checkpointer: Any) -> Any:
    """The graph of a job."""
    options: dict[str, Any] = {
        "heads": _HEADS,
        "chunk_tokens": _CHUNK_TOKENS,
        "parallel_heads": job.parallel_heads,
        "sources": job.folder,
    }
    if job.place == "top":
        return create_mhm_agent(reader, checkpointer=checkpointer, **options)
    builder = StateGraph(Parent)
    builder.add_node("memory", create_mhm_agent(reader, **options))
    builder.add_edge(START, "memory")
    builder.add_edge("memory", END)
    return builder.compile(checkpointer=checkpointer)


def read_undisturbed(jobs: Sequence[Job]) -> Any:
    """The last output of runs on one thread that nothing stops and nobody kills."""
    graph = build(jobs[-1], SlowReader(), InMemorySaver())
    return [graph.invoke(job.given, job.config) for job in jobs][-1]


def work(job: Job) -> None:
    """Start the reading, or go on with it where it was stopped, and write down what came out."""
    out = asyncio.run(_awork(job)) if job.is_async else _work(job)
    partial = job.result.with_suffix(".partial")
    partial.write_text(json.dumps(out))
    partial.rename(job.result)  # at one stroke: a result that is there is whole


def _work(job: Job) -> Any:
    with _saver(job) as saver:
        graph = build(job, SlowReader(job.journal, job.call_seconds), saver)
        given = _left_to_give(job, graph.get_state(job.config))
        job.journal.note("start")
        return graph.invoke(given, job.config, durability=job.durability)


async def _awork(job: Job) -> Any:
    async with _asaver(job) as saver:
        graph = build(job, SlowReader(job.journal, job.call_seconds), saver)
        given = _left_to_give(job, await graph.aget_state(job.config))
        job.journal.note("start")
        return await graph.ainvoke(given, job.config, durability=job.durability)


def _left_to_give(job: Job, state: Any) -> dict[str, str | None] | None:
    """The input, unless the thread has stored it: then the run goes on, or has come to its end."""
    # Not state.next: it is empty where the kill fell between a node's writes and the checkpoint.
    return None if state.tasks or "answer" in job.journal.lines() else job.given


@contextmanager
def _saver(job: Job) -> Iterator[SqliteSaver | PostgresSaver]:
    saver = PostgresSaver if "://" in job.database else SqliteSaver
    with saver.from_conn_string(job.database) as opened:
        yield opened


def _asaver(job: Job) -> AbstractAsyncContextManager[Any]:
    saver = AsyncPostgresSaver if "://" in job.database else AsyncSqliteSaver
    return saver.from_conn_string(job.database)
