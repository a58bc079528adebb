"""How long a fact stays, summed (docs/retention.md) and simulated: `python -m benchmarks.retention`.

Nothing here is a language model. It writes `retention.json`, `retention.md` and the plots.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.retention_plots import draw_lengths, draw_paper, draw_summary, draw_survival
from benchmarks.retention_points import (
    CHUNK_TOKENS,
    COPIES,
    FACTS,
    HEADS,
    LENGTHS,
    Point,
    measure,
    named,
    setting,
    steps_of,
    through_the_graph,
)
from benchmarks.table import conditions, progress
from mhm_langgraph.evaluation.tasks import format_length
from mhm_langgraph.retention import Rates

__all__ = ["main", "markdown"]

_RESULTS = Path(__file__).resolve().parent / "results"


def markdown(points: Sequence[Point], graph: Sequence[dict[str, Any]], measured: dict[str, str]) -> str:
    """All numbers as a page."""
    lines = ["# Retention, simulated and summed", ""]
    lines += [
        "This is a simulation of the architecture with a reader that captures, forgets and copies by chance;"
    ]
    lines += ["no language model was called. docs/retention.md derives the sums.", ""]
    lines += [f"- {key}: {value}" for key, value in measured.items() if key != "text"]
    lines += [
        f"- rates: forget {Rates.forget:g} a rewrite; copy as stated; chunks of {CHUNK_TOKENS:,} tokens",
        "",
    ]
    missed = sum(not point.interval[0] <= point.expected <= point.interval[1] for point in points)
    lines += [f"Of {len(points)} intervals of 95%, {missed} miss what is expected.", ""]
    for copy in COPIES:
        lines += [
            f"## {setting(copy)}",
            "",
            "Simulated [95% interval] / expected, by length and number of heads:",
        ]
        lines += ["", *_table([point for point in points if point.copy == copy]), ""]
    lines += ["## Through the real graph", "", "Whole readings by `create_mhm_agent`, one fact in each:", ""]
    lines += [
        "| heads | steps | readings | retention | 95% interval | expected |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['heads']} | {row['steps']} | {row['readings']} | {row['retention']:.3f} "
        f"| {row['interval'][0]:.3f} to {row['interval'][1]:.3f} | {row['expected']:.3f} |"
        for row in graph
    ]
    for name in ("lengths", "survival", "paper"):
        lines += ["", f"![retention, {name}](retention_{name}.png)"]
    return "\n".join(lines) + "\n"


def _table(points: Sequence[Point]) -> Iterator[str]:
    yield "| length | steps |" + "".join(f" {named(heads)} |" for heads in HEADS)
    yield "|---|---|" + "---|" * len(HEADS)
    for length in LENGTHS:
        yield f"| {format_length(length)} | {steps_of(length)} |" + "".join(
            f" {point.simulated:.3f} [{point.interval[0]:.3f}, {point.interval[1]:.3f}] / "
            f"{point.expected:.3f} |"
            for point in points
            if point.length == length
        )


def main() -> None:
    """Simulate, draw, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retention", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few facts, to see that it works")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder for the files")
    asked = parser.parse_args()
    asked.results.mkdir(parents=True, exist_ok=True)
    points = measure(200 if asked.quick else FACTS)
    progress("simulated")
    graph = list(through_the_graph(4, 20) if asked.quick else through_the_graph())
    progress("read through the graph")
    draw_lengths(points, asked.results)
    draw_summary(points, asked.results)
    draw_survival(asked.results, 2000 if asked.quick else 20_000)
    draw_paper(asked.results)
    measured = conditions("python -m benchmarks.retention" + " --quick" * asked.quick)
    kept = {"measured": measured, "points": [asdict(point) for point in points], "graph": graph}
    (asked.results / "retention.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    (asked.results / "retention.md").write_text(markdown(points, graph, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
