"""SQLite bytes of a run: what is stored, and what a naive state would store."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from benchmarks.common import (
    HEAD_BYTES,
    HEAD_TOKENS,
    HEADS,
    MEGABYTE,
    QUESTION,
    InstantReader,
    chunk_tokens_for,
    full_text,
    megabytes,
    prose,
    temporary_folder,
)
from benchmarks.table import Row, main, progress
from mhm_langgraph import MHMGraph, create_mhm_agent

__all__ = ["measure", "stored"]

_STRICT_GOAL = 3 * MEGABYTE
_PLAIN_GOAL = 15 * MEGABYTE
_CONFIG: RunnableConfig = {"configurable": {"thread_id": "benchmark"}}


@dataclass(frozen=True)
class Scale:
    """How large the measurements are.

    Args:
        document: The document, in bytes.
        steps: How many steps it is read in.
        naive: The numbers of steps from which the naive state is extrapolated.
    """

    document: int
    steps: int
    naive: tuple[int, int]


_FULL = Scale(4 * MEGABYTE, 200, (4, 8))
_QUICK = Scale(40_000, 4, (1, 2))


@dataclass(frozen=True)
class Stored:
    """What one run left on disk.

    Args:
        size: Bytes of the database.
        steps: Steps of the run.
        tables: Payload bytes by table.
    """

    size: int
    steps: int
    tables: dict[str, int]

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {megabytes(size)}" for name, size in self.tables.items())
        return f"{self.steps} steps; {parts}"


class HostState(TypedDict, total=False):
    """A parent that shares the subgraph's keys, as a user would write it."""

    question: str
    document: str
    source: str
    answer: str


class NaiveState(TypedDict, total=False):
    """What one writes first: everything in state, as plain strings."""

    document: str
    chunk: str
    heads: list[str]
    cursor: int


def measure(quick: bool) -> list[Row]:
    """The rows of this theme."""
    scale = _QUICK if quick else _FULL
    text = prose(scale.document)
    with temporary_folder() as folder:
        path = folder / "book.txt"
        path.write_text(text, encoding="utf-8")
        rows = _document_rows(folder, text, path, scale, quick)
        return [*rows, _naive_row(folder, text, scale)]


def _document_rows(folder: Path, text: str, path: Path, scale: Scale, quick: bool) -> list[Row]:
    """The document in a file and inline, at the top and inside a checkpointed parent."""
    chunk_tokens = chunk_tokens_for(text, scale.steps)
    inputs = {"file": {"source": str(path)}, "inline": {"document": text}}
    rows = []
    for place in ("top", "parent"):
        for kind, given in inputs.items():
            progress(f"sizes: {kind}, {place}")
            found = stored(folder / f"{kind}-{place}.sqlite", given, chunk_tokens, parent=place == "parent")
            rows.append(_document_row(kind, place, found, scale, quick))
    return rows


def _document_row(kind: str, place: str, found: Stored, scale: Scale, quick: bool) -> Row:
    """One row of the four."""
    written = megabytes(found.steps * HEAD_BYTES)
    copies = 2 * scale.document if kind == "inline" else 0
    goals = {
        "file": f"<= {megabytes(_STRICT_GOAL)}; <= {megabytes(_PLAIN_GOAL)} with plain channels",
        "inline": f"<= 2 copies + {megabytes(_STRICT_GOAL)} = {megabytes(copies + _STRICT_GOAL)}",
    }
    # architecture.md allows plain channels for the file, and names no goal inside a parent.
    bound = copies + (_PLAIN_GOAL if kind == "file" else _STRICT_GOAL)
    extra = f"; 2 copies + {megabytes(_PLAIN_GOAL)} with plain channels would be " + megabytes(
        copies + _PLAIN_GOAL
    )
    where = {"top": "", "parent": ", inside a checkpointed parent that shares its keys"}[place]
    how = {"file": "read from a file", "inline": "passed inline"}[kind]
    return Row(
        name=f"SQLite bytes, {megabytes(scale.document)} {how}, {found.steps} steps{where}",
        limit=f"{written} (what was written)" + (" + 1 copy" if kind == "inline" else ""),
        goal=goals[kind] if place == "top" else "",
        measured=megabytes(found.size),
        value=found.size,
        unit="bytes",
        met=None if quick or place == "parent" else found.size <= bound,
        note=f"{found}{extra if kind == 'inline' and place == 'top' else ''}",
        detail=asdict(found),
    )


def stored(database: Path, given: dict[str, str], chunk_tokens: int, *, parent: bool = False) -> Stored:
    """Run once with a SQLite checkpointer and see what it stored.

    Args:
        database: The database's path; nothing is there yet.
        given: `document` or `source`.
        chunk_tokens: Size of a chunk.
        parent: Whether the graph runs as a node of a checkpointed parent.

    Returns:
        What is on disk after the run, the write-ahead log emptied into the database.
    """
    with SqliteSaver.from_conn_string(str(database)) as saver:
        agent = create_mhm_agent(
            InstantReader(),
            heads=HEADS,
            head_tokens=HEAD_TOKENS,
            chunk_tokens=chunk_tokens,
            checkpointer=None if parent else saver,
        )
        graph = _hosted(agent, saver) if parent else agent
        steps = 0
        for chunk in graph.stream(
            {"question": QUESTION, **given}, _CONFIG, stream_mode="custom", subgraphs=True
        ):
            steps += chunk[-1]["type"] == "head_updated"
        return _on_disk(saver, database, steps)


def _on_disk(saver: SqliteSaver, database: Path, steps: int) -> Stored:
    """The size after a checkpoint of the write-ahead log, and where the bytes are."""
    with closing(saver.conn.cursor()) as cursor:
        cursor.execute("pragma wal_checkpoint(truncate)")
        sums = {
            "checkpoints": "select sum(length(checkpoint) + length(metadata)) from checkpoints",
            "writes": "select sum(length(value)) from writes",
        }
        tables = {name: int(cursor.execute(sql).fetchone()[0] or 0) for name, sql in sums.items()}
    return Stored(database.stat().st_size, steps, tables)


def _hosted(agent: MHMGraph, saver: BaseCheckpointSaver[Any]) -> Any:
    """A parent graph with the agent as its only node."""
    builder = StateGraph(HostState)
    builder.add_node("mhm", agent)
    builder.add_edge(START, "mhm")
    builder.add_edge("mhm", END)
    return builder.compile(checkpointer=saver)


def _naive_row(folder: Path, text: str, scale: Scale) -> Row:
    """What the same run costs with everything in state, extrapolated from a few steps."""
    progress("sizes: naive")
    sizes = [_naive(folder / f"naive-{steps}.sqlite", text, steps, scale) for steps in scale.naive]
    (few, more), (small, large) = scale.naive, sizes
    a_step = (large - small) / (more - few)
    total = small + a_step * (scale.steps - few)
    return Row(
        name=f"for comparison: naive state, {megabytes(scale.document)}, {scale.steps} steps (extrapolated)",
        limit="",
        goal="",
        measured=megabytes(total),
        value=total,
        unit="bytes",
        met=None,
        note=f"document, chunk and heads as plain strings, three nodes a step; measured at {few} and {more} "
        f"steps ({megabytes(a_step)} a step), extrapolated to {scale.steps}",
    )


def _naive(database: Path, text: str, steps: int, scale: Scale) -> int:
    """Bytes that a naive three-node loop stores in so many steps."""
    with SqliteSaver.from_conn_string(str(database)) as saver:
        graph = _naive_graph(len(text) // scale.steps, steps).compile(checkpointer=saver)
        start = NaiveState(document=text, chunk="", heads=[full_text(HEAD_TOKENS)] * HEADS, cursor=0)
        graph.invoke(start, {**_CONFIG, "recursion_limit": 10 * steps + 10})
        return _on_disk(saver, database, steps).size


def _naive_graph(chunk_size: int, steps: int) -> StateGraph[NaiveState]:
    """Three nodes a step, read, select and update; the chunk is handed on in state."""

    def read(state: NaiveState) -> NaiveState:
        cursor = state["cursor"]
        return {"chunk": state["document"][cursor : cursor + chunk_size], "cursor": cursor + chunk_size}

    def select(state: NaiveState) -> NaiveState:
        return {}

    def update(state: NaiveState) -> NaiveState:
        number = state["cursor"] // chunk_size
        heads = list(state["heads"])
        heads[number % HEADS] = full_text(HEAD_TOKENS, number)
        return {"heads": heads}

    builder = StateGraph(NaiveState)
    builder.add_node("read", read)
    builder.add_node("select", select)
    builder.add_node("update", update)
    builder.add_edge(START, "read")
    builder.add_edge("read", "select")
    builder.add_edge("select", "update")
    builder.add_conditional_edges(
        "update", lambda state: END if state["cursor"] >= steps * chunk_size else "read", ["read", END]
    )
    return builder


if __name__ == "__main__":
    main(measure, __doc__)
