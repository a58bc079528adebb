"""Many readings killed by SIGKILL: what a crash costs, on SQLite and PostgreSQL.

python -m tests.soak.crash --kills 20
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any, get_args

from langgraph.types import Durability

from benchmarks.table import conditions, progress
from tests.postgres import postgres_server, postgres_versions
from tests.soak.kill import Outcome, kill_and_compare, text
from tests.soak.worker import Job, Place, work

__all__ = ["main"]

_RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
_CALL_SECONDS = 0.02
_TIMED_CHUNKS = 100
_TIMES = 7


@dataclass(frozen=True)
class Line:
    """One line of the table: a kind of reading, and what became of it."""

    job: Job
    name: str
    outcome: Outcome

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "checkpointer": self.name,
            "place": self.job.place,
            "durability": self.job.durability or "default",
            "model call, ms": round(self.job.call_seconds * 1000),
            "kills": self.outcome.kills,
            "runs": len(self.outcome.same),
            "repeated calls": sum(self.outcome.repeated),
            "repeated calls a kill, mean": round(mean(self.outcome.repeated or (0,)), 2),
            "repeated calls a kill, most": self.outcome.worst,
            "runs with other heads or answer": self.outcome.same.count(False),
            "runs with a chunk skipped or read twice": self.outcome.whole.count(False),
        }


class Soak:
    """Measures on both databases.

    Args:
        folder: Where everything is written.
        server: The address of a PostgreSQL server.
        kills: Kills a line.
        seed: Of the random moments.
    """

    def __init__(self, folder: Path, server: str, kills: int, seed: int) -> None:
        self._folder, self._kills, self._seed = folder, kills, seed
        self._numbers = count()
        self._databases = {"SQLite": str(folder / "memory.sqlite"), "PostgreSQL": server}

    def places(self) -> Iterator[Line]:
        """At the top and inside a parent, sync and async, with nobody naming a durability."""
        for name, place, is_async in product(self._databases, get_args(Place), (False, True)):
            job = self._job(name, place=place, is_async=is_async, call_seconds=_CALL_SECONDS)
            yield self._line(job, f"{name}, {'async' if is_async else 'sync'} graph")

    def durabilities(self) -> Iterator[Line]:
        """What each durability loses, with a model that takes its time and with one that takes none."""
        for name, durability, seconds in product(self._databases, get_args(Durability), (_CALL_SECONDS, 0.0)):
            yield self._line(self._job(name, durability=durability, call_seconds=seconds), name)

    def times(self) -> list[dict[str, Any]]:
        """What each durability takes: a step of an undisturbed run, with a model that takes no time."""
        kinds = list(product(self._databases, get_args(Durability)))
        rounds = [[self._step_ms(*kind) for kind in kinds] for _ in range(_TIMES)]  # in turn: loads change
        return [
            {
                "checkpointer": name,
                "durability": durability,
                "best, ms a step": round(min(found), 2),
                "median, ms a step": round(median(found), 2),
            }
            for (name, durability), found in zip(kinds, zip(*rounds, strict=True), strict=True)
        ]

    def _step_ms(self, name: str, durability: Durability) -> float:
        job = self._job(name, durability=durability, given={"document": text(_TIMED_CHUNKS)})
        began = time.perf_counter()
        work(job)
        return (time.perf_counter() - began) / _TIMED_CHUNKS * 1000

    def _line(self, job: Job, name: str) -> Line:
        progress(f"crash: {name}, {job.place}, {job.durability or 'default'}, {job.call_seconds} s a call")
        return Line(job, name, kill_and_compare(job, self._kills, self._seed))

    def _job(self, name: str, given: dict[str, str | None] | None = None, **options: Any) -> Job:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return Job(self._databases[name], folder, str(folder), given or {}, **options)


def table(lines: list[dict[str, Any]]) -> str:
    """Rows of one kind as a Markdown table."""
    rows = [list(lines[0]), ["---"] * len(lines[0]), *(list(line.values()) for line in lines)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows) + "\n"


def page(found: dict[str, Any]) -> str:
    """The results for people."""
    facts = "\n".join(f"- {key}: {value}" for key, value in found["measured"].items())
    return (
        "# Kills, measured\n\n"
        f"{facts}\n"
        "- Each line: processes killed by SIGKILL at random moments, each resumed in a new process, the "
        "document inline and in a file in turn, half of the runs on a thread that has read before.\n"
        "- A call counts as repeated when a new process begins it once more, whether or not the killed one "
        "had its reply.\n\n"
        "## At the top and as a subgraph\n\n"
        f"{table(found['places'])}\n"
        f"## By durability\n\n{table(found['durabilities'])}\n"
        "## Time by durability\n\n"
        f"{_TIMES} undisturbed runs of {_TIMED_CHUNKS} steps each, with a model that takes no time and heads "
        "of a few hundred bytes; PostgreSQL on a Unix socket, with fsync off.\n\n"
        f"{table(found['times'])}"
    )


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="kills a line of the table")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random moments")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="mhm-soak-") as folder, postgres_server() as server:
        soak = Soak(Path(folder), server, asked.kills, asked.seed)
        command = f"python -m tests.soak.crash --kills {asked.kills} --seed {asked.seed}"
        found = {
            "measured": {**conditions(command), "text": "made up", "server": postgres_versions(server)},
            "times": soak.times(),
            "places": [line.as_dict() for line in soak.places()],
            "durabilities": [line.as_dict() for line in soak.durabilities()],
        }
    print(page(found))
    (_RESULTS / "crash.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (_RESULTS / "crash.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
