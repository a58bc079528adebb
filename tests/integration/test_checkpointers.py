"""A thread is a memory (Contract 5) with exact time travel (6), on every checkpointer people use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Overwrite

from mhm_langgraph import create_mhm_agent
from mhm_langgraph.testing import ScriptedReader
from tests.integration import strict_msgpack
from tests.integration.checkpointers import KINDS, Driver, Memory
from tests.integration.conftest import document, noting_reader
from tests.integration.test_composition import host
from tests.integration.test_threads import Failing, texts

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
FOUR_READ = ["[0:0-40][3:120-160]", "[1:40-80]", "[2:80-120]"]


@pytest.fixture(params=KINDS)
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    """Each checkpointer in turn. The server starts with the first test that needs it."""
    if "postgres" in request.param:
        return Memory(request.param, request.getfixturevalue("postgres"))
    return Memory(request.param, str(tmp_path / "memory.sqlite"))


@pytest.fixture(params=["document", "source"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], Any]:
    """A run's input with a text of so many chunks, passed inline or by name."""

    def given(chunks: int) -> Any:
        (tmp_path / "text.txt").write_text(document(chunks))
        text = {"document": document(chunks), "source": "text.txt"}[request.param]
        return {"question": "?", request.param: text}

    return given


@pytest.fixture
def agent(tmp_path: Path) -> Callable[..., Any]:
    """What opens a graph with a reader on a checkpointer."""

    def build(reader: ScriptedReader | None = None, **options: Any) -> Callable[[Any], Any]:
        chosen = reader or noting_reader()
        return lambda saver: create_mhm_agent(
            chosen, checkpointer=saver, sources=tmp_path, **SMALL, **options
        )

    return build


def written_to(base: Sequence[str], reader: ScriptedReader) -> list[str]:
    """A memory, and what a noting reader wrote into it."""
    heads = list(base) or [""] * 3
    for request in reader.updates:
        heads[request.head] += f"[{request.step}:{request.span[0]}-{request.span[1]}]"
    return heads


async def at(graph: Driver, config: Any, node: str, step: int) -> Any:
    """The checkpoint before a node at a step."""
    return next(
        snapshot
        for snapshot in await graph.history(config)
        if snapshot.next == (node,) and snapshot.values.get("step", 0) == step
    )


async def heads_by_checkpoint(graph: Driver, config: Any) -> dict[str, list[str]]:
    return {s.config["configurable"]["checkpoint_id"]: texts(s) for s in await graph.history(config)}


async def test_a_second_question_is_answered_from_memory_at_one_call(memory: Memory, agent: Any) -> None:
    async with memory.opened(agent()) as graph:
        await graph.invoke({"question": "first", "document": document(4)}, memory.thread())
    reader = noting_reader()
    async with memory.opened(agent(reader)) as graph:
        out = await graph.invoke({"question": "second"}, memory.thread())
    assert not reader.updates
    assert [request.question for request in reader.answers] == ["second"]
    assert out["usage"]["calls"] == 1
    assert out["answer"] == " | ".join(FOUR_READ)


async def test_a_second_document_goes_into_the_same_heads_from_its_own_start(
    memory: Memory, agent: Any
) -> None:
    async with memory.opened(agent()) as graph:
        await graph.invoke({"question": "first", "document": document(4)}, memory.thread())
    reader = noting_reader()
    async with memory.opened(agent(reader)) as graph:
        out = await graph.invoke({"document": "Another text."}, memory.thread())
        state = (await graph.state(memory.thread())).values
    assert [request.chunk for request in reader.updates] == ["Another text."]
    assert (reader.updates[0].question, reader.answers) == (None, [])
    assert texts(out) == ["[0:0-40][3:120-160]", "[1:40-80][4:0-13]", "[2:80-120]"]
    assert (out["step"], out["answer"]) == (5, None)
    assert [state[key] for key in ("source", "span", "question")] == [None, None, None]


async def test_a_question_with_no_document_on_a_new_thread_finds_empty_heads(
    memory: Memory, agent: Any
) -> None:
    async with memory.opened(agent()) as graph:
        out = await graph.invoke({"question": "?"}, memory.thread())
        again = await graph.invoke({"question": "?", "document": document(4)}, memory.thread())
    assert (texts(out), out["step"], out["usage"]["calls"]) == (["", "", ""], 0, 1)
    assert texts(again) == FOUR_READ


async def test_two_threads_never_see_each_other(memory: Memory, agent: Any, start: Any) -> None:
    """Also while both are in the middle of a text, and take turns."""
    one, two = memory.thread("1"), memory.thread("2")
    for chunks, config in ((6, one), (5, two)):
        async with memory.opened(agent(Failing(step=2))) as graph:
            with pytest.raises(Exception, match="at step 2"):
                await graph.invoke(start(chunks) | {"question": f"of {chunks}"}, config)
    for chunks, config in ((5, two), (6, one)):
        reader = noting_reader()
        start(chunks)  # the file holds the text again that this thread has begun
        async with memory.opened(agent(reader)) as graph:
            out = await graph.invoke(None, config)
            unknown = await graph.state(memory.thread("3"))
        assert out["heads"] == agent()(None).invoke(start(chunks))["heads"]
        assert reader.answers[0].question == f"of {chunks}"
        assert unknown.values == {}


async def test_a_run_that_broke_off_goes_on_where_it_stopped(memory: Memory, agent: Any, start: Any) -> None:
    undisturbed = agent()(None).invoke(start(6))
    reader = Failing(step=4)
    async with memory.opened(agent(reader)) as graph:
        with pytest.raises(Exception, match="at step 4"):
            await graph.invoke(start(6), memory.thread())
    async with memory.opened(agent(reader)) as graph:
        out = await graph.invoke(None, memory.thread())
    assert (out["heads"], out["answer"]) == (undisturbed["heads"], undisturbed["answer"])
    assert [request.step for request in reader.updates] == [0, 1, 2, 3, 4, 5]


async def test_a_new_run_after_one_that_broke_off_inherits_its_memory_only(
    memory: Memory, agent: Any, start: Any
) -> None:
    reader = Failing(step=2)
    async with memory.opened(agent(reader)) as graph:
        with pytest.raises(Exception, match="at step 2"):
            await graph.invoke(start(6), memory.thread())
    async with memory.opened(agent(reader)) as graph:
        out = await graph.invoke({"document": "New text."}, memory.thread())
    assert [request.chunk for request in reader.updates[2:]] == ["New text."]
    assert texts(out) == ["[0:0-40]", "[1:40-80]", "[2:0-9]"]
    assert out["answer"] is None


@pytest.mark.parametrize(
    ("node", "step"), [("read_chunk", 2), ("select_head", 3), ("update_head", 4), ("answer", 6)]
)
async def test_a_fork_holds_its_base_and_its_own(
    memory: Memory, agent: Any, start: Any, node: str, step: int
) -> None:
    """Forked with another selector, read again: the base's heads, the fork's writes, nothing else."""
    async with memory.opened(agent()) as graph:
        await graph.invoke(start(6), memory.thread())
    async with memory.opened(agent()) as graph:
        before = await heads_by_checkpoint(graph, memory.thread())
        base = await at(graph, memory.thread(), node, step)
    reader = noting_reader()
    async with memory.opened(agent(reader)) as graph:
        forked = await graph.invoke(None, base.config, context={"selector": "random", "seed": 3})
    expected = written_to(texts(base), reader)
    assert texts(forked) == expected
    assert [request.step for request in reader.updates] == list(range(step, 6))
    async with memory.opened(agent()) as graph:
        assert texts(await graph.state(memory.thread())) == expected
        after = await heads_by_checkpoint(graph, memory.thread())
    assert {key: after[key] for key in before} == before


async def test_a_fork_of_a_fork_and_its_sister_do_not_mix(memory: Memory, agent: Any, start: Any) -> None:
    thread = memory.thread()
    async with memory.opened(agent()) as graph:
        await graph.invoke(start(6), thread)
        base = await at(graph, thread, "select_head", 2)
        first = await graph.invoke(None, base.config, context={"selector": "random", "seed": 1})
        tip = (await graph.state(thread)).config
        inner = await at(graph, thread, "read_chunk", 4)
        await graph.invoke(None, base.config, context={"selector": "random", "seed": 2})
    reader = noting_reader()
    async with memory.opened(agent(reader)) as graph:
        out = await graph.invoke(None, inner.config, context={"selector": "random", "seed": 5})
        assert texts(await graph.state(tip)) == texts(first)
        assert texts(await graph.state(thread)) == texts(out) == written_to(texts(inner), reader)


@pytest.mark.parametrize("node", ["read_chunk", "select_head", "update_head", "answer"])
async def test_update_state_on_a_paused_thread_goes_on_from_there(
    memory: Memory, agent: Any, start: Any, node: str
) -> None:
    reader = noting_reader()
    async with memory.opened(agent(reader)) as graph:
        await graph.invoke(start(4), memory.thread(), interrupt_before=[node])
        await graph.update(memory.thread(), {"question": "new"})
    async with memory.opened(agent(reader)) as graph:
        assert (await graph.state(memory.thread())).next == (node,)
        out = await graph.invoke(None, memory.thread())
    assert [request.step for request in reader.updates] == [0, 1, 2, 3]
    assert reader.answers[0].question == "new"
    assert texts(out) == FOUR_READ


async def test_inside_a_parent_a_run_goes_on_and_its_heads_are_its_own(
    memory: Memory, agent: Any, start: Any
) -> None:
    """Shown by the state through the parent, after the subgraph broke off in the middle."""
    reader = Failing(step=3)

    def parent(saver: Any) -> Any:
        return host(agent(reader)(None)).compile(checkpointer=saver)

    async with memory.opened(parent) as graph:
        with pytest.raises(Exception, match="at step 3"):
            await graph.invoke(start(5), memory.thread())
    async with memory.opened(parent) as graph:
        inside = (await graph.state(memory.thread(), subgraphs=True)).tasks[0].state
        out = await graph.invoke(None, memory.thread())
    assert texts(inside) == ["[0:0-40]", "[1:40-80]", "[2:80-120]"]
    assert [request.step for request in reader.updates] == [0, 1, 2, 3, 4]
    assert texts(out) == ["[0:0-40][3:120-160]", "[1:40-80][4:160-200]", "[2:80-120]"]


async def test_a_subgraph_with_its_own_thread_forks_through_its_parent(
    memory: Memory, agent: Any, start: Any
) -> None:
    """LangGraph goes back inside a subgraph only where that is compiled with checkpointer=True."""

    def parent(reader: ScriptedReader, **options: Any) -> Callable[[Any], Any]:
        return lambda saver: host(agent(reader, **options)(True)).compile(checkpointer=saver)

    async with memory.opened(parent(noting_reader())) as graph:
        await graph.invoke(start(5), memory.thread())
        outer = next(s for s in await graph.history(memory.thread()) if s.next == ("memory",))
        base = await at(graph, outer.tasks[0].state, "select_head", 2)
    reader = noting_reader()
    async with memory.opened(parent(reader, selector="random", seed=4)) as graph:
        out = await graph.invoke(None, base.config)
    assert [request.step for request in reader.updates] == [2, 3, 4]
    assert texts(out) == written_to(texts(base), reader)


async def test_a_forgotten_thread_is_gone_and_the_others_stay(memory: Memory, agent: Any) -> None:
    """With what a subgraph stored under it."""

    def parent(saver: Any) -> Any:
        return host(agent()(None)).compile(checkpointer=saver)

    gone, kept = memory.thread("gone"), memory.thread("kept")
    async with memory.opened(parent) as graph:
        for config in (gone, kept):
            await graph.invoke({"question": "?", "document": document(4)}, config)
        before = [(s.config, s.values) for s in await graph.history(kept)]
        await graph.forget(gone["configurable"]["thread_id"])
    async with memory.opened(parent) as graph:
        assert await graph.history(gone) == []
        assert [(s.config, s.values) for s in await graph.history(kept)] == before
        out = await graph.invoke({"question": "?"}, gone)
    assert texts(out) == ["", "", ""]


def test_strict_msgpack_has_nothing_to_warn_of(tmp_path: Path, postgres: str) -> None:
    """LangGraph reports a type that strict mode refuses on the log, and the log goes to stderr."""
    run = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-W", "error", "-m", strict_msgpack.__name__, str(tmp_path), postgres],
        env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == list(KINDS)


async def test_a_memory_moves_to_a_new_thread_without_its_history(memory: Memory, agent: Any) -> None:
    """How a thread that lives for ever stays small: the recipe of docs/durability.md."""
    old, new = memory.thread("old"), memory.thread("new")
    async with memory.opened(agent()) as graph:
        await graph.invoke({"question": "?", "document": document(4)}, old)
        values = (await graph.state(old)).values
        carried = {"heads": Overwrite(values["heads"]), "step": values["step"]}
        await graph.update(new, carried, as_node="answer")
        await graph.forget(old["configurable"]["thread_id"])
    reader = noting_reader()
    async with memory.opened(agent(reader)) as graph:
        out = await graph.invoke({"question": "?", "document": document(2)}, new)
        assert len(await graph.history(new)) < 12
    assert [request.step for request in reader.updates] == [4, 5]
    assert texts(out) == ["[0:0-40][3:120-160]", "[1:40-80][4:0-40]", "[2:80-120][5:40-80]"]
