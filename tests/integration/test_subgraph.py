"""The graph inside a host: what each checkpointer mode keeps, memories side by side, fan-out, tokens."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import InvalidUpdateError
from langgraph.graph import START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from mhm_langgraph import create_mhm_agent
from mhm_langgraph.testing import ScriptedReader
from tests.integration.conftest import document, noting_reader
from tests.integration.test_threads import Failing, texts

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
THREAD: Any = {"configurable": {"thread_id": "1"}}
MODES = pytest.mark.parametrize("mode", [None, True, False], ids=["inherited", "own", "none"])
FOUR = ["[0:0-40][3:120-160]", "[1:40-80]", "[2:80-120]"]
EMPTY = ["", "", ""]


class Shared(TypedDict, total=False):
    """A host that shares keys with the memory, which is a node of it."""

    question: str
    document: str | None
    answer: str
    heads: list[Any]


class Own(TypedDict, total=False):
    """A host with keys of its own: a function node calls the memory."""

    ask: str
    text: str | None
    memory: list[str]


def shared(memory: Any) -> Any:
    builder = StateGraph(Shared)
    builder.add_node("memory", memory)
    builder.add_edge(START, "memory")
    return builder


def calling(memory: Any) -> Any:
    builder = StateGraph(Own)
    builder.add_node("read", lambda state: {"memory": asked(memory, state)})
    builder.add_edge(START, "read")
    return builder


def asked(memory: Any, state: Any) -> list[str]:
    return texts(memory.invoke({"question": state["ask"], "document": state.get("text")}))


def given(host: Any, question: str, text: str | None) -> dict[str, Any]:
    keys = ("ask", "text") if host is calling else ("question", "document")
    return dict(zip(keys, (question, text), strict=True))


def memory_of(out: Any) -> list[str]:
    return texts(out) if "heads" in out else list(out["memory"])


def namespaces(saver: InMemorySaver) -> set[str]:
    """Where checkpoints were stored, the tasks' ids left out."""
    stored = {entry.config["configurable"]["checkpoint_ns"] for entry in saver.list(None)}
    return {namespace.partition(":")[0] for namespace in stored}


HOSTS = pytest.mark.parametrize("host", [shared, calling])


@HOSTS
@MODES
def test_what_lasts_from_run_to_run(host: Callable[[Any], Any], mode: bool | None) -> None:
    """Only checkpointer=True keeps the memory for the host's next run."""
    saver = InMemorySaver()
    graph = host(create_mhm_agent(noting_reader(), checkpointer=mode, **SMALL)).compile(checkpointer=saver)
    assert memory_of(graph.invoke(given(host, "first", document(4)), THREAD)) == FOUR
    later = memory_of(graph.invoke(given(host, "second", None), THREAD))
    assert later == (FOUR if mode else EMPTY)
    other = graph.invoke(given(host, "third", None), {"configurable": {"thread_id": "2"}})
    assert memory_of(other) == EMPTY
    node = "read" if host is calling else "memory"
    assert namespaces(saver) == ({""} if mode is False else {"", node})


@HOSTS
@MODES
def test_what_a_resume_costs(host: Callable[[Any], Any], mode: bool | None) -> None:
    """checkpointer=False reads everything again; the others go on in the middle of the document."""
    reader = Failing(step=3)
    graph = host(create_mhm_agent(reader, checkpointer=mode, **SMALL)).compile(checkpointer=InMemorySaver())
    with pytest.raises(Exception, match="at step 3"):
        graph.invoke(given(host, "?", document(4)), THREAD)
    assert memory_of(graph.invoke(None, THREAD)) == FOUR
    steps = [request.step for request in reader.updates]
    assert steps == ([0, 1, 2, 0, 1, 2, 3] if mode is False else [0, 1, 2, 3])


@HOSTS
@MODES
def test_a_host_without_a_checkpointer_starts_anew_each_time(
    host: Callable[[Any], Any], mode: bool | None
) -> None:
    graph = host(create_mhm_agent(noting_reader(), checkpointer=mode, **SMALL)).compile()
    assert memory_of(graph.invoke(given(host, "first", document(4)))) == FOUR
    assert memory_of(graph.invoke(given(host, "second", None))) == EMPTY


@HOSTS
async def test_async_hosts_resume_as_well(host: Callable[[Any], Any]) -> None:
    reader = Failing(step=3)
    memory = create_mhm_agent(reader, **SMALL)

    async def read(state: Own) -> Any:
        out = await memory.ainvoke({"question": state["ask"], "document": state.get("text")})
        return {"memory": texts(out)}

    builder = shared(memory)
    if host is calling:
        builder = StateGraph(Own)
        builder.add_node("read", read)
        builder.add_edge(START, "read")
    graph = builder.compile(checkpointer=InMemorySaver())
    with pytest.raises(Exception, match="at step 3"):
        await graph.ainvoke(given(host, "?", document(4)), THREAD)
    assert memory_of(await graph.ainvoke(None, THREAD)) == FOUR
    assert [request.step for request in reader.updates] == [0, 1, 2, 3]


def test_a_host_that_shares_the_document_reads_it_again_unless_it_clears_it() -> None:
    """The document stays in the host's own state: a later question has to set it to None."""
    reader = noting_reader()
    memory = create_mhm_agent(reader, checkpointer=True, **SMALL)
    graph = shared(memory).compile(checkpointer=InMemorySaver())
    graph.invoke({"question": "first", "document": document(4)}, THREAD)
    graph.invoke({"question": "second", "document": None}, THREAD)
    assert len(reader.updates) == 4
    graph.invoke({"question": "third", "document": document(4)}, THREAD)
    graph.invoke({"question": "fourth"}, THREAD)
    assert len(reader.updates) == 12


class Two(TypedDict, total=False):
    text: str | None
    plot: list[str]
    people: list[str]


def side_by_side(first: Any, second: Any, *, parallel: bool) -> Any:
    def node(memory: Any, key: str) -> Any:
        return lambda state: {key: asked(memory, {"ask": key, **state})}

    builder = StateGraph(Two)
    builder.add_node("read_plot", node(first, "plot"))
    builder.add_node("read_people", node(second, "people"))
    builder.add_edge(START, "read_plot")
    builder.add_edge(START if parallel else "read_plot", "read_people")
    return builder


@MODES
@pytest.mark.parametrize("parallel", [False, True])
def test_two_memories_side_by_side_stay_apart(mode: bool | None, parallel: bool) -> None:
    memories = [
        create_mhm_agent(
            ScriptedReader(update=lambda request, name=name: f"{name} {request.step}"),
            checkpointer=mode,
            name=name,
            **SMALL,
        )
        for name in ("plot", "people")
    ]
    saver = InMemorySaver()
    graph = side_by_side(*memories, parallel=parallel).compile(checkpointer=saver)
    out = graph.invoke({"text": document(3)}, THREAD)
    assert out["plot"] == ["plot 0", "plot 1", "plot 2"]
    assert out["people"] == ["people 0", "people 1", "people 2"]
    later = graph.invoke({"text": None}, THREAD)
    assert (later["plot"], later["people"]) == ((out["plot"], out["people"]) if mode else (EMPTY, EMPTY))
    assert namespaces(saver) == ({""} if mode is False else {"", "read_plot", "read_people"})


@pytest.mark.parametrize("parallel", [False, True])
def test_one_of_two_memories_that_broke_off_goes_on_and_the_other_is_kept(parallel: bool) -> None:
    sound, failing = noting_reader(), Failing(step=2)
    graph = side_by_side(
        create_mhm_agent(sound, **SMALL), create_mhm_agent(failing, **SMALL), parallel=parallel
    ).compile(checkpointer=InMemorySaver())
    with pytest.raises(Exception, match="at step 2"):
        graph.invoke({"text": document(4)}, THREAD)
    out = graph.invoke(None, THREAD)
    assert out["plot"] == out["people"] == FOUR
    assert [request.step for request in sound.updates] == [0, 1, 2, 3]
    assert [request.step for request in failing.updates] == [0, 1, 2, 3]


def test_two_memories_in_one_node_stay_apart_too() -> None:
    """LangGraph tells them apart by the order in which the node calls them: keep that order."""
    first, second = (create_mhm_agent(noting_reader(), checkpointer=True, **SMALL) for _ in range(2))

    def read(state: Two) -> Any:
        text = state.get("text")
        more = text and text + "More."
        return {
            "plot": asked(first, {"ask": "?", "text": text}),
            "people": asked(second, {"ask": "?", "text": more}),
        }

    builder = StateGraph(Two)
    builder.add_node("read", read)
    builder.add_edge(START, "read")
    graph = builder.compile(checkpointer=InMemorySaver())
    out = graph.invoke({"text": document(3)}, THREAD)
    assert out["plot"] != out["people"]
    later = graph.invoke({"text": None}, THREAD)
    assert (later["plot"], later["people"]) == (out["plot"], out["people"])


def test_parallel_nodes_that_share_keys_are_refused_by_langgraph() -> None:
    """Both would write the host's answer and heads: parallel memories want function nodes."""
    builder = StateGraph(Shared)
    for name in ("plot", "people"):
        builder.add_node(name, create_mhm_agent(noting_reader(), name=name, **SMALL))
        builder.add_edge(START, name)
    with pytest.raises(InvalidUpdateError, match="only one value per step"):
        builder.compile().invoke({"question": "?", "document": document(2)})


class Library(TypedDict, total=False):
    documents: list[str]
    memories: Annotated[list[list[str]], operator.add]


def fan_out(memory: Any) -> Any:
    builder = StateGraph(Library)
    builder.add_node("read", lambda state: {"memories": [asked(memory, {"ask": "?", **state})]})
    builder.add_conditional_edges(
        START, lambda state: [Send("read", {"text": text}) for text in state["documents"]], ["read"]
    )
    return builder


@pytest.mark.parametrize("mode", [None, False], ids=["inherited", "none"])
def test_a_fan_out_reads_each_document_into_its_own_memory(mode: bool | None) -> None:
    graph = fan_out(create_mhm_agent(noting_reader(), checkpointer=mode, **SMALL))
    documents = {"documents": [document(n) for n in (4, 1, 2, 3)]}
    expected = [
        FOUR,
        ["[0:0-40]", "", ""],
        ["[0:0-40]", "[1:40-80]", ""],
        ["[0:0-40]", "[1:40-80]", "[2:80-120]"],
    ]
    assert graph.compile().invoke(documents)["memories"] == expected
    saved = graph.compile(checkpointer=InMemorySaver())
    assert saved.invoke(documents, THREAD)["memories"] == expected
    assert asyncio.run(graph.compile().ainvoke(documents))["memories"] == expected


def test_a_fan_out_that_broke_off_reads_only_what_is_missing() -> None:
    reader = Failing(step=2)
    graph = fan_out(create_mhm_agent(reader, **SMALL)).compile(checkpointer=InMemorySaver())
    documents = {"documents": [document(n) for n in (1, 4, 2)]}
    with pytest.raises(Exception, match="at step 2"):
        graph.invoke(documents, THREAD)
    out = graph.invoke(None, THREAD)
    assert out["memories"] == [["[0:0-40]", "", ""], FOUR, ["[0:0-40]", "[1:40-80]", ""]]
    assert len(reader.updates) == 7


def test_progress_of_memories_side_by_side_is_told_apart_by_namespace() -> None:
    first, second = (create_mhm_agent(noting_reader(), **SMALL) for _ in range(2))
    graph = side_by_side(first, second, parallel=True).compile()
    told: dict[str, list[Any]] = {"read_plot": [], "read_people": []}
    for namespace, event in graph.stream({"text": document(2)}, stream_mode="custom", subgraphs=True):
        told[namespace[0].partition(":")[0]].append((event["type"], event["step"]))
    assert told["read_plot"] == told["read_people"]
    assert told["read_plot"] == [("head_updated", 0), ("head_updated", 1), ("answered", 2)]


def talking() -> GenericFakeChatModel:
    """A chat model that streams its replies word by word."""
    return GenericFakeChatModel(messages=iter(["fact one", "fact two", "an answer of words"]))


def streamed(graph: Any, **options: Any) -> list[tuple[str, str]]:
    """Where tokens of the messages stream come from, and what they say."""
    start = {"question": "?", "document": document(2)}
    parts = graph.stream(start, stream_mode="messages", **options)
    parts = [part[1] for part in parts] if options.get("subgraphs") else list(parts)
    return [(metadata["langgraph_node"], message.content) for message, metadata in parts if message.content]


ANSWER = [("answer", piece) for piece in ("an", " ", "answer", " ", "of", " ", "words")]


def test_no_token_of_the_loop_is_streamed_unless_asked_for() -> None:
    for graph in (
        create_mhm_agent(talking(), **SMALL),
        shared(create_mhm_agent(talking(), **SMALL)).compile(),
    ):
        assert streamed(graph, subgraphs=True) == []


def test_with_stream_answer_the_answer_s_tokens_are_and_no_others() -> None:
    memory = create_mhm_agent(talking(), stream_answer=True, **SMALL)
    assert streamed(memory) == ANSWER
    memory = create_mhm_agent(talking(), stream_answer=True, **SMALL)
    assert streamed(shared(memory).compile(), subgraphs=True) == ANSWER


def test_a_run_s_context_can_ask_for_the_answer_s_tokens() -> None:
    memory = create_mhm_agent(talking(), **SMALL)
    assert streamed(shared(memory).compile(), subgraphs=True, context={"stream_answer": True}) == ANSWER


async def test_the_answer_is_streamed_in_async_hosts_too() -> None:
    graph = shared(create_mhm_agent(talking(), stream_answer=True, **SMALL)).compile()
    start = {"question": "?", "document": document(2)}
    parts = [part async for part in graph.astream(start, stream_mode="messages", subgraphs=True)]
    said = [message.content for _, (message, _) in parts if message.content]
    assert said == [piece for _, piece in ANSWER]
