"""With every ability off, a run is to the byte what it was before there were any.

The golden file was made by the last commit before the first of them (`python -m
tests.integration.test_off` writes it); it changes only with the method itself.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from mhm_langgraph import create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel

GOLDEN = Path(__file__).parents[1] / "data" / "off.json.gz"
BOOK = Path(__file__).parents[1] / "data" / "moby_dick_ch31-37.txt.gz"
RUNS: list[dict[str, Any]] = [
    {"question": "Who took Ahab's leg?", "document": gzip.decompress(BOOK.read_bytes()).decode()[:9000]},
    {"question": "And who said so?"},
    {"document": "<skip>\n[ENOUGH] The Pequod sailed on. " * 40},
]


def reply(prompt: str) -> str:
    """Now and then of no use, a marker of a gate, or too long."""
    return ["", "<skip>", "<enough> Ahab.", "The white whale took it. " * 30, "Fine"][len(prompt) % 5]


def told(model: Any, *, use_async: bool, **settings: Any) -> dict[str, Any]:
    """All that a run shows, sends and stores, but for ids and times."""
    saver = InMemorySaver()
    graph = create_mhm_agent(model, head_tokens=60, chunk_tokens=300, checkpointer=saver, **settings)
    config: Any = {"configurable": {"thread_id": "1"}}

    async def stream(given: dict[str, Any]) -> list[Any]:
        return [part async for part in graph.astream(given, config, stream_mode=["custom", "updates"])]

    parts: list[Any] = []
    for given in RUNS:
        if use_async:
            parts += asyncio.run(stream(given))
        else:
            parts += graph.stream(given, config, stream_mode=["custom", "updates"])
    stored = [
        {
            "values": found.checkpoint["channel_values"],
            "versions": {
                name: int(str(version).split(".")[0])
                for name, version in sorted(found.checkpoint["channel_versions"].items())
            },
            "step": found.metadata["step"],
            "writes": [[channel, value] for _, channel, value in found.pending_writes or []],
        }
        for found in saver.list(config)
    ]
    return {"parts": parts, "stored": stored, "prompts": getattr(model, "prompts", [])}


def case(name: str, *, use_async: bool = False) -> Any:
    """A run of one kind, as JSON has it."""
    kinds: dict[str, Any] = {
        "standard": lambda: told(ScriptedChatModel(replies=reply), heads=3, use_async=use_async),
        "compact": lambda: told(
            ScriptedChatModel(replies=reply),
            heads=2,
            prompts="compact",
            selector="random",
            use_async=use_async,
        ),
        "extractive": lambda: told("extractive", heads=2, use_async=use_async),
        "relevance": lambda: told(
            ScriptedChatModel(replies=reply), heads=2, selector="relevance", use_async=use_async
        ),
    }
    return json.loads(json.dumps(kinds[name](), default=repr))


NAMES = ["standard", "compact", "extractive", "relevance"]


@pytest.mark.parametrize("use_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", NAMES)
def test_with_everything_off_a_run_is_what_it_was(name: str, use_async: bool) -> None:
    golden = json.loads(gzip.decompress(GOLDEN.read_bytes()))[name]
    now = case(name, use_async=use_async)
    assert len(now["stored"]) == len(golden["stored"]) > 20
    for part in ("parts", "prompts", "stored"):
        assert now[part] == golden[part]


if __name__ == "__main__":
    GOLDEN.write_bytes(
        gzip.compress(json.dumps({name: case(name) for name in NAMES}, sort_keys=True).encode(), mtime=0)
    )
