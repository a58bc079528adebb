"""LangSmith bytes of a run, as the real client uploads them to a server that counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Any

from langchain_core.tracers.langchain import wait_for_all_tracers

from benchmarks.common import (
    HEAD_TOKENS,
    MEGABYTE,
    QUESTION,
    chunk_tokens_for,
    full_text,
    megabytes,
    prose,
    temporary_folder,
)
from benchmarks.sink import Account, Sink
from benchmarks.table import Row, main, progress
from mhm_langgraph import MHMInput, create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel

__all__ = ["measure"]

_RATIO_GOAL = 3.0
_FULL, _QUICK = (4 * MEGABYTE, 200), (40_000, 4)  # bytes of the document, steps
_CHILD = "--trace"
_LARGEST = 5


def measure(quick: bool) -> list[Row]:
    """The rows of this theme."""
    size, steps = _QUICK if quick else _FULL
    text = prose(size)
    chunk_tokens = chunk_tokens_for(text, steps)
    rows = []
    with temporary_folder() as folder:
        path = folder / "book.txt"
        path.write_text(text, encoding="utf-8")
        for kind in ("file", "inline"):
            progress(f"traces: {kind}")
            account, said = _traced(kind, path, chunk_tokens)
            rows.append(_row(kind, len(text.encode()), account, said, quick))
    return rows


def _traced(kind: str, path: Path, chunk_tokens: int) -> tuple[Account, dict[str, int]]:
    """Run in a fresh interpreter: tracing is switched on by its environment, read once."""
    with Sink().running() as sink:
        command = [sys.executable, "-m", "benchmarks.traces", _CHILD, kind, str(path), str(chunk_tokens)]
        root = Path(__file__).resolve().parents[1]
        done = subprocess.run(
            command, cwd=root, env=_environment(sink.url), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said: dict[str, int] = json.loads(done.stdout)
        return sink.account, said


def _environment(url: str) -> dict[str, str]:
    """The caller's environment with tracing on, and nothing of the caller's own tracing."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LANGSMITH_", "LANGCHAIN_"))
    }
    return {
        **kept,
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_ENDPOINT": url,
        "LANGSMITH_API_KEY": "not-a-key",
        "LANGSMITH_PROJECT": "benchmark",
    }


def _run(kind: str, path: str, chunk_tokens: int) -> dict[str, int]:
    """The traced run; returns what the model was sent and what it said, in bytes."""
    texts = cycle([full_text(HEAD_TOKENS, number) for number in range(16)])
    # A function, because a list of replies would be uploaded as the model's description at each call.
    model = ScriptedChatModel(replies=lambda _: next(texts))
    graph = create_mhm_agent(model, chunk_tokens=chunk_tokens, head_tokens=HEAD_TOKENS)
    given = MHMInput(question=QUESTION)
    if kind == "file":
        given["source"] = path
    else:
        given["document"] = Path(path).read_text(encoding="utf-8")
    result = graph.invoke(given)
    wait_for_all_tracers()
    prompts = sum(len(prompt.encode()) for prompt in model.prompts)
    replies = len(model.prompts) * len(full_text(HEAD_TOKENS))
    return {"prompts": prompts, "replies": replies, "steps": result["step"]}


def _row(kind: str, size: int, account: Account, said: dict[str, int], quick: bool) -> Row:
    """The ratio of one run, an inline document's two copies in the root run set aside."""
    talk = said["prompts"] + said["replies"]
    copies = 2 * size if kind == "inline" else 0
    ratio = (account.size - copies) / talk
    assert account.runs(), "nothing was traced"
    assert not account.unfinished(), "the trace did not arrive whole"
    how = {"file": "read from a file", "inline": "passed inline, less two copies of it"}[kind]
    return Row(
        name=f"LangSmith bytes a run, {megabytes(size)} {how}, {said['steps']} steps",
        limit=f"the prompts and replies ({megabytes(talk)})",
        goal=f"<= {_RATIO_GOAL:.0f} x that" + (" + two copies of the document" if copies else ""),
        measured=f"{ratio:.2f} x ({megabytes(account.size)})",
        value=ratio,
        unit="ratio",
        met=None if quick else ratio <= _RATIO_GOAL,
        note=f"before compression; {megabytes(account.sent)} on the wire (zstd); "
        f"{sum(account.runs().values())} runs; largest: {_largest(account)}",
        detail=_detail(account),
    )


def _largest(account: Account) -> str:
    """Which runs most of the bytes belong to."""
    totals: Counter[str] = Counter()
    for (name, _, _), size in account.by_name().items():
        totals[name] += size
    return ", ".join(f"{name} {megabytes(size)}" for name, size in totals.most_common(_LARGEST))


def _detail(account: Account) -> dict[str, Any]:
    """The whole account, for those who want to bring the number down."""
    runs, parts = account.runs(), account.by_name()
    detail: dict[str, Any] = {"multipart frame": {"bytes": account.size - parts.total()}}
    for (name, operation, part), size in parts.most_common():
        of_name = detail.setdefault(name, {"runs": runs[name], "bytes": 0, "parts": {}})
        of_name["bytes"] += size
        of_name["parts"][f"{operation} {part}"] = size
    return detail


def _child(arguments: list[str]) -> bool:
    """Whether this is the process that is traced; if so, it has run and printed what was said."""
    if arguments[:1] != [_CHILD]:
        return False
    kind, path, chunk_tokens = arguments[1:]
    print(json.dumps(_run(kind, path, int(chunk_tokens))))
    return True


if __name__ == "__main__" and not _child(sys.argv[1:]):
    main(measure, __doc__)
