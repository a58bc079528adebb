"""What a person sees of a run on standard error: progress and heads on a terminal, else plain lines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from mhm_langgraph.state import Head

__all__ = ["Tally", "Watch", "duration", "event_line", "head_table", "one_line", "printable"]

_RATE_SECONDS = 3600  # a step may take minutes: the rate is taken over more than one
_ROWS_AROUND = 9  # lines of a terminal that the rows of the table can not have
_MOST_LINES = 3  # lines of text shown of a head, where the terminal is high enough


def printable(text: str) -> str:
    r"""Text without control codes: what a source holds must not steer the terminal.

    Args:
        text: Any text.

    Returns:
        The text; line breaks and tabs stay, what else is a control code becomes a visible mark.

    Example:
        >>> printable("a\x1b[2Jb\r\n")
        'a\ufffd[2Jb\n'
    """
    lines = "\n".join(text.splitlines()) + "\n" * text.endswith("\n")
    return "".join(c if c >= " " and not "\x7f" <= c <= "\x9f" or c in "\n\t" else "\ufffd" for c in lines)


def one_line(text: str) -> str:
    r"""Text on one line, without control codes.

    Example:
        >>> one_line("One\n  two.\n")
        'One two.'
    """
    return " ".join(printable(text).split())


def duration(seconds: float) -> str:
    """A time as people say it.

    Example:
        >>> duration(3.21), duration(75), duration(7500)
        ('3.2 s', '1 min 15 s', '2 h 05 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def span_text(span: Sequence[int] | None) -> str:
    """A span as shown.

    Example:
        >>> span_text([0, 19998]), span_text(None)
        ('0-19,998', '-')
    """
    return f"{span[0]:,}-{span[1]:,}" if span else "-"


def event_line(event: Mapping[str, Any]) -> str:
    """One line that tells of one event.

    Args:
        event: A custom event of the graph.

    Returns:
        The line.

    Example:
        >>> event_line({"type": "head_updated", "step": 3, "head": 1, "span": [30, 40], "source": "a.txt",
        ...     "read": 40, "total": 80, "chunk_tokens": 3, "head_tokens_before": 9, "head_tokens": 12,
        ...     "cut": True, "empty": False, "retried": False})
        'step 3: head 1 from 9 to 12 tokens, chunk 30-40 of a.txt (3 tokens), 50% read, reply cut at its limit'
    """
    notes = [words for key, words in _NOTES.items() if event.get(key)]
    if event["type"] == "answered":
        return ", ".join([f"step {event['step']}: answered by {event['reader']}", *notes])
    if event["type"] != "head_updated":
        return one_line(f"{event}")
    of = f" of {event['source']}" if event["source"] is not None else ""
    total = event["total"]
    share = [f"{100 * event['read'] // total}% read"] if total else []
    return ", ".join(
        [
            f"step {event['step']}: head {event['head']} from {event['head_tokens_before']:,} to "
            f"{event['head_tokens']:,} tokens",
            f"chunk {span_text(event['span'])}{of} ({event['chunk_tokens']:,} tokens)",
            *share,
            *notes,
        ]
    )


_NOTES = {
    "cut": "reply cut at its limit",
    "retried": "asked twice",
    "empty": "reply empty",
}


@dataclass
class Tally:
    """What a run has done so far, added up from its events.

    Args:
        chunks: Chunks read.
        tokens: Tokens read.
        read: How much of the sources is read, in their own units.
        total: How much there is, None where a source does not know.
        empty: Replies that were empty, so that the head kept its text.
        source: Name of the source being read, None for a document.
        usage: What the model calls cost, as the last event tells it.
    """

    chunks: int = 0
    tokens: int = 0
    read: int = 0
    total: int | None = None
    empty: int = 0
    source: str | None = None
    usage: Mapping[str, int] | None = None

    def add(self, event: Mapping[str, Any]) -> None:
        """Count one event in."""
        self.usage = event.get("usage", self.usage)
        if event["type"] == "head_updated":
            self.chunks += 1
            self.tokens += event["chunk_tokens"]
            self.read, self.total, self.source = event["read"], event["total"], event["source"]
            self.empty += event["empty"]

    def summary(self, seconds: float) -> str:
        """What the run did, in one line.

        Example:
            >>> Tally(chunks=1, tokens=40).summary(2)
            'Read 1 chunk, 40 tokens, in 2.0 s.'
        """
        line = f"Read {_count(self.chunks, 'chunk')}, {_count(self.tokens, 'token')}, in {duration(seconds)}."
        if self.usage and self.usage["calls"]:
            sent, received = self.usage["input_tokens"], self.usage["output_tokens"]
            line += f" {_count(self.usage['calls'], 'model call')}: {sent:,} tokens in, {received:,} out."
        if self.empty:
            line += f" {_count(self.empty, 'reply', 'replies')} empty: the head kept its text."
        return line


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def head_table(heads: Sequence[Head], *, lines: int = 1, last: int | None = None) -> Table:
    """The memory as a table: head, step of its last turn, span, tokens, the beginning of its text.

    Args:
        heads: The memory.
        lines: Lines of text shown of each head.
        last: Index of the head written last, shown brighter.

    Returns:
        The table, as wide as there is room. Sources are named where there are several.
    """
    named = len({head["source"] for head in heads if head["span"]}) > 1
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, header_style="bold")
    for title in ["head", "step", *(["source"] if named else []), "span", "tokens"]:
        justify: JustifyMethod = "left" if title == "source" else "right"
        table.add_column(title, justify=justify, no_wrap=True, max_width=24)
    table.add_column("text", ratio=1)
    for index, head in enumerate(heads):
        style = "yellow" if head["selected"] else "green" if index == last else ""
        table.add_row(*_cells(index, head, named=named, lines=lines), style=style)
    return table


def _cells(index: int, head: Head, *, named: bool, lines: int) -> list[RenderableType]:
    """A head's row. The head being rewritten has an arrow, which needs no colour to be seen."""
    return [
        f"> {index}" if head["selected"] else f"{index}",
        f"{head['updated_at']}" if head["updated_at"] >= 0 else "-",
        *([Text(_short_name(head["source"]))] if named else []),
        _span(head["span"]),
        f"{head['tokens']:,}",
        _Beginning(head["text"], lines),
    ]


def _short_name(source: str | None) -> str:
    """A source's name without its folders."""
    return one_line(PurePath(source).name or source) if source else "the document"


class _Beginning:
    """The beginning of a text, in as many columns as there are and no more lines than asked for."""

    def __init__(self, text: str, lines: int) -> None:
        self.text = Text(one_line(text[:_LONGEST]))
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wrapped = self.text.wrap(console, options.max_width)
        shown = wrapped[: self.lines]
        if len(wrapped) > self.lines:
            shown[-1].truncate(options.max_width - 1)
            shown[-1].append("…")
        yield from shown


class _TimeLeft(ProgressColumn):
    """What the rest will take at the rate so far; nothing where the end is not known."""

    def render(self, task: Task) -> Text:
        """The column."""
        left = task.time_remaining
        return Text("" if left is None or task.finished else f"{duration(left)} left")


class Watch:
    """Shows a run on standard error: a live picture on a terminal, else plain lines.

    Args:
        file: Standard error.
        question: Whether the run ends with an answer.
        verbose: Whether to print a line an event.
        heads: The memory as the run finds it.
    """

    def __init__(
        self, file: TextIO, *, question: bool, verbose: bool = False, heads: Sequence[Head] = ()
    ) -> None:
        terminal = file.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        # Not left to rich: FORCE_COLOR would have it send control codes into a file.
        self.console = Console(file=file, highlight=False, force_terminal=terminal, no_color=not terminal or None)
        self.tally, self.heads, self.last = Tally(), heads, None
        self._question, self._verbose = question, verbose
        self._started = time.monotonic()
        self._doing = Spinner("dots", "Opening")
        self._bar = Progress(
            BarColumn(bar_width=None),
            TextColumn("{task.fields[read]}"),
            _TimeLeft(),
            console=self.console,
            expand=True,
            speed_estimate_period=_RATE_SECONDS,
        )
