"""The graph among others: as a subgraph, in a chain, under a low limit, in many threads at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from mhm_langgraph import Budget, Chunk, Settings, SettingsError, Source, create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from tests.integration.conftest import document, noting_reader
from tests.integration.test_threads import Failing, texts

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
THREAD: Any = {"configurable": {"thread_id": "1"}}


class Host(TypedDict, total=False):
    question: str
    document: str
    source: str
    answer: str
    heads: list[Any]
    user: str


def host(node: Any, **options: Any) -> Any:
    """A parent graph that shares keys with the memory."""
    builder = StateGraph(Host, **options)
    builder.add_node("memory", node)
    builder.add_edge(START, "memory")
    builder.add_edge("memory", END)
    return builder


@pytest.mark.parametrize("limit", [5, 25])
def test_a_lower_recursion_limit_does_not_stop_it(limit: int) -> None:
    graph = create_mhm_agent(noting_reader(), **SMALL)
    given = {"question": "?", "document": document(30)}
    config: Any = {"recursion_limit": limit}
    assert graph.invoke(given, config)["step"] == 30
    assert graph.with_config(config).invoke(given)["step"] == 30
    assert asyncio.run(graph.ainvoke(given, config))["step"] == 30
    assert graph.batch([given, given], config)[1]["step"] == 30


def test_composed_with_other_runnables_it_runs_on() -> None:
    chain = RunnableLambda(lambda text: {"question": "?", "document": text}) | create_mhm_agent(
        noting_reader(), **SMALL
    )
    assert chain.invoke(document(30))["step"] == 30
    assert asyncio.run(chain.ainvoke(document(30)))["step"] == 30


def test_in_a_host_called_with_a_low_limit_it_runs_on() -> None:
    graph = host(create_mhm_agent(noting_reader(), **SMALL)).compile()
    out = graph.invoke({"question": "?", "document": document(30)}, {"recursion_limit": 25})
    assert "29:1160-1200" in out["answer"]


def test_ten_thousand_chunks_just_work() -> None:
    reader = ScriptedReader(update="fact")
    out = create_mhm_agent(reader, **SMALL).invoke({"question": "?", "document": document(10_000)})
    assert out["step"] == 10_000
    assert out["usage"]["calls"] == 10_001


def test_where_the_limit_can_not_be_raised_it_says_so_before_the_first_call() -> None:
    reader = noting_reader()
    compiled_anew = create_mhm_agent(reader, **SMALL).builder.compile()
    with pytest.raises(
        SettingsError, match=r"recursion_limit leaves .* supersteps and this text needs up to"
    ):
        compiled_anew.invoke({"question": "?", "document": document(30)}, {"recursion_limit": 25})
    assert not reader.updates
    assert compiled_anew.invoke({"question": "?", "document": document(30)})["step"] == 30


@pytest.mark.parametrize("kind", ["chinese", "rows"])
def test_the_need_is_told_in_the_source_s_own_units(kind: str) -> None:
    """A step reads 13 characters of Chinese and one row here: far fewer units than tokens x 4."""
    reader = noting_reader()
    sources = {"rows": Rows(30)} if kind == "rows" else None
    compiled_anew = create_mhm_agent(reader, sources=sources, **SMALL).builder.compile()
    given: Any = {"question": "?", **({"source": "rows"} if kind == "rows" else {"document": "鲸" * 390})}
    with pytest.raises(SettingsError, match="recursion_limit leaves"):
        compiled_anew.invoke(given, {"recursion_limit": 60})
    assert not reader.updates
    assert compiled_anew.invoke(given)["step"] == 30


class Rows(Source):
    """A source whose unit is the row."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        return Chunk(f"Row {cursor}.", cursor, cursor + 1) if cursor < (self.size or 0) else None


def test_a_host_s_own_context_and_keys_are_left_alone() -> None:
    class HostContext(BaseModel):
        heads: str = "not ours"

    graph = host(create_mhm_agent(noting_reader(), **SMALL), context_schema=HostContext).compile()
    out = graph.invoke(
        {"question": "?", "document": document(4), "user": "Ada"}, context=HostContext(heads="not ours")
    )
    assert out["user"] == "Ada"
    assert texts(out) == ["[0:0-40][3:120-160]", "[1:40-80]", "[2:80-120]"]


@pytest.mark.parametrize("context", [{"chunk_tokens": 20}, Settings(chunk_tokens=20)])
def test_a_host_hands_settings_down_where_they_are_settings(context: Any) -> None:
    reader = noting_reader()
    host(create_mhm_agent(reader, **SMALL)).compile().invoke(
        {"question": "?", "document": document(4)}, context=context
    )
    assert len(reader.updates) == 2


def test_heads_read_through_a_parent_are_the_subgraph_s_own(database: Any) -> None:
    with database() as saver:
        graph = host(create_mhm_agent(noting_reader(), **SMALL)).compile(checkpointer=saver)
        graph.invoke({"question": "?", "document": document(5)}, THREAD, interrupt_before=["memory"])
    reader = Failing(step=3)
    with database() as saver:
        graph = host(create_mhm_agent(reader, **SMALL)).compile(checkpointer=saver)
        with pytest.raises(Exception, match="at step 3"):
            graph.invoke(None, THREAD)
    with database() as saver:
        graph = host(create_mhm_agent(reader, **SMALL)).compile(checkpointer=saver)
        inside = graph.get_state(THREAD, subgraphs=True).tasks[0].state
        assert texts(inside) == ["[0:0-40]", "[1:40-80]", "[2:80-120]"]
        out = graph.invoke(None, THREAD)
    assert [request.step for request in reader.updates] == [0, 1, 2, 3, 4]
    assert texts(out) == ["[0:0-40][3:120-160]", "[1:40-80][4:160-200]", "[2:80-120]"]


def test_a_subgraph_with_its_own_thread_forks_through_its_parent(database: Any) -> None:
    """LangGraph goes back inside a subgraph only where that is compiled with checkpointer=True."""
    with database() as saver:
        memory = create_mhm_agent(noting_reader(), checkpointer=True, **SMALL)
        graph = host(memory).compile(checkpointer=saver)
        graph.invoke({"question": "?", "document": document(5)}, THREAD)
        inside = next(
            snapshot.tasks[0].state
            for snapshot in graph.get_state_history(THREAD)
            if snapshot.next == ("memory",)
        )
        steps = [s for s in graph.get_state_history(inside) if s.next == ("select_head",)]
        base = next(s for s in steps if s.values["step"] == 2)
        reader = noting_reader()
        memory = create_mhm_agent(reader, checkpointer=True, selector="random", seed=4, **SMALL)
        out = host(memory).compile(checkpointer=saver).invoke(None, base.config)
    expected = texts(base)
    for request in reader.updates:
        expected[request.head] += f"[{request.step}:{request.span[0]}-{request.span[1]}]"
    assert [request.step for request in reader.updates] == [2, 3, 4]
    assert texts(out) == expected


def test_the_model_s_tokens_do_not_leak_into_the_host_s_chat() -> None:
    graph = host(create_mhm_agent(ScriptedChatModel(replies=["fact"]), **SMALL)).compile()
    given = {"question": "?", "document": document(3)}
    assert list(graph.stream(given, stream_mode="messages", subgraphs=True)) == []


def test_langchain_documents_can_be_given_as_the_document() -> None:
    reader = noting_reader()
    pages = [Document("Page one."), Document("Page two.")]
    create_mhm_agent(reader).invoke({"question": "?", "document": pages})
    assert reader.updates[0].chunk == "Page one.\n\nPage two."


async def test_many_documents_at_once_on_one_graph() -> None:
    graph = create_mhm_agent(noting_reader(), checkpointer=InMemorySaver(), **SMALL)
    given: list[Any] = [{"question": "?", "document": document(n % 7 + 1)} for n in range(64)]
    configs: list[Any] = [{"configurable": {"thread_id": str(n)}} for n in range(64)]
    outs = await graph.abatch(given, configs)
    assert [out["step"] for out in outs] == [n % 7 + 1 for n in range(64)]


async def test_sync_and_async_give_the_same_heads(database: Any) -> None:
    given: Any = {"question": "?", "document": document(9)}
    graph = create_mhm_agent(noting_reader(), **SMALL)
    assert await graph.ainvoke(given) == graph.invoke(given)


def test_the_document_does_not_go_out_with_the_values() -> None:
    graph = create_mhm_agent(noting_reader(), checkpointer=InMemorySaver(), **SMALL)
    given: Any = {"question": "?", "document": document(3)}
    assert not any("document" in values for values in graph.stream(given, THREAD, stream_mode="values"))
    assert "document" not in graph.get_state(THREAD).values


@pytest.mark.parametrize("given", ["document", "source"])
def test_a_host_may_be_built_on_the_memory_s_own_state(tmp_path: Any, given: str) -> None:
    from mhm_langgraph import MHMInput, MHMState

    (tmp_path / "text.txt").write_text(document(4))
    builder = StateGraph(MHMState, input_schema=MHMInput)
    builder.add_node("memory", create_mhm_agent(noting_reader(), sources=tmp_path, **SMALL))
    builder.add_edge(START, "memory")
    start: Any = {"question": "?", given: document(4) if given == "document" else "text.txt"}
    assert builder.compile().invoke(start)["answer"] == "[0:0-40][3:120-160] | [1:40-80] | [2:80-120]"
