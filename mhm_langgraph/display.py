"""What a person sees of a run on standard error: progress and heads on a terminal, else plain lines."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType
from typing import Any, TextIO

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mhm_langgraph import Head
from mhm_langgraph.text import CONTROLS, HIDDEN

__all__ = ["Tally", "TimeLeft", "Watch", "duration", "event_line", "head_table", "one_line", "printable"]

_RATE_SECONDS = 3600  # a step may take minutes: the rate is taken over many of them
_ROWS_AROUND = 9  # lines of a terminal that the heads can not have
_MOST_LINES = 3  # lines shown of a head, where the terminal is high enough
_SOURCE_COLUMNS = 12  # what a source's name may take of the text's room
_LONGEST = 1000  # characters of a head that can be among them
_CONTROL = re.compile(rf"[\r{CONTROLS}]")
_HIDDEN = re.compile(f"[{HIDDEN}]")
_NOTES = {"cut": "reply cut", "retried": "asked twice", "empty": "reply empty"}
_GATES = {"skip": "nothing for the question", "exit": "memory suffices"}


def printable(text: str) -> str:
    r"""Text without control codes and hidden characters: what a source holds must not steer the terminal.

    Args:
        text: Any text.

    Returns:
        The text; line breaks and tabs stay, what else is a control code becomes a visible mark. What has
        no look of its own (bidirectional overrides, Unicode tags) is gone.

    Example:
        >>> printable("a\x1b[2Jb\r\n"), printable("a\u202eb")
        ('a\ufffd[2Jb\n', 'ab')
    """
    return _CONTROL.sub("\ufffd", _HIDDEN.sub("", text.replace("\r\n", "\n")))


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
    if seconds < 59.5:
        return f"{round(seconds, 1 if seconds < 10 else None):g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _span(span: Sequence[int] | None) -> str:
    """A span as shown."""
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
        'step 3: head 1 from 9 to 12 tokens, chunk 30-40 of a.txt (3 tokens), 50% read, reply cut'
    """
    notes = [words for key, words in _NOTES.items() if event.get(key)]
    if unsupported := event.get("unsupported"):
        notes.append(f"{_count(len(unsupported), 'sentence')} unsupported")
    notes += [_GATES[event["gated"]]] if event.get("gated") else []
    if recalled := event.get("recalled"):
        notes.append(f"{_count(len(recalled), 'text')} recalled")
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
            f"chunk {_span(event['span'])}{of} ({event['chunk_tokens']:,} tokens)",
            *share,
            *notes,
        ]
    )


@dataclass
class Tally:
    """What a run has done so far, added up from its events.

    Args:
        chunks: Chunks read.
        tokens: Tokens read.
        read: How much of the sources is read, in their own units.
        total: How much there is, None where a source does not know.
        empty: Replies that were empty, so that the head kept its text.
        unsupported: Sentences of replies that the text did not support, where that is checked.
        source: Name of the source being read, None for a document.
        usage: What the model calls cost, as the last event tells it.
        skipped: Chunks that held nothing for the question.
        exited: Whether memory sufficed before the end.
    """

    chunks: int = 0
    tokens: int = 0
    read: int = 0
    total: int | None = None
    empty: int = 0
    unsupported: int = 0
    source: str | None = None
    usage: Mapping[str, int] | None = None
    skipped: int = 0
    exited: bool = False

    def add(self, event: Mapping[str, Any]) -> None:
        """Count one event in."""
        self.usage = event.get("usage", self.usage)
        if event["type"] == "head_updated":
            self.chunks += 1
            self.tokens += event["chunk_tokens"]
            self.read, self.total, self.source = event["read"], event["total"], event["source"]
            self.unsupported += len(event.get("unsupported", ()))
            self.empty += event["empty"]
            self.skipped += event.get("gated") == "skip"
        self.exited = self.exited or event.get("exited", False)

    @property
    def amount(self) -> str:
        """How much has been read."""
        return f"{_count(self.chunks, 'chunk')}, {_count(self.tokens, 'token')}"

    def summary(self, seconds: float) -> str:
        """What the run did, in one line.

        Example:
            >>> Tally(chunks=1, tokens=40).summary(2)
            'Read 1 chunk, 40 tokens, in 2 s.'
        """
        line = f"Read {self.amount}, in" if self.chunks else "Answered from memory in"
        line += f" {duration(seconds)}."
        if self.usage and self.usage["calls"]:
            sent, received = self.usage["input_tokens"], self.usage["output_tokens"]
            line += f" {_count(self.usage['calls'], 'model call')}: {sent:,} tokens in, {received:,} out."
        if self.empty:
            line += f" {_count(self.empty, 'reply', 'replies')} empty: the head kept its text."
        if self.unsupported:
            line += f" {_count(self.unsupported, 'sentence')} of replies not supported by the text."
        if self.skipped:
            line += f" {_count(self.skipped, 'chunk')} held nothing for the question."
        if self.exited:
            share = f" after {100 * self.read // self.total}%" if self.total else ""
            line += f" Memory sufficed{share}: the rest was not read."
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
    table = Table(
        box=box.SIMPLE_HEAD, expand=True, show_edge=False, collapse_padding=True, header_style="bold"
    )
    for title in ["head", "step", *(["source"] if named else []), "span", "tokens"]:
        if title == "source":
            table.add_column(title, no_wrap=True, max_width=_SOURCE_COLUMNS)
        else:
            table.add_column(title, justify="right", no_wrap=True)
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
            shown[-1].rstrip()
            shown[-1].append("…")
        yield from shown


class TimeLeft(ProgressColumn):
    """What the rest will take at the rate so far; nothing where the end is not known."""

    def render(self, task: Task) -> Text:
        """The column."""
        left = task.time_remaining
        return Text("" if left is None or task.finished else f" {duration(left)} left")


class Watch:
    """Shows a run on standard error: a live picture on a terminal, else plain lines.

    Args:
        file: Standard error.
        question: Whether the run ends with an answer.
        reading: Whether it begins with reading.
        verbose: Whether to print a line an event.
        heads: The memory as the run finds it.
        notice: A line to print once the run is under way.
    """

    def __init__(
        self,
        file: TextIO,
        *,
        question: bool,
        reading: bool = True,
        verbose: bool = False,
        heads: Sequence[Head] = (),
        notice: str | None = None,
    ) -> None:
        terminal = file.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        # Not left to rich: FORCE_COLOR would have it send control codes into a file.
        self.console = Console(file=file, highlight=False, force_terminal=terminal)
        self.tally, self.heads = Tally(), heads
        self._last: int | None = None
        self._question, self._verbose, self._notice = question, verbose, notice
        self._started = time.monotonic()
        self._doing, self._bar = Spinner("dots", "Opening" if reading else "Answering"), _bar(self.console)
        self._progress: list[RenderableType] = [self._doing, self._bar]
        self._live = (
            Live(get_renderable=self._picture, console=self.console, redirect_stdout=False)
            if terminal
            else None
        )

    def __enter__(self) -> Watch:
        self._started = time.monotonic()
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        """Leave the last picture; tell what a run that came to its end has done."""
        done = kind is None
        self._progress = [] if done else [Text("Stopped"), self._bar]
        if self._live:
            self._live.transient = not (done or self.tally.chunks)  # a mistake needs no picture
            self._live.stop()
        elif done and not self._question:
            self.console.print(head_table(self.heads))
        if done:
            self.say(self.tally.summary(time.monotonic() - self._started))
        if done and self._live:
            self.console.print()

    def say(self, line: str) -> None:
        """Print a line, above the picture where there is one."""
        self.console.print(Text(one_line(line)), soft_wrap=True)

    def show(self, mode: str, data: Any) -> None:
        """Take in what the graph streams.

        Args:
            mode: `"custom"` or `"values"`.
            data: An event, or the values of the channels.
        """
        if mode == "values":
            self.heads = data.get("heads") or self.heads
            if self._question and self.tally.chunks and not data.get("span"):
                self._doing.update(text="Answering")
            return
        if self._notice:
            self.say(self._notice)
            self._notice = None
        self.tally.add(data)
        if data["type"] == "head_updated":
            self._last = data["head"]
            self._follow()
        if self._verbose:
            self.say(event_line(data))

    def _follow(self) -> None:
        """Move the bar to where the reading stands."""
        tally = self.tally
        share = f"{100 * tally.read // tally.total}%  " if tally.total else ""
        done = f"{share}{_count(tally.chunks, 'chunk')}  {_count(tally.tokens, 'token')}"
        self._bar.update(self._bar.task_ids[0], completed=tally.read, total=tally.total, done=done)
        self._doing.update(text=Text(f"Reading {_short_name(tally.source)}"))

    def _picture(self) -> RenderableType:
        """Progress above the heads; the heads alone once the run has ended."""
        room = self.console.height - _ROWS_AROUND
        lines = max(1, min(_MOST_LINES, room // max(1, len(self.heads))))
        table = head_table(self.heads, lines=lines, last=self._last)
        # The empty line takes what the terminal echoes (^C); after a full one it would shift the picture.
        shown: list[RenderableType] = ["", table] if self.heads else []
        return Group(*self._progress, *shown, "")


def _bar(console: Console) -> Progress:
    """A bar with what is read and the time left; it is drawn as a part of the picture."""
    columns = BarColumn(bar_width=None), TextColumn("{task.fields[done]}"), TimeLeft()
    bar = Progress(*columns, console=console, expand=True, speed_estimate_period=_RATE_SECONDS)
    bar.add_task("", total=None, done="")
    return bar
