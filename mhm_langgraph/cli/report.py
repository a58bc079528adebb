"""`mhm report DIR`. Tables go to standard output, the report to files, all else to standard error."""

from __future__ import annotations

import json
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Shown
from typer import Argument, Option

from mhm_langgraph import MHMError
from mhm_langgraph.cli.ask import MISTAKE, fail
from mhm_langgraph.evaluation.report.numbers import Section, read_sections
from mhm_langgraph.evaluation.report.page import write_report
from mhm_langgraph.evaluation.report.tables import Table, tables_of

__all__ = ["report"]

_TOGETHER = "mhm-report"
_NAME_COLUMNS = 2
_NARROW = 100  # of fewer characters: the widest table has more columns than fit unfolded
_WIDTH = 240  # where nobody looks at a terminal: no row of figures is folded


def report(
    folders: Annotated[list[str], Argument(metavar="DIR...", help="Folders that mhm bench wrote.")],
    baseline: Annotated[
        str | None,
        Option(metavar="METHOD", help="What the others are compared with. [default: the single memory]"),
    ] = None,
    out: Annotated[
        str | None,
        Option(metavar="DIR", help=f"Folder of the report. [default: DIR, or {_TOGETHER} for several]"),
    ] = None,
    plots: Annotated[bool, Option("--plots/--no-plots", help="Whether to draw.")] = True,
    as_json: Annotated[bool, Option("--json", help="Print the numbers as JSON, not as tables.")] = False,
) -> int:
    """Tables and plots of what mhm bench has measured so far, beside the paper's figures.

    Writes report.md, report.json and the plots (PNG and SVG). The bench may still be running.
    """
    try:
        sections = read_sections(folders, baseline)
        target = out or (folders[0] if len(sections) == 1 else _TOGETHER)
        files = write_report(sections, target, plots=plots)
    except MHMError as error:
        return fail(MISTAKE, str(error))
    if as_json:
        print(json.dumps({"sections": [section.as_dict() for section in sections]}, ensure_ascii=False))
    else:
        _print(sections)
    names = ", ".join(file.name for file in files if file.suffix != ".svg")
    print(f"Written to {Path(target)}: {names}{'; the plots as SVG too' * plots}.", file=sys.stderr)
    return 0


def _print(sections: list[Section]) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    for section in sections:
        for table in tables_of(section):
            console.print(escape(table.title), style="bold")
            console.print(_shown(table, console.width), escape(table.note), "", sep="\n")
        missing = section.expected - section.found
        if missing > 0:
            console.print(f"Not complete: {section.found:,} of {section.expected:,} runs of {section.name}.")


def _shown(table: Table, width: int) -> Shown:
    """A table as a terminal of a width shows it: names are folded before a figure is, while there is room."""
    shown = Shown(box=box.SIMPLE_HEAD, header_style="bold")
    for number, heading in enumerate(table.headings):
        named = number < _NAME_COLUMNS
        words = [word for row in (table.headings, *table.rows) for word in row[number].split()]
        shown.add_column(
            escape(heading),
            justify="left" if named else "right",
            overflow="fold",
            min_width=None if named or width < _NARROW else max(map(len, words)),
        )
    for row, following in zip_longest(table.rows, table.rows[1:]):
        shown.add_row(*map(escape, row), end_section=following is not None and following[0] != row[0])
    return shown
