"""How long a fact stays, summed (docs/retention.md) and simulated: `python -m benchmarks.retention`.

Nothing here is a language model. It writes `retention.json`, `retention.md` and the plots.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.table import conditions, progress
from mhm_langgraph import create_mhm_agent
from mhm_langgraph.evaluation import Sample
from mhm_langgraph.evaluation.report.paper import PAPER, SOURCE
from mhm_langgraph.evaluation.report.style import COLOURS, MARKERS, drawing, length_axis, save, share_axis
from mhm_langgraph.evaluation.simulation import Simulation, simulate
from mhm_langgraph.evaluation.tasks import format_length
from mhm_langgraph.retention import Rates, expected_retention, survival

__all__ = ["CHUNK_TOKENS", "HEADS", "LENGTHS", "Point", "main", "measure"]

CHUNK_TOKENS: Final = 5000
HEADS: Final = (1, 2, 4, 8)
LENGTHS: Final = tuple(k * 1024 for k in (7, 14, 28, 56, 112, 224, 448, 896, 1024))
COPIES: Final = (0.0, Rates.copy)

_RESULTS = Path(__file__).resolve().parent / "results"
_FACTS = 2000  # a point: few enough that the intervals can be seen
_READINGS = 60  # a number of heads, through the real graph
_FILLER = "It rained on the harbour all day long.\n\n"
_LINE = "The code of Ghent is 7319."


@dataclass(frozen=True, kw_only=True)
class Point:
    """The retention at one length, as simulated and as summed.

    Args:
        copy: The chance of a copy.
        heads: Number of heads.
        length: Tokens of the text.
        steps: Steps of the reading.
        captured: How many facts were captured.
        simulated: The share of them in the final memory.
        interval: Its 95% interval (Wilson).
        expected: What the closed form or the chain says.
    """

    copy: float
    heads: int
    length: int
    steps: int
    captured: int
    simulated: float
    interval: tuple[float, float]
    expected: float


def steps_of(length: int) -> int:
    """Steps of a text with chunks of 5,000 tokens."""
    return -(-length // CHUNK_TOKENS)


def interval(successes: int, number: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson)."""
    from scipy.stats import binomtest

    low, high = binomtest(successes, number).proportion_ci(method="wilson")
    return float(low), float(high)


def measure(facts: int = _FACTS) -> list[Point]:
    """Every number of heads at every length, without and with copies."""
    return [_point(copy, heads, length, facts) for copy in COPIES for heads in HEADS for length in LENGTHS]


def _point(copy: float, heads: int, length: int, facts: int) -> Point:
    rates, steps = Rates(copy=copy), steps_of(length)
    fates = simulate(heads, steps, rates, facts=facts, seed=length * 100 + heads)
    kept, captured = int(fates.retained.sum()), len(fates.retained)
    return Point(
        copy=copy,
        heads=heads,
        length=length,
        steps=steps,
        captured=captured,
        simulated=kept / captured,
        interval=interval(kept, captured),
        expected=expected_retention(heads, steps, rates),
    )


def through_the_graph(readings: int = _READINGS, steps: int = 200) -> Iterator[dict[str, Any]]:
    """The same through `create_mhm_agent`: whole readings of so many chunks, one fact in each."""
    for heads in HEADS:
        captured = kept = 0
        for number in range(readings):
            sample = _sample(number, number * steps // readings, steps)
            reader = Simulation(rates=Rates(capture=1)).reader(sample)
            graph = create_mhm_agent(reader, heads=heads, chunk_tokens=len(_FILLER) // 4 + 1)
            out = graph.invoke({"question": sample.question, "document": sample.context})
            assert out["step"] == steps, out["step"]
            captured += 1
            kept += out["answer"] == _LINE
        yield {
            "heads": heads,
            "steps": steps,
            "readings": captured,
            "retention": kept / captured,
            "interval": interval(kept, captured),
            "expected": expected_retention(heads, steps),
        }


def _sample(number: int, place: int, steps: int) -> Sample:
    start = len(_FILLER) * place
    return Sample(
        id=str(number),
        task="needle",
        length=10 * steps,
        tokens=10 * steps,
        question="Which code?",
        context=_FILLER * place + _LINE + "\n\n" + _FILLER * (steps - 1 - place),
        answers=("7319",),
        evidence=((start, start + len(_LINE)),),
    )


def draw_lengths(points: Sequence[Point], folder: Path) -> None:
    """Retention against length: points are the simulation, lines the sums."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4.3), layout="constrained")
        for axes, copy in zip(figure.subplots(1, 2, sharey=True), COPIES, strict=True):
            for heads, colour, marker in zip(HEADS, COLOURS, MARKERS, strict=False):
                mine = [point for point in points if (point.copy, point.heads) == (copy, heads)]
                lengths = [point.length for point in mine]
                axes.plot(lengths, [point.expected for point in mine], color=colour, alpha=0.75)
                errors = [
                    [point.simulated - point.interval[0] for point in mine],
                    [point.interval[1] - point.simulated for point in mine],
                ]
                axes.errorbar(
                    lengths,
                    [point.simulated for point in mine],
                    yerr=errors,
                    fmt=marker,
                    color=colour,
                    capsize=2.5,
                    elinewidth=1.2,
                    label=_named(heads),
                )
            length_axis(axes, [*LENGTHS[:-2], LENGTHS[-1]])  # 896K and 1M would overlap
            share_axis(axes, "captured facts in the final memory" if copy == 0 else "")
            axes.set_title(_setting(copy))
        figure.axes[0].legend(loc="lower left")
        figure.suptitle(
            f"Simulation, no language model: retention by length (f = {Rates.forget:g}; points: {_FACTS:,} "
            "facts, 95% intervals; lines: the sums)",
            fontsize=11,
            x=0.01,
            ha="left",
        )
        save(figure, folder / "retention_lengths")


def draw_survival(folder: Path, facts: int = 20_000, steps: int = 200) -> None:
    """The survival of a captured fact by the steps since its capture."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4.3), layout="constrained")
        for axes, copy in zip(figure.subplots(1, 2, sharey=True), COPIES, strict=True):
            for heads, colour, marker in zip(HEADS, COLOURS, MARKERS, strict=False):
                rates = Rates(capture=1, copy=copy)
                axes.plot(survival(heads, steps - 1, rates), color=colour, alpha=0.75)
                fates = simulate(heads, steps, rates, facts=facts, seed=heads)
                shown = range(0, steps - 19, 20)
                shares = [fates.alive[k] / fates.at_risk[k] for k in shown]
                bounds = [interval(int(fates.alive[k]), int(fates.at_risk[k])) for k in shown]
                errors = [
                    [max(0.0, share - low) for share, (low, _) in zip(shares, bounds, strict=True)],
                    [max(0.0, high - share) for share, (_, high) in zip(shares, bounds, strict=True)],
                ]
                axes.errorbar(
                    list(shown),
                    shares,
                    yerr=errors,
                    fmt=marker,
                    color=colour,
                    capsize=2.5,
                    elinewidth=1.2,
                    label=_named(heads),
                )
            axes.set_xlabel("steps since the capture")
            share_axis(axes, "captured facts still in memory" if copy == 0 else "")
            axes.set_title(_setting(copy))
        figure.axes[0].legend(loc="lower left")
        figure.suptitle(
            f"Simulation, no language model: survival of a captured fact (f = {Rates.forget:g}; points: "
            f"{facts:,} facts, 95% intervals; lines: the sums)",
            fontsize=11,
            x=0.01,
            ha="left",
        )
        save(figure, folder / "retention_survival")


def _named(heads: int) -> str:
    return f"{heads} head{'s' * (heads > 1)}"


def _setting(copy: float) -> str:
    return "no copies (c = 0): closed form" if copy == 0 else f"copies (c = {copy:g}): Markov chain"


def draw_paper(folder: Path) -> None:
    """The paper's retention by number of heads beside the sums."""
    measured = papers_ablation()
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.6, 4), layout="constrained")
        axes = figure.subplots()
        steps, heads = steps_of(896 * 1024), (1, 2, 4, 8, 16)
        for copy, dashes in ((Rates.copy, "-"), (0.0, ":")):
            axes.plot(
                heads,
                [expected_retention(number, steps, Rates(copy=copy)) for number in heads],
                dashes,
                color=COLOURS[0],
                label=f"sums, f = {Rates.forget:g}, c = {copy:g}",
            )
        axes.plot(
            list(measured), list(measured.values()), "s", color=COLOURS[1], label=f"measured ({SOURCE})"
        )
        axes.set_xscale("log", base=2)
        axes.set_xticks(heads, [str(number) for number in heads])
        axes.set_xlabel("heads of 1,024 tokens")
        share_axis(axes, "captured facts in the final memory")
        axes.legend(loc="lower right")
        axes.set_title("RULER-HQA, 896K tokens, Qwen2.5-14B-Instruct")
        save(figure, folder / "retention_paper")


def papers_ablation() -> dict[int, float]:
    """MRR by number of heads of 1,024 tokens, as the paper prints it."""
    return {
        int(figure.method.split("heads=")[1].partition("+")[0]): figure.value
        for figure in PAPER
        if figure.measure == "mrr" and figure.method.endswith("+head_tokens=1024")
    }


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
    for copy in COPIES:
        lines += [
            f"## {_setting(copy)}",
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
    yield "| length | steps |" + "".join(f" {_named(heads)} |" for heads in HEADS)
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
    points = measure(200 if asked.quick else _FACTS)
    progress("simulated")
    graph = list(through_the_graph(4 if asked.quick else _READINGS, 20 if asked.quick else 200))
    progress("read through the graph")
    draw_lengths(points, asked.results)
    draw_survival(asked.results, 2000 if asked.quick else 20_000)
    draw_paper(asked.results)
    measured = conditions("python -m benchmarks.retention" + " --quick" * asked.quick)
    kept = {"measured": measured, "points": [asdict(point) for point in points], "graph": graph}
    (asked.results / "retention.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    (asked.results / "retention.md").write_text(markdown(points, graph, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
