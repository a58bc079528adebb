"""The tables of a report: built once, shown in the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mhm_langgraph.evaluation.comparison import Comparison
from mhm_langgraph.evaluation.report.numbers import MEASURES, Section
from mhm_langgraph.evaluation.report.paper import SOURCE, figures_of
from mhm_langgraph.evaluation.summary import Estimate, Summary
from mhm_langgraph.evaluation.tasks import format_length

__all__ = [
    "Table",
    "comparison_table",
    "cost_table",
    "paper_table",
    "result_table",
    "tables_of",
    "variant_table",
]

_NAMES = {
    "accuracy": "accuracy",
    "mcr": "MCR",
    "mrr": "MRR",
    "held": "in final memory",
    "f1": "F1",
    "exact": "EM",
    "reachable": "MRR with recall",
}
_COMPARED = ("accuracy", "held", "mcr", "mrr")
_ABSENT = "-"


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        title: What it shows.
        headings: The columns; the first two are names, the others figures.
        rows: The cells.
        note: What the figures are, in a sentence or two.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """The table as Markdown."""
        aligned = ["---" if number < _NAME_COLUMNS else "---:" for number in range(len(self.headings))]
        lines = [_row(self.headings), _row(aligned), *map(_row, self.rows)]
        parts = [f"### {self.title}", "\n".join(lines), *([self.note] if self.note else [])]
        return "\n\n".join(parts)


_NAME_COLUMNS = 2


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def tables_of(section: Section) -> list[Table]:
    """All tables of a section, those without rows left out."""
    tables = [
        result_table(section),
        paper_table(section),
        comparison_table(section),
        variant_table(section),
        cost_table(section),
    ]
    return [table for table in tables if table.rows]


def result_table(section: Section) -> Table:
    """Capture, retention, accuracy, F1 and exact match, a row for each length and method."""
    measures = ["mcr", "mrr", "accuracy"]
    if any(_differ(line.reachable, line.mrr) for line in section.summaries):
        measures.insert(2, "reachable")
    rows = tuple(
        (
            format_length(line.length),
            line.method,
            *(
                str(number)
                for number in (line.samples, line.failures, *map(_number_of, (line.mcr, line.mrr)))
            ),
            *(_percent(getattr(line, measure)) for measure in measures),
            *(_plain(getattr(line, measure)) for measure in ("f1", "exact")),
        )
        for line in section.summaries
    )
    note = (
        "In per cent, with 95% intervals (bootstrap over samples); with several runs, ± is the standard "
        "deviation of their means. Accuracy, F1 and EM are over the n samples, MCR over those tracked "
        "(yes/no answers and methods without memory are not), MRR over those captured. Failed runs are in no "
        "figure."
    )
    return Table(
        _titled("Results", section),
        (
            *("length", "method", "n", "failed", "tracked", "captured"),
            *(_NAMES[measure] for measure in (*measures, "f1", "exact")),
        ),
        rows,
        note,
    )


def _differ(one: Estimate | None, other: Estimate | None) -> bool:
    return one is not None and other is not None and one.value != other.value


def paper_table(section: Section) -> Table:
    """The paper's figures beside one's own."""
    rows = tuple(
        (
            format_length(line.length),
            line.method,
            _NAMES[figure.measure],
            str(_number_of(getattr(line, figure.measure))),
            _percent(getattr(line, figure.measure)),
            f"{100 * figure.value:.2f}",
            figure.model,
        )
        for line, figure in section.paper()
    )
    note = (
        f"The paper: {SOURCE}; chunks of 5,000 tokens, 4,096 tokens of memory but where head_tokens is "
        f"named, 128 samples, three runs. Here: {_number(section, 'chunk_tokens')} tokens a chunk, "
        f"{_number(section, 'memory_tokens')} of memory, {section.model}."
    )
    return Table(
        _titled("Beside the paper", section),
        ("length", "method", "measure", "n", "here", "paper", "paper's model"),
        rows,
        note,
    )


def comparison_table(section: Section) -> Table:
    """Each method against the baseline, on the samples that both have."""
    found = {(one.length, one.method, one.measure): one for one in section.comparisons}
    rows = tuple(
        (
            format_length(length),
            method,
            *(_difference(found.get((length, method, measure))) for measure in _COMPARED),
        )
        for length, method in sorted(dict.fromkeys(key[:2] for key in found), key=lambda key: key[0])
    )
    note = (
        f"Method less {section.baseline}, in percentage points, sample by sample; 95% intervals; p by "
        "flipping signs, not corrected for the number of comparisons; the number of samples in brackets. MRR "
        "is over samples that both captured; in final memory is over all: capture and retention together."
    )
    return Table(
        _titled(f"Paired with {section.baseline}", section),
        ("length", "method", *(_NAMES[measure] for measure in _COMPARED)),
        rows,
        note,
    )


def _difference(one: Comparison | None) -> str:
    if one is None:
        return _ABSENT
    p = "p < 0.001" if one.p < 0.001 else f"p {one.p:.3f}"
    return f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}] {p} ({one.n})"


def variant_table(section: Section) -> Table:
    """Accuracy and retention of each of the task's kinds."""
    rows = tuple(
        (
            format_length(line.length),
            line.method,
            line.variant,
            str(line.samples),
            str(line.failures),
            *(_percent(getattr(line, measure)) for measure in MEASURES),
        )
        for line in sorted(section.variants, key=_variant_order)
    )
    return Table(
        _titled("By kind of question", section),
        ("length", "method", "kind", "n", "failed", *(_NAMES[measure] for measure in MEASURES)),
        rows,
    )


def _variant_order(line: Summary) -> tuple[int, str, int, str]:
    """qa2 before qa10."""
    digits = "".join(filter(str.isdigit, line.variant))
    return line.length, line.method, int(digits or 0), line.variant


def cost_table(section: Section) -> Table:
    """What a sample cost."""
    rows = tuple(
        (
            format_length(line.length),
            line.method,
            _mean(line.calls),
            _mean(line.input_tokens),
            _mean(line.output_tokens) + _papers(line, "output_tokens"),
            _mean(line.seconds, 2) + _papers(line, "seconds"),
        )
        for line in section.summaries
    )
    return Table(
        _titled("Cost of a sample", section),
        ("length", "method", "calls", "input tokens", "output tokens", "seconds"),
        rows,
        "Means; in brackets the paper's, on its machines. Seconds are wall time, with as many runs under way "
        "as the bench had.",
    )


def _papers(line: Summary, measure: str) -> str:
    found = figures_of(line.task, line.length, line.method, measure)
    return "".join(f" ({figure.value:,})" for figure in found)


def _titled(what: str, section: Section) -> str:
    caution = f" ({section.caution})" if section.caution else ""
    return f"{what}: {section.task}, {section.model}{caution}"


def _number(section: Section, setting: str) -> str:
    return f"{section.settings[setting]:,}"


def _percent(estimate: Estimate | None) -> str:
    """The figure, how much the runs differ, and its interval."""
    if estimate is None:
        return _ABSENT
    spread = "" if estimate.std is None else f" ±{100 * estimate.std:.1f}"
    return f"{100 * estimate.value:.1f}{spread} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _plain(estimate: Estimate | None) -> str:
    return _ABSENT if estimate is None else f"{100 * estimate.value:.1f}"


def _number_of(estimate: Estimate | None) -> int:
    return 0 if estimate is None else estimate.n


def _mean(estimate: Estimate | None, digits: int = 0) -> str:
    return _ABSENT if estimate is None else f"{estimate.value:,.{digits}f}"
