"""PostgreSQL bytes of a run, on a server started for it: `python -m benchmarks.postgres`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.conninfo import make_conninfo

from benchmarks.common import (
    HEAD_BYTES,
    HEAD_TOKENS,
    HEADS,
    MEGABYTE,
    QUESTION,
    InstantReader,
    chunk_tokens_for,
    megabytes,
    prose,
    temporary_folder,
)
from benchmarks.growth import fitted
from benchmarks.sizes import HostState
from benchmarks.table import Row, conditions, markdown, progress, show
from mhm_langgraph import MHMGraph, create_mhm_agent
from tests.postgres import postgres_server, postgres_versions

__all__ = ["main", "measure"]

_RESULTS = Path(__file__).resolve().parent / "results"
_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
_CONFIG: Any = {"configurable": {"thread_id": "benchmark"}}


@dataclass(frozen=True)
class Scale:
    """How large the measurements are.

    Args:
        document: The document, in bytes.
        steps: How many steps it is read in.
        growth: The numbers of steps at which the growth is measured.
        small: A smaller document, in bytes, for the growth's other line.
    """

    document: int
    steps: int
    growth: tuple[int, ...]
    small: int


_FULL = Scale(4 * MEGABYTE, 200, (50, 100, 200, 400, 800), MEGABYTE)
_QUICK = Scale(40_000, 8, (4, 8, 16), 20_000)


class Server:
    """Measures on a server, each run in a database of its own.

    Args:
        address: The server's address.
        folder: Where the documents are written.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self._address, self._folder = address, folder
        self._numbers = count()

    def stored(self, kind: str, text: str, steps: int, *, parent: bool = False) -> tuple[int, dict[str, int]]:
        """Run once and see what is stored.

        Args:
            kind: The document in a `file`, or `inline`.
            text: The document.
            steps: In how many steps it is to be read.
            parent: Whether the graph runs as a node of a checkpointed parent.

        Returns:
            The steps it took, and the bytes of each table with its indexes and long values.
        """
        path = self._folder / "book.txt"
        path.write_text(text, encoding="utf-8")
        given = {"source": str(path)} if kind == "file" else {"document": text}
        database = self._new_database()
        with PostgresSaver.from_conn_string(database) as saver:
            saver.setup()
            graph = _graph(saver, chunk_tokens_for(text, steps), parent)
            events = graph.stream(
                {"question": QUESTION, **given}, _CONFIG, stream_mode="custom", subgraphs=True
            )
            taken = sum(event["type"] == "head_updated" for _, event in events)
        return taken, _sizes(database)

    def _new_database(self) -> str:
        name = f"run_{next(self._numbers)}"
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return make_conninfo(self._address, dbname=name)


def _graph(saver: PostgresSaver, chunk_tokens: int, parent: bool) -> Any:
    """The agent, on its own or as the only node of a parent."""
    agent: MHMGraph = create_mhm_agent(
        InstantReader(),
        heads=HEADS,
        head_tokens=HEAD_TOKENS,
        chunk_tokens=chunk_tokens,
        checkpointer=None if parent else saver,
    )
    if not parent:
        return agent
    builder = StateGraph(HostState)
    builder.add_node("mhm", agent)
    builder.add_edge(START, "mhm")
    builder.add_edge("mhm", END)
    return builder.compile(checkpointer=saver)


def _sizes(database: str) -> dict[str, int]:
    """Bytes on disk of each table, its indexes and its long values."""
    with psycopg.connect(database) as connection:
        rows = [connection.execute("SELECT pg_total_relation_size(%s)", (table,)) for table in _TABLES]
        return {table: int(row.fetchone()[0]) for table, row in zip(_TABLES, rows, strict=True)}  # type: ignore[index]  # a row there is


def measure(server: Server, quick: bool) -> list[Row]:
    """The rows of this theme."""
    scale = _QUICK if quick else _FULL
    return [*_document_rows(server, scale), *_growth_rows(server, scale, quick)]


def _document_rows(server: Server, scale: Scale) -> Iterator[Row]:
    """The document in a file and inline, at the top and inside a checkpointed parent."""
    how = {"file": "read from a file", "inline": "passed inline"}
    where = {False: "", True: ", inside a checkpointed parent that shares its keys"}
    for parent in where:
        for kind in how:
            progress(f"postgres: {kind}, {'parent' if parent else 'top'}")
            steps, sizes = server.stored(kind, prose(scale.document), scale.steps, parent=parent)
            copy = " + 1 copy" if kind == "inline" else ""
            what = f"{megabytes(scale.document)} {how[kind]}, {steps} steps{where[parent]}"
            yield Row(
                name=f"PostgreSQL bytes, {what}",
                limit=f"{megabytes(steps * HEAD_BYTES)} (what was written){copy}",
                goal="",
                measured=megabytes(sum(sizes.values())),
                value=sum(sizes.values()),
                unit="bytes",
                met=None,
                note=", ".join(f"{table} {megabytes(size)}" for table, size in sizes.items()),
                detail=dict(sizes),
            )


def _growth_rows(server: Server, scale: Scale, quick: bool) -> Iterator[Row]:
    """Bytes against steps for two sizes of document in a file, and for one inline."""
    for kind, size in (("file", scale.small), ("file", scale.document), ("inline", scale.document)):
        progress(f"postgres: growth, {kind}, {megabytes(size)}")
        points = [
            (steps, sum(sizes.values()))
            for steps, sizes in (server.stored(kind, prose(size), each) for each in scale.growth)
        ]
        yield _growth_row(f"{megabytes(size)} {kind}", points, quick)


def _growth_row(name: str, points: Sequence[tuple[int, int]], quick: bool) -> Row:
    """One line of the growth."""
    slope, deviation = fitted(points)
    return Row(
        name=f"PostgreSQL, growth with the steps, {name}",
        limit=f"{HEAD_BYTES / 1000:.1f} kB a step",
        goal="linear (here: no point off by more than 5%)",
        measured=f"{slope / 1000:.1f} kB a step, at most {deviation:.2%} off the line",
        value=slope,
        unit="bytes a step",
        met=None if quick else deviation <= 0.05,
        note="; ".join(f"{steps} steps {megabytes(size)}" for steps, size in points),
        detail={"steps and bytes": points},
    )


def main() -> None:
    """Measure, print, and write `postgres.json` and `postgres.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it works; keeps nothing"
    )
    quick = parser.parse_args().quick
    with temporary_folder() as folder, postgres_server() as address:
        rows = measure(Server(address, folder), quick)
        versions = postgres_versions(address)
    show(rows)
    if quick:
        return
    measured = {
        **conditions("python -m benchmarks.postgres"),
        "server": versions,
        "bytes": "tables with indexes and long values (TOAST), without the server's own write-ahead log",
    }
    table = {"measured": measured, "rows": [asdict(row) for row in rows]}
    (_RESULTS / "postgres.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    (_RESULTS / "postgres.md").write_text(markdown(rows, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
