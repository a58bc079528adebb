"""The plots of a report: measures against length, number of heads, survival of captured facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhm_langgraph.evaluation.report.numbers import MEASURES, Section
from mhm_langgraph.evaluation.report.paper import GPT_OSS, PAPER, QWEN_14B, QWEN_32B, SOURCE
from mhm_langgraph.evaluation.report.style import (
    COLOURS,
    drawing,
    length_axis,
    look,
    save,
    share_axis,
)
from mhm_langgraph.evaluation.summary import Estimate
from mhm_langgraph.evaluation.survival import Survival
from mhm_langgraph.evaluation.tasks import format_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_ablation", "draw_lengths", "draw_section", "draw_survival"]

_TITLES = {
    "accuracy": "Accuracy",
    "mcr": "Captured at least once (MCR)",
    "mrr": "Of those, in the final memory (MRR)",
}
_HEADS = re.compile(r"mhm-lru(?:\+heads=(?P<heads>\d+))?(?P<size>\+head_tokens=\d+)?")
_MOST_PANELS = 3
_LEAST_HEAD_COUNTS = 2
_PAPERS_FIXED_SIZE = 1024
_ORDER = (
    *("mhm-lru", "memagent", "remem", "llm"),
    *("mhm-concur", "mhm-relevance", "mhm-random", "closed-book"),
)
_PAPER = "paper"
_LEGEND_ROW = 0.21  # inches
_LONG_LABEL = 30  # characters
_DASHES = {QWEN_14B: "--", QWEN_32B: ":", GPT_OSS: "-."}
_APART = 0.04  # of a doubling
_LEAST_AT_RISK = 5  # facts; a curve of fewer jumps about
_MOST_BANDS = 4  # more of them hide each other
_CROWD = 6  # methods; of more, the intervals are drawn thin and pale, or they would hide the lines
_PALE = 0.4
_THINNEST, _THICKEST = 1.6, 3.6  # lines, in points


def draw_section(section: Section, folder: Path, prefix: str = "") -> list[Path]:
    """Draw what there is to draw of a section.

    Args:
        section: The section.
        folder: Where to.
        prefix: What the files' names begin with, so that several sections can share a folder.

    Returns:
        The files, PNG and SVG.

    Raises:
        SettingsError: The plots' package is missing.
    """
    plots: dict[str, Callable[[Section], Figure | None]] = {
        "lengths": draw_lengths,
        "ablation": draw_ablation,
        "survival": draw_survival,
    }
    files: list[Path] = []
    for name, draw in plots.items():
        with drawing():
            figure = draw(section)
            if figure is not None:
                files += save(figure, folder / f"{prefix}{name}")
    return files


def draw_lengths(section: Section) -> Figure | None:
    """Accuracy, capture and retention against length, a line a method; the paper's dashed."""
    methods = _compared(section)
    figure, panels = _panels(len(MEASURES))
    for axes, measure in zip(panels, MEASURES, strict=True):
        for method, index in _places(methods).items():
            lines = [line for line in section.summaries if line.method == method]
            points = [(line.length, getattr(line, measure)) for line in lines]
            _draw_estimates(axes, points, index, len(methods), label=method)
            _draw_paper(axes, section, method, measure, index)
        length_axis(axes, section.lengths)
        share_axis(axes, "")
        axes.set_title(_TITLES[measure])
    _finish(figure, section, "by length of the context")
    return figure


def _compared(section: Section) -> list[str]:
    """The methods that are drawn side by side: those of the ablation have a plot of their own."""
    plain = [method for method in section.methods if not _is_ablation(method)]
    if len(plain) > 1:
        return plain
    return [method for method in section.methods if "+head_tokens=" not in method] or section.methods


def _places(methods: Sequence[str]) -> dict[str, int]:
    """The colour and marker of each method: the same in every report, as far as there are enough."""
    known = {method: _ORDER.index(method) for method in methods if method in _ORDER}
    free = (place for place in count() if place not in known.values())
    return {method: known[method] if method in known else next(free) for method in methods}


def _draw_estimates(
    axes: Axes, points: Sequence[tuple[int, Estimate | None]], index: int, number: int, *, label: str
) -> None:
    """A line through estimates, with their intervals; methods stand a little apart: none hides another."""
    known = [(x, estimate) for x, estimate in points if estimate is not None]
    if not known:
        return
    apart = 2 ** (_APART * (index % number - (number - 1) / 2))
    values = [estimate.value for _, estimate in known]
    errors = [
        [max(0.0, estimate.value - estimate.low) for _, estimate in known],
        [max(0.0, estimate.high - estimate.value) for _, estimate in known],
    ]
    crowded = number > _CROWD
    drawn = axes.errorbar(
        [x * apart for x, _ in known],
        values,
        yerr=errors,
        linestyle="-",
        **look(index),
        capsize=0 if crowded else 2.5,
        elinewidth=1.1,
        label=label,
    )
    for bars in drawn.lines[2] if crowded else ():
        bars.set_alpha(_PALE)


def _draw_paper(axes: Axes, section: Section, method: str, measure: str, index: int) -> None:
    """The paper's line of the same task and method, at the lengths of this bench, dashed; one a model."""
    matching = [
        figure for line, figure in section.paper() if (line.method, figure.measure) == (method, measure)
    ]
    for model in dict.fromkeys(figure.model for figure in matching):
        mine = sorted((figure for figure in matching if figure.model == model), key=lambda one: one.length)
        axes.plot(
            [figure.length for figure in mine],
            [figure.value for figure in mine],
            linestyle=_DASHES[model],
            linewidth=1.2,
            **look(index),
            markerfacecolor="none",
            markersize=5,
            alpha=0.8,
            label=f"{method}, {_PAPER} ({model})",
        )


def draw_ablation(section: Section) -> Figure | None:
    """The measures against the number of heads, at the longest length."""
    length = section.lengths[-1]
    groups: dict[str, dict[int, str]] = {}
    for method in section.methods:
        if (found := _head_count(method)) is not None:
            heads, size = found
            groups.setdefault(size, {}).setdefault(heads, method)
    groups = {size: by_heads for size, by_heads in groups.items() if len(by_heads) >= _LEAST_HEAD_COUNTS}
    if not any(_is_ablation(method) for by_heads in groups.values() for method in by_heads.values()):
        return None
    counts = sorted({heads for by_heads in groups.values() for heads in by_heads})
    figure, panels = _panels(len(MEASURES))
    for axes, measure in zip(panels, MEASURES, strict=True):
        for index, (size, by_heads) in enumerate(sorted(groups.items())):
            cells = [(heads, section.line(length, by_heads[heads])) for heads in sorted(by_heads)]
            points = [(heads, getattr(line, measure) if line else None) for heads, line in cells]
            _draw_estimates(axes, points, index, len(groups), label=_sized(size, section))
        _draw_papers_ablation(axes, section, measure, length, len(groups))
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("heads")
        share_axis(axes, "")
        axes.set_title(_TITLES[measure])
    _finish(figure, section, f"by number of heads, {format_length(length)} tokens")
    return figure


def _head_count(method: str) -> tuple[int, str] | None:
    """How many heads a method has, and how their size was set; the single memory is one head."""
    if method == "memagent":
        return 1, ""
    match = _HEADS.fullmatch(method)
    return None if match is None else (int(match["heads"] or 4), match["size"] or "")


def _is_ablation(method: str) -> bool:
    return "+heads=" in method and _head_count(method) is not None


def _sized(size: str, section: Section) -> str:
    if size:
        return f"{int(size.rpartition('=')[2]):,} tokens a head"
    return f"{section.settings['memory_tokens']:,} tokens in all"


def _draw_papers_ablation(axes: Axes, section: Section, measure: str, length: int, index: int) -> None:
    """The paper's ablation, which is at 896K and 1,024 tokens a head."""
    found = {
        heads: figure.value
        for figure in PAPER
        if (figure.task, figure.length, figure.measure) == (section.task, length, measure)
        and figure.method.endswith(f"+head_tokens={_PAPERS_FIXED_SIZE}")
        and (heads := int(figure.method.split("heads=")[1].partition("+")[0]))
    }
    if found:
        axes.plot(
            list(found),
            list(found.values()),
            linestyle="--",
            linewidth=1.2,
            **look(index),
            markerfacecolor="none",
            label=f"1,024 tokens a head, {_PAPER} ({QWEN_14B})",
        )


def draw_survival(section: Section) -> Figure | None:
    """The survival of captured facts by the steps since their capture, for the longest lengths."""
    methods = _compared(section)
    lengths = sorted({length for length, method in section.survivals if method in methods})[-_MOST_PANELS:]
    if not lengths:
        return None
    from matplotlib.ticker import MaxNLocator

    figure, panels = _panels(len(lengths))
    band = len(methods) <= _MOST_BANDS
    for axes, length in zip(panels, lengths, strict=True):
        for (method, index), width in zip(_places(methods).items(), _widths(len(methods)), strict=True):
            if (curve := section.survivals.get((length, method))) is not None:
                _draw_curve(axes, curve, index, method, band=band, width=width)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("steps since the capture")
        share_axis(axes, "")
        axes.set_title(f"{format_length(length)} tokens")
    _finish(figure, section, f"captured facts still in memory (Kaplan-Meier{', 95% bands' * band})")
    return figure


def _widths(number: int) -> list[float]:
    """The first drawn the thickest: where curves are the same, the lower ones show at the edges."""
    step = min(0.4, (_THICKEST - _THINNEST) / max(1, number - 1))
    return [_THINNEST + step * (number - 1 - place) for place in range(number)]


def _draw_curve(axes: Axes, curve: Survival, index: int, label: str, *, band: bool, width: float) -> None:
    """A curve as long as enough facts are watched."""
    shown = max(1, sum(number >= _LEAST_AT_RISK for number in curve.at_risk))
    steps = curve.steps[:shown]
    colour = look(index)["color"]
    if band:
        ends = curve.low[:shown], curve.high[:shown]
        axes.fill_between(steps, *ends, step="post", alpha=0.14, linewidth=0, color=colour)
    dashes = "-" if index < len(COLOURS) else "--"
    axes.step(steps, curve.share[:shown], dashes, where="post", color=colour, linewidth=width, label=label)


def _panels(number: int) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.9 * number + 0.6, 4.2), layout="constrained")
    return figure, figure.subplots(1, number, sharey=True, squeeze=False)[0]


def _finish(figure: Figure, section: Section, what: str) -> None:
    """A title that says what was read by what, and one legend below all panels."""
    who = section.model if section.caution is None else f"{section.model}: {section.caution.upper()}"
    figure.suptitle(f"{section.task}, {what}\n{who}", fontsize=11, x=0.01, ha="left")
    handles = _named(figure.axes)
    if handles:
        columns = len(figure.axes) if max(map(len, handles)) > _LONG_LABEL else 4
        rows = -(-len(handles) // columns)
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + _LEGEND_ROW * (rows - 1))
        figure.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=columns)
    if any(_PAPER in label for label in handles):
        figure.text(1.0, 0.0, f"the paper: {SOURCE}", ha="right", va="bottom", fontsize=8, color="#666666")


def _named(panels: Iterable[Axes]) -> dict[str, Any]:
    """The lines of all panels by their labels, each once; the paper's come last."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return dict(sorted(found.items(), key=lambda item: _PAPER in item[0]))
