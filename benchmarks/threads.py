"""What a thread costs after its run: to look at, to move, to forget. `python -m benchmarks.threads`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Overwrite

from benchmarks.common import (
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
from benchmarks.table import Row, conditions, markdown, progress, show
from mhm_langgraph import create_mhm_agent
from tests.postgres import postgres_server, postgres_versions

__all__ = ["main", "measure"]

_RESULTS = Path(__file__).resolve().parent / "results"
_OLD: Any = {"configurable": {"thread_id": "old"}}
_NEW: Any = {"configurable": {"thread_id": "new"}}


@dataclass(frozen=True)
class Database:
    """Where threads are kept.

    Args:
        name: What people call it.
        opened: Opens a checkpointer on it.
        size: Its bytes on disk.
        cleanings: Ways to give space back after a thread was deleted, by name.
    """

    name: str
    opened: Callable[[], Any]
    size: Callable[[], int]
    cleanings: dict[str, Callable[[], Any]]


def sqlite(path: Path) -> Database:
    """A SQLite file."""

    def size() -> int:
        with SqliteSaver.from_conn_string(str(path)) as saver:
            saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.stat().st_size

    def vacuum() -> None:
        with SqliteSaver.from_conn_string(str(path)) as saver:
            saver.conn.execute("VACUUM")

    return Database("SQLite", lambda: SqliteSaver.from_conn_string(str(path)), size, {"VACUUM": vacuum})


def postgres(address: str) -> Database:
    """A PostgreSQL server's database."""

    def run(command: str) -> Any:
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(command)
            return cursor.fetchone() if cursor.description else None

    def size() -> int:
        tables = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
        return sum(int(run(f"SELECT pg_total_relation_size('{table}')")[0]) for table in tables)

    cleanings: dict[str, Callable[[], Any]] = {
        command: lambda command=command: run(command)  # type: ignore[misc]  # the loop's value, kept
        for command in ("VACUUM", "VACUUM FULL")
    }
    return Database("PostgreSQL", lambda: PostgresSaver.from_conn_string(address), size, cleanings)


def measure(databases: list[Database], quick: bool) -> Iterator[Row]:
    """The rows of this theme."""
    document, steps = (40_000, 8) if quick else (4 * MEGABYTE, 200)
    text = prose(document)
    for database in databases:
        progress(f"threads: {database.name}")
        with database.opened() as saver:
            graph = create_mhm_agent(
                InstantReader(),
                heads=HEADS,
                head_tokens=HEAD_TOKENS,
                chunk_tokens=chunk_tokens_for(text, steps),
                checkpointer=saver,
            )
            taken = graph.invoke({"question": QUESTION, "document": text}, _OLD)["step"]
            what = f"{database.name}, {taken} steps over {megabytes(document)} inline"
            yield from _looks(graph, what)
            yield from _move(graph, database, what)
            yield from _forget(saver, database, what)
        yield from _clean(database, what)


def _looks(graph: Any, what: str) -> Iterator[Row]:
    """How long it takes to look at a thread."""
    yield _seconds(f"{what}: read the state", lambda: graph.get_state(_OLD))
    yield _seconds(
        f"{what}: read the last 10 checkpoints", lambda: list(graph.get_state_history(_OLD, limit=10))
    )
    yield _seconds(f"{what}: read the whole history", lambda: list(graph.get_state_history(_OLD)))


def _move(graph: Any, database: Database, what: str) -> Iterator[Row]:
    """The memory on a new thread, without its history."""
    before = database.size()
    values = graph.get_state(_OLD).values
    graph.update_state(_NEW, {"heads": Overwrite(values["heads"]), "step": values["step"]}, as_node="answer")
    yield _bytes(f"{what}: the memory on a new thread takes", database.size() - before)


def _forget(saver: Any, database: Database, what: str) -> Iterator[Row]:
    """The old thread's rows, deleted."""
    yield _bytes(f"{what}: both threads", database.size())
    saver.delete_thread("old")
    yield _bytes(f"{what}: after delete_thread", database.size())


def _clean(database: Database, what: str) -> Iterator[Row]:
    """The space, given back."""
    for name, clean in database.cleanings.items():
        began = time.perf_counter()
        clean()
        took = time.perf_counter() - began
        yield _bytes(f"{what}: after {name}", database.size(), f"took {took:.2f} s")


def _seconds(name: str, call: Callable[[], Any]) -> Row:
    began = time.perf_counter()
    call()
    took = time.perf_counter() - began
    return Row(name, "", "", f"{took:.3f} s", took, "seconds", None, "measured once")


def _bytes(name: str, size: int, note: str = "") -> Row:
    return Row(name, "", "", megabytes(size), size, "bytes", None, note)


@contextmanager
def _databases() -> Iterator[tuple[list[Database], str]]:
    with temporary_folder() as folder, postgres_server() as address:
        yield [sqlite(folder / "memory.sqlite"), postgres(address)], postgres_versions(address)


def main() -> None:
    """Measure, print, and write `threads.json` and `threads.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it works; keeps nothing"
    )
    quick = parser.parse_args().quick
    with _databases() as (databases, server):
        rows = list(measure(databases, quick))
    show(rows)
    if quick:
        return
    measured = {**conditions("python -m benchmarks.threads"), "server": server}
    table = {"measured": measured, "rows": [asdict(row) for row in rows]}
    (_RESULTS / "threads.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    (_RESULTS / "threads.md").write_text(markdown(rows, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
