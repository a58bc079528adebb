"""The plots of `benchmarks.retention`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.retention_points import (
    COPIES,
    FACTS,
    HEADS,
    LENGTHS,
    Point,
    interval,
    named,
    setting,
    steps_of,
)
from mhm_langgraph.evaluation.report.paper import PAPER, SOURCE
from mhm_langgraph.evaluation.report.style import COLOURS, MARKERS, drawing, length_axis, save, share_axis
from mhm_langgraph.evaluation.simulation import simulate
from mhm_langgraph.retention import Rates, expected_retention, survival

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_lengths", "draw_paper", "draw_summary", "draw_survival", "papers_ablation"]


def draw_lengths(points: Sequence[Point], folder: Path) -> None:
    """Retention against length: points are the simulation, lines the sums."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4.3), layout="constrained")
        for axes, copy in zip(figure.subplots(1, 2, sharey=True), COPIES, strict=True):
            _draw_points(axes, [point for point in points if point.copy == copy])
            share_axis(axes, "captured facts in the final memory" if copy == 0 else "")
            axes.set_title(setting(copy))
        figure.axes[0].legend(loc="lower left")
        figure.suptitle(
            f"Simulation, no language model: retention by length (f = {Rates.forget:g}; points: {FACTS:,} "
            "facts, 95% intervals; lines: the sums)",
            fontsize=11,
            x=0.01,
            ha="left",
        )
        save(figure, folder / "retention_lengths")


def draw_summary(points: Sequence[Point], folder: Path) -> None:
    """The same in one small picture, with the paper's own figures beside it."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4), layout="constrained")
        axes = figure.subplots()
        _draw_points(axes, [point for point in points if point.copy == Rates.copy])
        measured = papers_ablation()
        for heads, colour in zip(HEADS, COLOURS, strict=False):
            axes.plot(896 * 1024, measured[heads], "*", color=colour, markersize=13, markeredgecolor="black")
        axes.plot([], [], "*", color="white", markersize=13, markeredgecolor="black", label=_MEASURED)
        share_axis(axes, "captured facts in the final memory")
        axes.legend(loc="lower left")
        axes.set_title("Retention by length: a simulation (points), and computed (lines)")
        save(figure, folder / "retention")


_MEASURED = "measured with a language model\nat 896K (Qwen2.5-14B; the paper)"


def _draw_points(axes: Axes, points: Sequence[Point]) -> None:
    for heads, colour, marker in zip(HEADS, COLOURS, MARKERS, strict=False):
        mine = [point for point in points if point.heads == heads]
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
            label=named(heads),
        )
    length_axis(axes, [*LENGTHS[:-2], LENGTHS[-1]])  # 896K and 1M would overlap


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
                    label=named(heads),
                )
            axes.set_xlabel("steps since the capture")
            share_axis(axes, "captured facts still in memory" if copy == 0 else "")
            axes.set_title(setting(copy))
        figure.axes[0].legend(loc="lower left")
        figure.suptitle(
            f"Simulation, no language model: survival of a captured fact (f = {Rates.forget:g}; points: "
            f"{facts:,} facts, 95% intervals; lines: the sums)",
            fontsize=11,
            x=0.01,
            ha="left",
        )
        save(figure, folder / "retention_survival")


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
