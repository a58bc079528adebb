"""What recall costs: bytes a step and time, with and without a store: `python -m benchmarks.recall`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.store.sqlite import SqliteStore

from benchmarks.common import BYTES_PER_TOKEN, HEAD_BYTES, HEADS, prose, temporary_folder, write_prose
from benchmarks.table import Row, conditions, markdown, progress, show
from mhm_langgraph import Reader, Reply, create_mhm_agent
from mhm_langgraph.readers import AnswerRequest, UpdateRequest

__all__ = ["measure"]

_RESULTS = Path(__file__).resolve().parent / "results"
_CHUNK_BYTES = 20_000
_FULL, _QUICK = (50, 200), (4, 8)  # steps
_ASKED: Any = {"question": "Where did the white whale take Ahab's leg?"}
_KINDS: dict[str, dict[str, Any]] = {
    "off": {},
    "recall=4": {"recall": 4},
    "recall=4, in a store": {"recall": 4},
    "recall=4, recall_updates": {"recall": 4, "recall_updates": True},
}


class _Writer(Reader):
    """Writes another full head at each step, in no time."""

    def __init__(self, steps: int) -> None:
        self._prose = prose((steps + 9) * HEAD_BYTES)

    def update(self, request: UpdateRequest) -> Reply:
        """A piece of prose."""
        start = request.step * HEAD_BYTES
        return Reply(text=self._prose[start : start + HEAD_BYTES])

    def answer(self, request: AnswerRequest) -> Reply:
        """How much was recalled."""
        return Reply(text=f"{len(request.recalled)} texts")


def measure(quick: bool) -> list[Row]:
    """The rows of this theme."""
    few, many = _QUICK if quick else _FULL
    return [row for kind in _KINDS for row in _rows(kind, few, many)]


def _rows(kind: str, few: int, many: int) -> Iterator[Row]:
    """One kind: what a further step stores, what it takes, and what a question costs afterwards."""
    progress(f"recall: {kind}")
    before, after = _run(kind, few), _run(kind, many)
    stored = (after["bytes"] - before["bytes"]) / (after["steps"] - before["steps"])
    what = f"{kind}, {after['steps']} steps"
    detail = {"few": before, "many": after}
    note = f"from {before['steps']} to {after['steps']} steps"
    yield Row(
        f"{what}: each step stores",
        "",
        "",
        f"{stored / 1000:.1f} kB",
        stored,
        "bytes a step",
        None,
        note,
        detail,
    )
    for name, key in (
        ("processor time a step", "step_seconds"),
        ("processor time of a question to the memory", "question_seconds"),
        ("processor time to read the state", "state_seconds"),
    ):
        yield Row(f"{what}: {name}", "", "", f"{1000 * after[key]:.1f} ms", after[key], "seconds", None)


def _run(kind: str, steps: int) -> dict[str, float]:
    """Read once, then ask twice; the second question finds the texts read into the process."""
    thread: Any = {"configurable": {"thread_id": "1"}}
    with temporary_folder() as folder:
        book, path = folder / "book.txt", folder / "memory.sqlite"
        write_prose(book, steps * _CHUNK_BYTES)
        with (
            SqliteSaver.from_conn_string(str(path)) as saver,
            SqliteStore.from_conn_string(str(path)) as store,
        ):
            store.setup()
            graph: Any = create_mhm_agent(
                _Writer(steps),
                heads=HEADS,
                chunk_tokens=_CHUNK_BYTES // BYTES_PER_TOKEN,
                checkpointer=saver,
                store=store if "store" in kind else None,
                **_KINDS[kind],
            )
            began = time.process_time()
            taken = graph.invoke({**_ASKED, "source": str(book)}, thread)["step"]
            read = time.process_time() - began
            began = time.process_time()
            graph.invoke(_ASKED, thread)
            asked = time.process_time() - began
            began = time.process_time()
            graph.get_state(thread)
            looked = time.process_time() - began
            saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = path.stat().st_size
    return {
        "steps": taken,
        "bytes": size,
        "step_seconds": read / taken,
        "question_seconds": asked,
        "state_seconds": looked,
    }


def main() -> None:
    """Measure, print, and write `results/recall.md` and `.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    asked = parser.parse_args()
    rows = measure(asked.quick)
    show(rows)
    if not asked.quick:
        measured = conditions("python -m benchmarks.recall")
        table = {"measured": measured, "rows": [asdict(row) for row in rows]}
        (_RESULTS / "recall.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        (_RESULTS / "recall.md").write_text(markdown(rows, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
