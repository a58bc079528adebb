"""The evaluation's own speed: contexts of 1M tokens, scores of trajectories, a table of them."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.common import full_text, megabytes
from benchmarks.memory import peak
from benchmarks.table import Row, main, progress
from mhm_langgraph.evaluation import (
    TASKS,
    Trajectory,
    Update,
    compare,
    format_length,
    open_task,
    parse_length,
    score,
    summarise,
)

__all__ = ["measure"]

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_BUILD_GOAL, _SCORE_GOAL = 5.0, 0.050  # seconds
_CHILD = "--build"
_SAMPLES = 10
_STEPS, _HEADS, _HEAD_TOKENS = 200, 4, 1024
_CODE = " The access code of the Lisbon office is 7319. "


def measure(quick: bool) -> list[Row]:
    """The rows of this theme."""
    progress("evaluation: contexts")
    return [*(_build_row(name, quick) for name in TASKS), *_score_rows(quick), _table_row(quick)]


def _build_row(name: str, quick: bool) -> Row:
    """Contexts of a task, in a process of its own: the first one reads the data files."""
    there = _DATA.is_dir()
    length = parse_length("1M" if there and not quick else "32K")
    found = _in_a_process(name, length)
    first, later = found["seconds"][0], found["seconds"][1:]
    return Row(
        name=f"building a context of {format_length(length)} tokens, {name}",
        limit="reading the text once",
        goal=f"< {_BUILD_GOAL:.0f} s",
        measured=f"{first:.2f} s the first, {statistics.median(later):.3f} s a further one",
        value=max(found["seconds"]),
        unit="seconds",
        met=None if quick or not there else max(found["seconds"]) < _BUILD_GOAL,
        note=f"{len(later) + 1} contexts one after the other, of {found['least']:,} to {found['most']:,} "
        f"tokens; the first reads the data files; peak memory {megabytes(found['peak'])}, "
        f"{megabytes(found['imported'])} after the import",
        detail=found,
    )


def _in_a_process(name: str, length: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.evaluation", _CHILD, name, str(length)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _build(name: str, length: int) -> None:
    """What the child does."""
    imported, seconds, tokens = peak(), [], []
    for index in range(_SAMPLES):
        began = time.perf_counter()
        samples = open_task(name, length=length, samples=128, data=_DATA if _DATA.is_dir() else None)
        tokens.append(samples[index].tokens)
        seconds.append(time.perf_counter() - began)
    found = {"seconds": seconds, "least": min(tokens), "most": max(tokens), "imported": imported}
    print(json.dumps({**found, "peak": peak()}))


def _score_rows(quick: bool) -> list[Row]:
    """The best and the worst of cases: the answer is nowhere, and it is in every text."""
    progress("evaluation: scores")
    rows = []
    for case, inside in (("in no head", ""), ("in every head", _CODE)):
        trajectory = _trajectory(inside)
        times = []
        for _ in range(3 if quick else 30):
            began = time.perf_counter()
            score(trajectory)
            times.append(time.perf_counter() - began)
        rows.append(
            Row(
                name=f"scoring a trajectory of {_STEPS} steps, {_HEADS} heads of {_HEAD_TOKENS} tokens, the "
                f"answer {case}",
                limit="searching each new text once",
                goal=f"< {_SCORE_GOAL * 1000:.0f} ms",
                measured=f"best {min(times) * 1000:.1f} ms, median {statistics.median(times) * 1000:.1f} ms",
                value=statistics.median(times),
                unit="seconds",
                met=None if quick else statistics.median(times) < _SCORE_GOAL,
                note=f"every step rewrites a head of 4 KB; {len(times)} times, the goal against the median",
            )
        )
    return rows


def _trajectory(inside: str) -> Trajectory:
    def text(step: int) -> str:
        full = full_text(_HEAD_TOKENS, step)
        return full[:3000] + inside + full[3000 + len(inside) :]

    return Trajectory(
        sample="0",
        task="needle",
        length=2**20,
        tokens=2**20,
        question="What is the access code of the Lisbon office?",
        answers=("7319",),
        method="mhm-lru",
        heads=_HEADS,
        updates=tuple(
            Update(step=step, head=step % _HEADS, span=(step, step + 1), text=text(step))
            for step in range(_STEPS)
        ),
        answer="The access code is 7319.",
    )


def _table_row(quick: bool) -> Row:
    """A table of the paper's size: summaries with intervals, and three paired comparisons."""
    progress("evaluation: a table")
    chance = random.Random(0)  # noqa: S311  # not for secrets
    methods, lengths, samples, runs = ("mhm-lru", "memagent", "remem", "llm"), 8, 8 if quick else 128, 3
    one = score(_trajectory(_CODE))
    scores = [
        replace(
            one,
            sample=str(sample),
            method=method,
            run=run,
            length=7168 * 2**length,
            retained=chance.random() < 0.5,
            correct=chance.random() < 0.5,
            f1=chance.random(),
        )
        for method in methods
        for length in range(lengths)
        for sample in range(samples)
        for run in range(runs)
    ]
    began = time.perf_counter()
    lines = summarise(scores)
    middle = time.perf_counter()
    found = [comparison for method in methods[1:] for comparison in compare(scores, methods[0], method)]
    ended = time.perf_counter()
    return Row(
        name=f"a table of {len(methods)} methods, {lengths} lengths, {samples} samples, {runs} runs",
        limit="",
        goal="",
        measured=f"{middle - began:.1f} s the lines, {ended - middle:.1f} s the comparisons",
        value=ended - began,
        unit="seconds",
        met=None,
        note=f"from scores: {len(lines)} lines with intervals (2,000 draws), {len(found)} paired comparisons "
        "(9,999 draws)",
    )


if __name__ == "__main__":
    if sys.argv[1:2] == [_CHILD]:
        _build(sys.argv[2], int(sys.argv[3]))
    else:
        main(measure, __doc__)
