"""The progress of a batch on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from mhm_langgraph import batch
from mhm_langgraph.display import duration

__all__ = ["Meter", "progress_line"]

_PAUSE = 10.0
"""Seconds between lines where there is no terminal: a log of a day's run is to stay readable."""


def progress_line(progress: batch.Progress, *, priced: bool = False, ended: bool = False) -> str:
    """How a batch stands, in one line.

    Args:
        progress: How it stands.
        priced: Whether to tell the cost.
        ended: Whether this is the run's last line.

    Returns:
        The line.

    Example:
        >>> progress_line(batch.Progress(total=200, before=50, failed_before=1, ended=50, failed=2,
        ...     usage={"input_tokens": 90_000, "output_tokens": 9_000, "calls": 60}, cost=0.25,
        ...     seconds=30, calls=500, calls_under_way=100), priced=True)
        '100 of 200 documents, 3 failed, 99,000 tokens, cost 0.25, 45 s left'
    """
    failed = progress.failed + progress.failed_before
    tokens = progress.usage["input_tokens"] + progress.usage["output_tokens"]
    open_jobs = bool(progress.left) and not ended
    stopping = open_jobs and progress.stopped is not None
    left = progress.seconds_left if open_jobs and not stopping else None
    parts = [
        f"{progress.before + progress.ended:,} of {progress.total:,} documents",
        *([f"{failed:,} failed"] if failed else []),
        f"{tokens:,} tokens",
        *([f"cost {progress.cost:,.2f}"] if priced else []),
        *([f"{duration(left)} left"] if left is not None else []),
        *(["stopping after the calls under way"] if stopping else []),
        *([f"in {duration(progress.seconds)}"] if ended else []),
    ]
    return ", ".join(parts)


class Meter:
    """Shows a batch while it runs.

    Args:
        file: Standard error.
        priced: Whether to tell the cost.
    """

    def __init__(self, file: TextIO, *, priced: bool) -> None:
        terminal = file.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self._console = Console(file=file, highlight=False, force_terminal=terminal)
        self._priced, self._last = priced, 0.0
        self._progress: batch.Progress | None = None
        columns = BarColumn(), TextColumn("{task.description}")
        self._bar = Progress(*columns, console=self._console, transient=True) if terminal else None

    def __enter__(self) -> Meter:
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task("opening", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        """Leave one line that tells how it stands."""
        if self._bar is not None:
            self._bar.stop()
        if self._progress is not None:
            self._say(f"{progress_line(self._progress, priced=self._priced, ended=True)}.")

    def show(self, progress: batch.Progress) -> None:
        """Take in how the batch stands."""
        self._progress = progress
        if self._bar is not None:
            ended, line = progress.before + progress.ended, progress_line(progress, priced=self._priced)
            self._bar.update(self._bar.task_ids[0], completed=ended, total=progress.total, description=line)
        elif (now := time.monotonic()) - self._last > _PAUSE:
            self._last = now
            self._say(progress_line(progress, priced=self._priced))

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)
