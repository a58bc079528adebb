"""Many at once, cancelled in the middle, sync or async: the heads come out the same, and nothing blocks."""

from __future__ import annotations

import asyncio
import gzip
import time
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

import mhm_langgraph
from mhm_langgraph import HeadSelector, Reader, ReaderError, Reply, create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel
from tests.integration.checkpointers import Memory
from tests.integration.conftest import document, noting_reader
from tests.integration.test_composition import host
from tests.integration.test_threads import texts

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
MANY = 64


def thread(number: int) -> Any:
    return {"configurable": {"thread_id": str(number)}}


async def test_64_documents_at_once_on_one_graph_and_one_file(tmp_path: Path) -> None:
    """Each thread ends with the heads that its document gives alone, and keeps them on disk."""
    texts_given = [f"Document {number}. " + document(number % 3 + 1) for number in range(MANY)]
    given: list[Any] = [{"question": "?", "document": text} for text in texts_given]
    alone = [create_mhm_agent(noting_reader(), **SMALL).invoke(each) for each in given]
    path = str(tmp_path / "memory.sqlite")
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        outs = await graph.abatch(given, [thread(number) for number in range(MANY)])
    assert outs == alone
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        states = [await graph.aget_state(thread(number)) for number in range(MANY)]
    assert [state.values["heads"] for state in states] == [out["heads"] for out in alone]


class HangingReader(Reader):
    """An async reader whose call at one step hangs the first time.

    Args:
        step: The step.
    """

    def __init__(self, step: int) -> None:
        self._step, self._noting = step, noting_reader()
        self.hangs = asyncio.Event()
        self.steps: list[int] = []

    def update(self, request: Any) -> Reply:
        return self._noting.update(request)

    def answer(self, request: Any) -> Reply:
        return self._noting.answer(request)

    async def aupdate(self, request: Any) -> Reply:
        self.steps.append(request.step)
        if request.step == self._step and not self.hangs.is_set():
            self.hangs.set()
            await asyncio.Event().wait()
        return self.update(request)


@pytest.mark.parametrize("place", ["top", "parent"])
@pytest.mark.parametrize("kind", ["in-memory", "async-sqlite", "async-postgres"])
async def test_cancelling_a_task_leaves_a_resumable_thread(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, place: str
) -> None:
    given = {"question": "?", "document": document(6)}
    undisturbed = create_mhm_agent(noting_reader(), **SMALL).invoke(given)
    reader = HangingReader(step=3)

    def build(saver: Any) -> Any:
        if place == "top":
            return create_mhm_agent(reader, checkpointer=saver, **SMALL)
        return host(create_mhm_agent(reader, **SMALL)).compile(checkpointer=saver)

    database = request.getfixturevalue("postgres") if "postgres" in kind else str(tmp_path / "memory.sqlite")
    memory = Memory(kind, database)
    async with memory.opened(build) as graph:
        task = asyncio.create_task(graph.graph.ainvoke(given, memory.thread()))
        await reader.hangs.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with memory.opened(build) as graph:
        out = await graph.graph.ainvoke(None, memory.thread())
    assert (out["heads"], out["answer"]) == (undisturbed["heads"], undisturbed["answer"])
    assert reader.steps == [0, 1, 2, 3, 3, 4, 5]


@pytest.mark.parametrize("selector", ["lru", "random", "relevance"])
@pytest.mark.parametrize("given", ["document", "source"])
async def test_sync_and_async_give_the_same_heads(tmp_path: Path, selector: str, given: str) -> None:
    (tmp_path / "text.txt").write_text(document(9))
    start: Any = {"question": "?", given: document(9) if given == "document" else "text.txt"}
    graph = create_mhm_agent(noting_reader(), selector=selector, sources=tmp_path, **SMALL)
    assert await graph.ainvoke(start) == graph.invoke(start)


def blocking_raises() -> Any:
    """A blocking call that this package makes in an event loop raises, while a graph runs."""
    return blockbuster_ctx(scanned_modules=mhm_langgraph)


class ByText(HeadSelector):
    """A user's selector that looks at the chunk, and knows nothing of async."""

    def select(self, turn: Any) -> Any:
        return mhm_langgraph.Choice(len(turn.chunk) % 3)


@pytest.fixture(params=["text.txt", "text.txt.gz", "latin.txt"])
def name(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file of five chunks: as it is read, packed, and in another encoding."""
    path, text = tmp_path / request.param, document(5)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        # as many bytes of UTF-8 as before, so that five chunks stay five
        path.write_text(text.replace("Paragraph", "Übersich"), "latin-1" if "latin" in path.name else "utf-8")
    return path.name


@pytest.mark.parametrize(
    "selector",
    ["lru", "random", "relevance", lambda turn: len(turn.chunk) % 3, ByText()],
    ids=["lru", "random", "relevance", "function", "own"],
)
async def test_nothing_blocks_the_event_loop(tmp_path: Path, name: str, selector: Any) -> None:
    model = ScriptedChatModel(replies=["fact"])
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "memory.sqlite")) as saver:
        graph = create_mhm_agent(model, selector=selector, sources=tmp_path, checkpointer=saver, **SMALL)
        with blocking_raises():
            out = await graph.ainvoke({"question": "?", "source": name}, thread(1))
            again = await graph.ainvoke({"question": "?"}, thread(1))
    assert out["step"] == 5
    assert "fact" in texts(again)


async def test_the_extractive_reader_does_not_block_either(tmp_path: Path, name: str) -> None:
    graph = create_mhm_agent("extractive", sources=tmp_path, **SMALL)
    with blocking_raises():
        assert (await graph.ainvoke({"question": "paragraph?", "source": name}))["step"] == 5


def blocking_count(text: str) -> int:
    """A token counter that waits, as one that asks a server does."""
    time.sleep(0)
    return len(text) // 4


def blocking_rule(sentence: str, evidence: Any) -> bool:
    """A grounding rule that waits."""
    time.sleep(0)
    return True


@pytest.mark.parametrize("parallel_heads", [1, 2])
@pytest.mark.parametrize(
    "own",
    [
        {"grounding": "reject", "grounding_rule": blocking_rule},
        {"token_counter": blocking_count},
        {"token_counter": blocking_count, "recall": 1, "recall_updates": True, "selector": "relevance"},
    ],
    ids=["grounding-rule", "token-counter", "all"],
)
async def test_what_the_builder_gives_may_block(own: dict[str, Any], parallel_heads: int) -> None:
    model = ScriptedChatModel(replies=["A fact that is too long for what a head may hold. " * 20])
    graph = create_mhm_agent(model, parallel_heads=parallel_heads, **own, **SMALL)
    given: Any = {"question": "?", "document": document(5)}
    with blocking_raises():
        out = await graph.ainvoke(given)
    assert out == await asyncio.to_thread(graph.invoke, given)
    assert out["step"] >= 5


async def test_a_blocking_call_would_be_seen() -> None:
    class Blocking(HangingReader):
        async def aupdate(self, request: Any) -> Reply:
            time.sleep(0)  # noqa: ASYNC251  # to be caught
            return self.update(request)

    graph = create_mhm_agent(Blocking(step=-1), **SMALL)
    with blocking_raises(), pytest.raises(ReaderError, match="BlockingError"):
        await graph.ainvoke({"document": document(2)})
