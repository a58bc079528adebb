"""All numbers of the table, measured, printed, and kept: `python -m benchmarks.run`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks import evaluation, growth, memory, prompts, sizes, speed, traces
from benchmarks.table import Measure, Row, progress, save, show

__all__ = ["main"]

_RESULTS = Path(__file__).resolve().parent / "results"
_THEMES: dict[str, Measure] = {
    "prompts": prompts.measure,
    "speed": speed.measure,  # before the heavy ones, while the machine is quiet
    "sizes": sizes.measure,
    "growth": growth.measure,
    "memory": memory.measure,
    "traces": traces.measure,
    "evaluation": evaluation.measure,
}


def main() -> None:
    """Measure, print, and write `numbers.json` and `numbers.md`."""
    asked = _arguments()
    rows: list[Row] = []
    for theme in asked.only or _THEMES:
        began = time.perf_counter()
        rows += _THEMES[theme](asked.quick)
        progress(f"{theme}: done in {time.perf_counter() - began:.0f} s")
    show(rows)
    # A part of the table, or small sizes, must not stand where the numbers are kept.
    if asked.results or not (asked.quick or asked.only):
        save(rows, asked.results or _RESULTS, "python -m benchmarks.run" + " --quick" * asked.quick)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; no goals")
    parser.add_argument("--only", nargs="+", choices=_THEMES, metavar="THEME", help=", ".join(_THEMES))
    parser.add_argument("--results", type=Path, help="folder for numbers.json and numbers.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
