"""The life of a memory in a terminal, by rich. Needs the extra `cli`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import PurePath

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mhm_langgraph.display import head_table, one_line, printable
from mhm_langgraph.inspect.lanes import Lanes
from mhm_langgraph.inspect.model import Run, Timeline, Update
from mhm_langgraph.inspect.phrases import find_phrase

__all__ = ["memory_view"]

_MOST_ROWS = 24  # of the table of updates: longer lives are told in groups of steps
_GROUP_SIZES = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
_MOST_RUNS = 5  # the last ones are told, the others counted
_LINES, _MANY_HEADS = 3, 8  # lines of each head; of many heads, one


def memory_view(
    timeline: Timeline, *, position: int | None = None, phrase: str | None = None
) -> RenderableType:
    """Show the life of a memory: its runs, a timeline of its heads, its updates, and the heads at the end.

    Args:
        timeline: The life of a memory.
        position: Index of an update; that one is told in full, and the heads are those just after it.
        phrase: What to look for: when it entered and left each head is told too.

    Returns:
        What rich can print, at any width from 60 columns on.

    Example:
        >>> from rich.console import Console
        >>> Console(width=70).print(memory_view(Timeline("whales", "", "1", (), 0, (), ())))
        Thread whales: 0 steps, 0 heads, 0 runs
        <BLANKLINE>
        No head has been written yet.
    """
    parts: list[RenderableType] = [_title(timeline), *_runs(timeline.runs)]
    if not timeline.updates:
        return Group(*parts, "", "No head has been written yet.")
    parts += ["", Lanes(timeline, position)]
    if phrase is not None:
        parts += ["", _sightings(timeline, phrase)]
    shown = len(timeline.updates) - 1 if position is None else position
    last, heads = timeline.updates[shown].head, timeline.heads_after(shown)
    parts += ["", _updates(timeline) if position is None else _detail(timeline.updates[position])]
    lines = _LINES if len(heads) <= _MANY_HEADS else 1
    return Group(*parts, "", _heads_title(timeline, position), head_table(heads, lines=lines, last=last))


def _title(timeline: Timeline) -> Text:
    counts = [(timeline.steps, "step"), (len(timeline.heads), "head"), (len(timeline.runs), "run")]
    told = [f"{number:,} {name}{'' if number == 1 else 's'}" for number, name in counts]
    if timeline.missing:
        told.append(f"{timeline.missing:,} of the steps not stored")
    if timeline.skipped:
        told.append(f"{timeline.skipped:,} of the steps changed no head")
    where = f" in {timeline.checkpoint_ns}" if timeline.checkpoint_ns else ""
    name = one_line(f"Thread {timeline.thread_id}{where}")
    return Text.assemble((name, "bold"), f": {', '.join(told)}")


def _runs(runs: Sequence[Run]) -> Iterator[RenderableType]:
    """What was asked, answered and read."""
    left_out = max(0, len(runs) - _MOST_RUNS)
    if left_out:
        yield Text(f"({left_out} earlier runs)", style="dim")
    for number, run in enumerate(runs[left_out:], start=left_out + 1):
        read = ", ".join(_source_name(name) for name in run.sources) or "nothing new"
        steps = f"steps {run.start:,}-{run.end - 1:,}" if run.end > run.start else "no steps"
        state = "" if run.finished else ", not finished"
        yield Text.assemble((f"Run {number}", "bold"), f" read {one_line(read)}, {steps}{state}")
        yield from _asked(run, in_full=number == len(runs))


def _asked(run: Run, *, in_full: bool) -> Iterator[RenderableType]:
    for sign, text in (("?", run.question), ("=", run.answer)):
        if text:
            told = Text(f"{sign} {one_line(text)}", overflow="ellipsis", no_wrap=not in_full)
            yield Padding(told, (0, 0, 0, 2))


def _sightings(timeline: Timeline, phrase: str) -> Text:
    found = find_phrase(timeline, phrase)
    told = Text.assemble((f"“{one_line(phrase)}”", "bold"))
    if not found:
        return told.append(" was never in memory.")
    for sighting in found:
        sign, what = ("+", "came into") if sighting.entered else ("-", "went from")
        told.append(f"\n  {sign} step {sighting.update.step:,}: {what} head {sighting.update.head}")
    return told


def _updates(timeline: Timeline) -> Table:
    """Every update of a short life; of a long one, groups of steps."""
    count = len(timeline.updates)
    size = next(size for size in _GROUP_SIZES if count <= size * _MOST_ROWS)
    named = len(timeline.sources) > 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in [
        "step" if size == 1 else "steps",
        "head" if size == 1 else "heads",
        *(["source"] if named else []),
        "span",
    ]:
        table.add_column(title, justify="left" if title == "source" else "right", no_wrap=True, max_width=24)
    for title in ("changed", "words"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for _, chapter in groupby(timeline.updates, key=lambda update: (update.run, update.source)):
        together = list(chapter)
        for start in range(0, len(together), size):
            table.add_row(*_row(together[start : start + size], len(timeline.heads), named=named))
        table.add_section()
    return table


def _row(group: Sequence[Update], count: int, *, named: bool) -> list[str | Text]:
    steps = sorted({update.step for update in group})
    heads = sorted({update.head for update in group})
    spans = [update.span for update in group if update.span]
    ratio = sum(update.change.ratio for update in group) / len(group)
    return [
        f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,}-{steps[-1]:,}",
        "all" if len(heads) == count > 1 else _ranges(heads),
        *([Text(_source_name(group[0].source))] if named else []),
        f"{spans[0][0]:,}-{spans[-1][1]:,}" if spans else "-",
        f"{ratio:.0%}",
        f"+{sum(update.change.added for update in group):,} "
        f"-{sum(update.change.removed for update in group):,}",
        ", ".join(_notes(group)),
    ]


def _ranges(heads: Sequence[int]) -> str:
    """Indexes in few characters.

    Example:
        >>> _ranges([0, 1, 2, 5])
        '0-2, 5'
    """
    runs = [
        [pair[1] for pair in pairs] for _, pairs in groupby(enumerate(heads), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _notes(group: Sequence[Update]) -> Iterator[str]:
    kept = sum(update.kept for update in group)
    by_hand = sum(update.by_hand for update in group)
    if kept:
        yield "empty reply" if len(group) == 1 else f"{kept} empty {'reply' if kept == 1 else 'replies'}"
    if by_hand:
        yield "by hand" if len(group) == 1 else f"{by_hand} by hand"


def _detail(update: Update) -> RenderableType:
    """One update in full."""
    change = update.change
    told = Text.assemble(
        (f"Step {update.step:,}", "bold"),
        f": head {update.head} {_what(update)}. {update.tokens_before:,} to {update.tokens:,} tokens, "
        f"+{change.added:,} -{change.removed:,} words, {change.ratio:.0%} changed.",
    )
    origin = Text(f"{update.at[:19]}, checkpoint {update.checkpoint_id}", style="dim")
    return Group(told, origin, Padding(_marked(update), (1, 2, 0, 2)))


def _what(update: Update) -> str:
    place = f"{update.span[0]:,}-{update.span[1]:,} of {_source_name(update.source)}" if update.span else ""
    if update.by_hand:
        return "edited by hand after it"
    if update.kept:
        return "kept its text: the reply" + (f" about {place} was empty" if place else " was empty")
    return f"rewritten from {place}" if place else "rewritten"


def _marked(update: Update) -> Text:
    """The head's text, with `{+what came+}` and `[-what went-]`: colour alone would not tell."""
    told, done = Text(), 0
    for i1, i2, j1, j2 in update.change.edits:
        told.append(printable(update.after[done:j1]))
        if i2 > i1:
            told.append(f"[-{printable(update.before[i1:i2]).strip()}-] ", style="red strike")
        if j2 > j1:
            told.append(f"{{+{printable(update.after[j1:j2]).strip()}+}} ", style="green underline")
        done = j2
    return told.append(printable(update.after[done:]))


def _heads_title(timeline: Timeline, position: int | None) -> Text:
    when = "at the end" if position is None else f"after step {timeline.updates[position].step:,}"
    return Text(f"Heads {when}", style="bold")


def _source_name(source: str | None) -> str:
    """A source's name without its folders."""
    return one_line(PurePath(source).name or source) if source else "the document"
