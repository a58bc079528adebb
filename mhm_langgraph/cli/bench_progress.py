"""What a person sees of a bench on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from mhm_langgraph.display import TimeLeft, duration, one_line
from mhm_langgraph.evaluation import Score, Trajectory, format_length, score
from mhm_langgraph.evaluation.folder import Key

__all__ = ["BenchWatch", "closing_table"]

_RATE_SECONDS = 3600  # a run may take minutes: the rate is taken over many of them
_FILE_COLUMNS = 160  # of a table that goes into a file
_LINE_SECONDS = 30  # between lines where there is no terminal


class BenchWatch:
    """Shows how far a bench is.

    Args:
        file: Standard error.
        keys: All that is to be done.
        done: What of it is done already.
        again: How many runs failed before and are tried again.
    """

    def __init__(self, file: TextIO, keys: Sequence[Key], done: Collection[Key], again: int) -> None:
        terminal = file.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        # Not left to rich: FORCE_COLOR would have it send control codes into a file.
        self.console = Console(
            file=file,
            highlight=False,
            force_terminal=terminal,
            no_color=not terminal or None,
            width=None if terminal else _FILE_COLUMNS,
        )
        self.total, self.before, self.again = len(keys), sum(key in done for key in keys), again
        self.done = self.failed = self.tokens = 0
        self._began = self._said = time.monotonic()
        # A run takes as long as its text: the bar counts tokens, so that the time left is about right.
        bar = TextColumn("{task.fields[told]}")
        self._progress = Progress(
            BarColumn(bar_width=None),
            bar,
            TimeLeft(),
            console=self.console,
            disable=not terminal,
            expand=True,
            speed_estimate_period=_RATE_SECONDS,
        )
        left = sum(key[0] for key in keys if key not in done)
        self._bar = self._progress.add_task("", total=left, told=self.summary())
        self._terminal = terminal

    def __enter__(self) -> Self:
        if self.before or self.again:
            failed = f"; {self.again:,} that failed are tried again" if self.again else ""
            self.say(f"Going on: {self.before:,} of {self.total:,} runs are done already{failed}.")
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the last picture."""
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line, above the bar where there is one."""
        self.console.print(Text(one_line(line)), soft_wrap=True)

    def take(self, one: Trajectory) -> None:
        """Count a trajectory in."""
        self.tokens += one.tokens
        if one.error is None:
            self.done += 1
        else:
            self.failed += 1
            self.say(f"Failed: {one.method}, {format_length(one.length)}, {one.sample}: {one.error}")
        self._progress.update(self._bar, advance=one.length, told=self.summary())
        if not self._terminal and time.monotonic() - self._said >= _LINE_SECONDS:
            self._said = time.monotonic()
            self.say(self.summary())

    def summary(self) -> str:
        """How far it is."""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return (
            f"{self.before + self.done:,} of {self.total:,} runs{failed}, {self.tokens:,} tokens read in "
            f"{duration(time.monotonic() - self._began)}"
        )


def closing_table(trajectories: Iterable[Trajectory]) -> Table:
    """What is in a folder, a row for each length and method.

    Args:
        trajectories: All of them.

    Returns:
        The table: means, without the intervals that `mhm report` has.
    """
    cells: dict[tuple[int, str], _Cell] = defaultdict(_Cell)
    for one in trajectories:
        cells[one.length, one.method].add(score(one))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for title in (
        "length",
        "method",
        "done",
        "failed",
        "MCR",
        "MRR",
        "accuracy",
        "calls",
        "tokens",
        "seconds",
    ):
        table.add_column(title, justify="left" if title == "method" else "right", no_wrap=True)
    for (length, method), cell in sorted(cells.items()):
        table.add_row(format_length(length), method, *cell.row())
    return table


@dataclass
class _Cell:
    """The runs of one method at one length, added up."""

    done: int = 0
    failed: int = 0
    tracked: int = 0
    captured: int = 0
    retained: int = 0
    correct: int = 0
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, one: Score) -> None:
        """Count a run in."""
        if one.error is not None:
            self.failed += 1
            return
        self.done += 1
        self.tracked += one.tracked
        self.captured += one.captured
        self.retained += one.captured and one.retained
        self.correct += one.correct
        self.calls += one.calls
        self.tokens += one.input_tokens + one.output_tokens
        self.seconds += one.seconds

    def row(self) -> list[str]:
        """Shares in percent, and means of a run."""
        return [
            f"{self.done:,}",
            f"{self.failed:,}",
            _percent(self.captured, self.tracked),
            _percent(self.retained, self.captured),
            _percent(self.correct, self.done),
            *(f"{total / self.done:,.0f}" if self.done else "-" for total in (self.calls, self.tokens)),
            f"{self.seconds / self.done:,.2f}" if self.done else "-",
        ]


def _percent(part: int, of: int) -> str:
    return f"{100 * part / of:.1f}" if of else "-"
