"""Wall time of rounds: `python -m benchmarks.parallel`.

A chat-completions server on loopback, in a process of its own, answers each call after 200 ms, however many
ask at once. The same text is read with 1, 2 and 4 heads at the same time, sync and async.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import HEADS, QUESTION, chunk_tokens_for, prose
from benchmarks.fixed_server import fixed_server
from benchmarks.table import conditions, progress
from mhm_langgraph import create_mhm_agent

__all__ = ["Timed", "page", "timed"]

_RESULTS = Path(__file__).resolve().parent / "results"
_LATENCY = 0.2
_CHUNK_BYTES = 4000
_WIDTHS = (1, 2, 4)
_GOAL = 0.30


@dataclass(frozen=True)
class Timed:
    """One way of reading the text.

    Args:
        mode: `sync` or `async`.
        parallel_heads: How many chunks a round reads.
        steps: Chunks.
        calls: Model calls.
        input_tokens: Tokens of prompts, as the server reports them.
        output_tokens: Tokens of replies.
        seconds: Wall time of each repetition.
        share: Best wall time as a share of the sequential loop's best.
    """

    mode: str
    parallel_heads: int
    steps: int
    calls: int
    input_tokens: int
    output_tokens: int
    seconds: tuple[float, ...]
    share: float = 1.0


def timed(url: str, mode: str, width: int, text: str, times: int) -> Timed:
    """Read the text so many times in one way.

    Args:
        url: The server.
        mode: `sync` or `async`.
        width: How many chunks a round reads.
        text: The text.
        times: How often.

    Returns:
        What it took.
    """
    graph = create_mhm_agent(
        "openai:latency",
        base_url=url,
        heads=HEADS,
        chunk_tokens=chunk_tokens_for(text, max(1, len(text) // _CHUNK_BYTES)),
        parallel_heads=width,
    )
    given: Any = {"question": QUESTION, "document": text}
    seconds: list[float] = []
    out: Any = {}
    for _ in range(times):
        began = time.perf_counter()
        out = graph.invoke(given) if mode == "sync" else asyncio.run(graph.ainvoke(given))
        seconds.append(time.perf_counter() - began)
    return Timed(mode, width, out["step"], seconds=tuple(seconds), **out["usage"])


def page(rows: list[Timed], measured: dict[str, str]) -> str:
    """The results for people."""
    facts = "\n".join(f"- {key}: {value}" for key, value in measured.items())
    columns = "mode, parallel_heads, steps, calls, tokens in and out, best and median s, share, goal"
    head = f"| {columns.replace(', ', ' | ')} |\n"
    lines = [
        f"| {row.mode} | {row.parallel_heads} | {row.steps} | {row.calls} | {row.input_tokens:,}, "
        f"{row.output_tokens:,} | {min(row.seconds):.2f}, {median(row.seconds):.2f} | {row.share:.3f} | "
        f"{'<= 0.30' if row.parallel_heads == HEADS else '-'} |"
        for row in rows
    ]
    return (
        f"# Parallel heads: wall time\n\n{facts}\n- server: {_LATENCY * 1000:.0f} ms a call, on loopback, in "
        "a process of its own; the answer is one more call, which no round shortens\n"
        "- share: best wall time as a share of the sequential loop's best\n\n"
        f"{head}|---|---|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100, help="chunks of the text")
    parser.add_argument("--times", type=int, default=3, help="repetitions of each way")
    asked = parser.parse_args()
    text = prose(asked.steps * _CHUNK_BYTES)
    rows = []
    with fixed_server(_LATENCY) as server:
        timed(server.url, "sync", HEADS, text[:_CHUNK_BYTES], 1)  # imports and connections
        for mode in ("sync", "async"):
            found = []
            for width in _WIDTHS:
                progress(f"parallel: {mode}, {width} at once")
                found.append(timed(server.url, mode, width, text, asked.times))
            whole = min(found[0].seconds)
            rows += [replace(row, share=min(row.seconds) / whole) for row in found]
    measured = conditions(f"python -m benchmarks.parallel --steps {asked.steps} --times {asked.times}")
    print(page(rows, measured))
    table = {"measured": measured, "latency": _LATENCY, "goal": _GOAL, "rows": [asdict(row) for row in rows]}
    (_RESULTS / "parallel.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    (_RESULTS / "parallel.md").write_text(page(rows, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
