"""The paper's tables with a reader that needs no model: `python -m benchmarks.paper_tables --data DIR`.

It runs `mhm bench` at all lengths of the paper and writes the report of it. With the simulation the figures
show what the architecture does by itself; with the extractive reader, that the harness works on real text.
Stopped, it goes on where it was. About 8 minutes of one core with the simulation.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mhm_langgraph.evaluation.report import read_sections, write_report

__all__ = ["main"]

_RESULTS = Path(__file__).resolve().parent / "results" / "evaluation"
_RULER = "7K,14K,28K,56K,112K,224K,448K,896K"
_BABILONG = "8K,16K,32K,64K,128K,256K,512K,1M"
_METHODS = "mhm-lru,memagent"
_BENCHES: dict[str, tuple[str, str]] = {
    "ruler-hqa": ("ruler-hqa", _RULER),
    "babilong": ("babilong", _BABILONG),
    "needle": ("needle", _BABILONG),
    "heads": ("ruler-hqa", "896K"),  # with other numbers of heads, not with other methods
}


def run(name: str, asked: argparse.Namespace) -> None:
    """Run one bench, or what is missing of it."""
    task, lengths = _BENCHES[name]
    folder = _folder(name, asked)
    methods = "heads-fixed-total" if name == "heads" else asked.methods
    options = ["--methods", methods, "--lengths", lengths, "--samples", str(asked.samples)]
    options += ["--data", str(asked.data)] if asked.data else []
    options += ["--processes", str(asked.processes)] if asked.processes > 1 else []
    command = ["bench", task, "--model", asked.reader, *options, "--out", str(folder)]
    # A process of its own, so that its folder holds the command that would do the same by hand.
    subprocess.run([sys.executable, "-m", "mhm_langgraph.cli", *command], check=True)


def _folder(name: str, asked: argparse.Namespace) -> Path:
    folder: Path = asked.work / asked.reader.partition(":")[0] / name
    return folder


def main(argv: Sequence[str] | None = None) -> None:
    """Run all benches and write their report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_tables", description=__doc__)
    parser.add_argument("--reader", default="simulation", help="simulation[:...] or extractive")
    parser.add_argument("--data", type=Path, help="folder of the data; the shipped sample ends at 64K")
    parser.add_argument("--samples", type=int, default=64, help="samples of each length")
    parser.add_argument("--methods", default=_METHODS, help="methods beside the numbers of heads")
    parser.add_argument("--processes", type=int, default=1, help="processes that share out the runs")
    parser.add_argument("--only", nargs="+", choices=_BENCHES, default=list(_BENCHES), help="some of them")
    parser.add_argument("--work", type=Path, default=Path(".bench"), help="folder of the trajectories")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder of the reports")
    asked = parser.parse_args(argv)
    for name in asked.only:
        run(name, asked)
    # Of all that is there, also from earlier.
    folders = [folder for name in _BENCHES if (folder := _folder(name, asked)).exists()]
    out = asked.results / asked.reader.partition(":")[0]
    write_report(read_sections(folders), out)
    for folder in folders:
        shutil.copy(folder / "bench.json", out / f"{folder.name}-bench.json")


if __name__ == "__main__":
    main()
