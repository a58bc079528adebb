"""Runs, stops, resumes and forks threads: a program, so that LangGraph is imported in strict mode.

LANGGRAPH_STRICT_MSGPACK=true python -W error -m tests.integration.strict_msgpack FOLDER ADDRESS
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from mhm_langgraph import ReaderError, create_mhm_agent
from tests.integration.checkpointers import KINDS, Memory
from tests.integration.conftest import document
from tests.integration.test_composition import host
from tests.integration.test_threads import Failing

__all__: list[str] = []


def builds(failing_at: int) -> list[Callable[[Any], Any]]:
    """The graph on its own, in a parent, and with rounds."""
    small: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
    top, inner, round_ = Failing(failing_at), Failing(failing_at), Failing(failing_at)
    return [
        lambda saver: create_mhm_agent(top, checkpointer=saver, **small),
        lambda saver: host(create_mhm_agent(inner, **small)).compile(checkpointer=saver),
        lambda saver: create_mhm_agent(round_, checkpointer=saver, **small, parallel_heads=3),
    ]


async def run(memory: Memory, build: Callable[[Any], Any], config: Any) -> None:
    """Read a text that breaks off at step 2, go on, and go back to the middle."""
    async with memory.opened(build) as graph:
        try:
            await graph.invoke({"question": "?", "document": document(4)}, config)
        except ReaderError:
            pass
        else:
            raise RuntimeError("the reader was to fail")
    async with memory.opened(build) as graph:
        first = await graph.invoke(None, config)
    async with memory.opened(build) as graph:
        history = await graph.history(config)
        again = await graph.invoke(None, history[len(history) // 2].config)
    if again["heads"] != first["heads"]:
        raise RuntimeError(f"{again['heads']} != {first['heads']}")


async def main(folder: str, address: str) -> None:
    """On every checkpointer."""
    for kind in KINDS:
        memory = Memory(kind, address if "postgres" in kind else f"{folder}/{kind}.sqlite")
        for number, build in enumerate(builds(failing_at=2)):
            await run(memory, build, memory.thread(str(number)))
        print(kind)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
