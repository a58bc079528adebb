"""create_document_tool in a real agent: LangChain's create_agent with a scripted model that calls tools."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver

from mhm_langgraph import SettingsError, create_document_tool, create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from tests.integration.conftest import document, noting_reader
from tests.integration.test_threads import Failing

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
SOURCES = {"log": [document(4)], "letter": ["Ahab lost a leg."]}
THREAD: Any = {"configurable": {"thread_id": "1"}}


def calling(*calls: dict[str, Any]) -> ScriptedChatModel:
    """An agent's model: it makes these tool calls in its first reply, and is done with its second."""
    made = [{"name": "read_document", "args": args, "id": str(n)} for n, args in enumerate(calls)]
    return ScriptedChatModel(replies=[AIMessage("", tool_calls=made), "Done."])


def messages(out: Any) -> list[ToolMessage]:
    return [message for message in out["messages"] if isinstance(message, ToolMessage)]


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Invokes a runnable, both ways."""
    if request.param == "sync":
        return lambda runnable, *args: runnable.invoke(*args)
    return lambda runnable, *args: asyncio.run(runnable.ainvoke(*args))


def test_an_agent_reads_a_document(run: Callable[..., Any]) -> None:
    model = calling({"source": "log", "question": "Who?"})
    agent = create_agent(model, [create_document_tool(noting_reader(), sources=SOURCES, **SMALL)])
    out = run(agent, {"messages": [("user", "Read the log.")]})
    (message,) = messages(out)
    assert message.status == "success"
    assert message.content == (
        "[0:0-40][3:120-160] | [1:40-80] | [2:80-120]\n\n"
        "(log was read in 4 steps; its memory was last written from the spans "
        "[40, 80], [80, 120], [120, 160].)"
    )
    assert message.content in model.prompts[1]  # the model reads it
    assert [head["span"] for head in message.artifact["heads"]] == [[120, 160], [40, 80], [80, 120]]
    assert message.artifact["usage"].keys() == {"input_tokens", "output_tokens", "calls"}
    assert out["messages"][-1].content == "Done."


def test_a_graph_of_one_s_own_reads(run: Callable[..., Any]) -> None:
    graph = create_mhm_agent(ScriptedReader(answer="A leg."), sources=SOURCES)
    tool = create_document_tool(graph, name="read_archive", description="Reads the archive.")
    assert (tool.name, tool.description) == ("read_archive", "Reads the archive.")
    assert run(tool, {"source": "letter", "question": "What?"}).startswith(
        "A leg.\n\n(letter was read in 1 step;"
    )


def test_its_arguments_are_described() -> None:
    tool = create_document_tool("extractive", sources=SOURCES)
    assert set(tool.args) == {"source", "question"}
    assert tool.args["source"]["description"] == "Name of the document, one of 'log', 'letter'."
    assert tool.args["question"]["description"]
    assert "whatever its length" in tool.description


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("diary", "There is no source 'diary'; the sources are 'log', 'letter'."),
        ("", "source='' is not allowed"),
    ],
)
def test_a_source_that_fails_is_told_to_the_model(run: Callable[..., Any], source: str, words: str) -> None:
    model = calling({"source": source, "question": "Who?"})
    out = run(
        create_agent(model, [create_document_tool("extractive", sources=SOURCES)]),
        {"messages": [("user", "Read.")]},
    )
    (message,) = messages(out)
    assert message.status == "error"
    assert words in message.content
    assert words in model.prompts[1]


def test_files_outside_the_folder_are_refused_with_a_message(run: Callable[..., Any], tmp_path: Any) -> None:
    tool = create_document_tool("extractive", sources=tmp_path)
    assert "outside the allowed folder" in run(tool, {"source": "/etc/hostname", "question": "Who?"})


def test_a_model_that_fails_is_told_too(run: Callable[..., Any]) -> None:
    tool = create_document_tool(Failing(step=2), sources=SOURCES, **SMALL)
    assert "ConnectionError: refused" in run(tool, {"source": "log", "question": "Who?"})


def test_an_argument_that_is_missing_is_told_to_the_model(run: Callable[..., Any]) -> None:
    out = run(
        create_agent(calling({"source": "log"}), [create_document_tool("extractive", sources=SOURCES)]),
        {"messages": [("user", "Read.")]},
    )
    (message,) = messages(out)
    assert message.status == "error"
    assert "question" in message.content


def test_two_calls_at_once_and_a_later_one_have_memories_of_their_own(run: Callable[..., Any]) -> None:
    """Also where the agent's checkpointer stores them."""
    reader = noting_reader()
    tool = create_document_tool(reader, sources=SOURCES, **SMALL)
    model = calling({"source": "log", "question": "Who?"}, {"source": "letter", "question": "What?"})
    agent = create_agent(model, [tool], checkpointer=InMemorySaver())
    first, second = messages(run(agent, {"messages": [("user", "Read.")]}, THREAD))
    assert (first.artifact["step"], second.artifact["step"]) == (4, 1)
    assert [head["text"] for head in second.artifact["heads"]] == ["[0:0-16]", "", ""]
    model._prompts.clear()
    again = messages(run(agent, {"messages": [("user", "Once more.")]}, THREAD))[-2:]
    assert [message.content for message in again] == [first.content, second.content]


class Dying(ScriptedReader):
    """Dies once at a step, as a process does: with what no tool turns into a message."""

    died = False

    def update(self, request: Any) -> Any:
        if request.step == 2 and not self.died:
            self.died = True
            raise KeyboardInterrupt
        return super().update(request)


def test_a_reading_that_broke_off_goes_on_with_the_agent_s_run() -> None:
    reader = Dying()
    tool = create_document_tool(reader, sources=SOURCES, **SMALL)
    model = calling({"source": "log", "question": "Who?"})
    agent = create_agent(model, [tool], checkpointer=InMemorySaver())
    with pytest.raises(KeyboardInterrupt):
        agent.invoke({"messages": [("user", "Read.")]}, THREAD)
    (message,) = messages(agent.invoke(None, THREAD))
    assert message.artifact["step"] == 4
    assert [request.step for request in reader.updates] == [0, 1, 2, 3]
    assert len(model.prompts) == 2


def test_the_reading_is_watched_through_the_agent_and_stays_out_of_its_chat() -> None:
    reading = ScriptedChatModel(replies=["a fact"])
    tool = create_document_tool(reading, sources=SOURCES, **SMALL)
    agent = create_agent(calling({"source": "log", "question": "Who?"}), [tool])
    given: Any = {"messages": [("user", "Read.")]}
    parts = list(agent.stream(given, stream_mode=["custom", "messages"], subgraphs=True))
    told = [part["type"] for _, mode, part in parts if mode == "custom"]
    assert told == ["head_updated"] * 4 + ["answered"]
    assert {part[1]["langgraph_node"] for _, mode, part in parts if mode == "messages"} == {"model", "tools"}
    assert all(part[0].content != "a fact" for _, mode, part in parts if mode == "messages")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: create_document_tool(create_mhm_agent("extractive"), heads=2),
            "heads can not go with a graph",
        ),
        (
            lambda: create_document_tool(create_mhm_agent("extractive"), sources="."),
            "sources can not go with",
        ),
        (lambda: create_document_tool("extractive", heads=0), "heads=0 is not allowed"),
        (lambda: create_document_tool("extractive", checkpointer=InMemorySaver()), "A checkpointer is not"),
        (
            lambda: create_document_tool(create_mhm_agent("extractive", checkpointer=True)),
            "A checkpointer is not",
        ),
    ],
)
def test_wrong_settings_are_found_when_the_tool_is_made(make: Callable[[], BaseTool], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make()


def test_without_sources_it_warns_of_what_the_model_may_read(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        create_document_tool("extractive")
        create_document_tool("extractive", sources=SOURCES)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "create_document_tool was given no sources"
    ]
