"""Memory to read a 1 GB file, in a process of its own."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import (
    BYTES_PER_TOKEN,
    MEGABYTE,
    QUESTION,
    InstantReader,
    megabytes,
    temporary_folder,
    write_prose,
)
from benchmarks.table import Row, main, progress
from mhm_langgraph import create_mhm_agent

__all__ = ["measure", "peak"]

_GOAL = 150 * MEGABYTE
_CHUNK_TOKENS = 50_000
_FULL, _QUICK = 1000 * MEGABYTE, 2 * MEGABYTE
_CHILD = "--read"


def measure(quick: bool) -> list[Row]:
    """The rows of this theme."""
    size = _QUICK if quick else _FULL
    with temporary_folder() as folder:
        progress(f"memory: writing {megabytes(size)}")
        path = write_prose(folder / "large.txt", size)
        progress("memory: reading it")
        found = _in_a_process(path)
    over = found["peak"] - found["imported"]
    return [
        Row(
            name=f"memory to read a file of {megabytes(size)}",
            limit=f"one chunk (here {megabytes(_CHUNK_TOKENS * BYTES_PER_TOKEN)})",
            goal=f"<= {megabytes(_GOAL)} over the import",
            measured=f"{megabytes(over)} over the import",
            value=over,
            unit="bytes",
            met=None if quick else over <= _GOAL,
            note=f"peak {megabytes(found['peak'])}, {megabytes(found['imported'])} after the import; "
            f"{found['steps']} steps of {_CHUNK_TOKENS} tokens in {found['seconds']:.0f} s "
            f"({found['checking']:.1f} s of it until the first chunk); the peak in the first "
            f"tenth of the run {megabytes(found['early'] - found['imported'])} over the import",
            detail=found,
        )
    ]


def _in_a_process(path: Path) -> dict[str, Any]:
    """Read in a fresh interpreter: its peak is nobody else's."""
    command = [sys.executable, "-m", "benchmarks.memory", _CHILD, str(path)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _read(path: str) -> dict[str, Any]:
    """Read the file and look at the process's peak on the way."""
    graph = create_mhm_agent(InstantReader(), chunk_tokens=_CHUNK_TOKENS)
    found: dict[str, Any] = {"imported": peak(), "steps": 0}
    began = time.perf_counter()
    for event in graph.stream({"question": QUESTION, "source": path}, stream_mode="custom"):
        if event["type"] != "head_updated":
            continue
        if not found["steps"]:
            found["checking"] = time.perf_counter() - began
        if event["read"] <= event["total"] / 10 or "early" not in found:
            found["early"] = peak()
        found["steps"] += 1
    return {**found, "peak": peak(), "seconds": time.perf_counter() - began}


def peak() -> int:
    """The greatest resident size so far, in bytes.

    On Linux the kernel's own mark, because `ru_maxrss` of a child starts at its parent's peak: a
    large parent would hide what the child needs.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS reports bytes


def _child() -> bool:
    """Whether this is the process that reads; if so, it has done so and printed what it found."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(_CHILD)
    path = parser.parse_known_args()[0].read
    if path:
        print(json.dumps(_read(path)))
    return bool(path)


if __name__ == "__main__" and not _child():
    main(measure, __doc__)
