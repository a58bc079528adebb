"""The rows, on the screen and in files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.common import prose_origin

__all__ = ["Measure", "Row", "conditions", "main", "markdown", "progress", "save", "show"]

_PACKAGES = (
    "langgraph",
    "langchain-core",
    "langsmith",
    "langgraph-checkpoint",
    "langgraph-checkpoint-sqlite",
)


@dataclass(frozen=True)
class Row:
    """One number.

    Args:
        name: What is measured, with its sizes.
        limit: What nature allows.
        goal: What architecture.md asks for; empty where it names no goal.
        measured: The figure with its unit, for people.
        value: The figure, for programs: bytes, seconds or a plain number, as `unit` says.
        unit: `bytes`, `bytes a step`, `seconds`, `calls over N` or `ratio`.
        met: Whether the goal is met; None where there is none, or in a quick run.
        note: How it was measured, and what the figure is made of.
        detail: What else was measured on the way; goes into the JSON file only.
    """

    name: str
    limit: str
    goal: str
    measured: str
    value: float
    unit: str
    met: bool | None
    note: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The goal's fate in a word."""
        return "-" if self.met is None else "yes" if self.met else "NO"


Measure = Callable[[bool], list[Row]]
"""A theme: from whether the run is a quick one to its rows."""


def conditions(command: str) -> dict[str, str]:
    """Where and with what the numbers were measured."""
    return {
        "command": command,
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
        "text": prose_origin(),
        "versions": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def progress(message: str) -> None:
    """Say on standard error what is being done: some rows take minutes."""
    print(message, file=sys.stderr, flush=True)


def show(rows: Sequence[Row]) -> None:
    """Print the rows beside their limits and goals."""
    table = Table(show_lines=True)
    for heading in ("what", "limit in nature", "goal", "measured", "met", "note"):
        table.add_column(heading, justify="center" if heading == "met" else "left")
    for row in rows:
        style = {True: "green", False: "bold red", None: "dim"}[row.met]
        cells = (row.name, row.limit, row.goal or "-", row.measured)
        table.add_row(*map(escape, cells), f"[{style}]{row.verdict}[/]", escape(row.note))
    Console(width=None if sys.stdout.isatty() else 170).print(table)


def markdown(rows: Sequence[Row], measured: dict[str, str]) -> str:
    """The rows as a Markdown page, with how they were measured."""
    headings = "| what | limit in nature | goal | measured | met | note |\n|---|---|---|---|---|---|"
    lines = ["# Numbers, measured", "", *(f"- {key}: {value}" for key, value in measured.items())]
    lines += ["- 1 MB is 1,000,000 bytes; times are the best of several runs, the median beside it", ""]
    lines.append(headings)
    for row in rows:
        cells = (row.name, row.limit, row.goal or "-", row.measured, row.verdict, row.note)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def save(rows: Sequence[Row], folder: Path, command: str) -> None:
    """Write `numbers.json` and `numbers.md`.

    Args:
        rows: The rows.
        folder: Where to; made if need be.
        command: The command that measured them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    measured = conditions(command)
    table = {"measured": measured, "rows": [asdict(row) for row in rows]}
    (folder / "numbers.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    (folder / "numbers.md").write_text(markdown(rows, measured), encoding="utf-8")


def main(measure: Measure, description: str | None) -> None:
    """Run one theme alone and print its rows: what `python -m benchmarks.sizes` does."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--json", action="store_true", help="print JSON, with every detail")
    asked = parser.parse_args()
    rows = measure(asked.quick)
    if asked.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        show(rows)
