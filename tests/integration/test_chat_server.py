"""chat_memory in LangGraph's own server, as Studio meets it."""

from __future__ import annotations

from typing import Any

import pytest

from graphs.chat_memory import from_environment, graph
from mhm_langgraph import SettingsError
from tests.integration.langgraph_server import Server

# One worker starts the servers; they are reached on loopback only.
pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.xdist_group("server")]


def say(server: Server, thread: str, text: str, **options: Any) -> Any:
    given = {"messages": [{"role": "user", "content": text}]}
    return server.run(given, thread, assistant="chat_memory", **options)


def heads(state: Any) -> list[str]:
    return [head["text"] for head in (state["values"].get("chat_memory") or {}).get("heads", [])]


def test_it_chats_and_remembers_without_a_model_and_says_what_it_is(servers: list[Server]) -> None:
    server = servers[0]
    thread = server.thread()
    assert "offline model" in say(server, thread, "My dog is called Argos.")["messages"][-1]["content"]
    for number in range(14):
        out = say(server, thread, f"The tram number {number} was late.")
    assert set(out) == {"messages"}, "the memory is the agent's own"
    assert len(out["messages"]) <= 12
    assert not any("Argos" in message["content"] for message in out["messages"])
    asked = say(server, thread, "What is my dog called?")
    assert asked["messages"][-1]["content"] == "“#0 user: My dog is called Argos.”"
    state = server.client.threads.get_state(thread)
    assert "Argos" in "".join(heads(state))
    assert "chat_memory answers with the offline model" in server.log.read_text()
    assert "Blocking" not in server.log.read_text()


def test_its_input_is_messages_alone(servers: list[Server]) -> None:
    found = servers[0].client.assistants.search(metadata={"created_by": "system"}, graph_id="chat_memory")
    schemas = servers[0].client.assistants.get_schemas(found[0]["assistant_id"])
    assert schemas["input_schema"]["properties"].keys() == {"messages"}
    assert "chat_memory" not in schemas["output_schema"]["properties"]
    assert "chat_memory" in schemas["state_schema"]["properties"]


def test_with_a_model_it_talks_and_keeps_the_memory_with_it(servers: list[Server]) -> None:
    server = servers[1]
    thread = server.thread()
    asked = len(server.model.journal)
    events: list[Any] = []
    for number in range(9):
        given = {"messages": [{"role": "user", "content": f"Fact number {number}."}]}
        parts = server.client.runs.stream(
            thread, "chat_memory", input=given, stream_mode=["custom", "values"]
        )
        events += [part.data for part in parts if part.event == "custom"]
    journal = server.model.journal[asked:]
    assert [event["type"] for event in events] == ["head_updated"]
    assert len(journal) == 9 + len(events), "one call of the model a turn, and one of the memory"
    assert "<memory>" in journal[-1].prompt
    assert "Fact number 0." not in journal[-1].prompt.split("</memory>")[1]
    reading = next(asked for asked in journal if "Rewrite head 0" in asked.prompt)
    assert "#0 user: Fact number 0." in reading.prompt


def test_a_fork_on_the_server_has_the_memory_of_its_place(servers: list[Server]) -> None:
    server = servers[0]
    thread = server.thread()
    for number in range(14):
        say(server, thread, f"The tram number {number} was late.")
    before = heads(server.client.threads.get_state(thread))
    *_, first = [state for state in server.history(thread) if heads(state)]
    say(server, thread, "Another day.", checkpoint_id=first["checkpoint"]["checkpoint_id"])
    after = heads(server.client.threads.get_state(thread))
    assert after == heads(first) != before


def test_the_graph_brings_no_checkpointer() -> None:
    assert graph.checkpointer is None
    assert from_environment({"MHM_MODEL": "", "MHM_BASE_URL": ""}).name == "chat_memory"


def test_a_wrong_variable_is_told_when_the_server_starts() -> None:
    with pytest.raises(SettingsError, match="model='gpt' is not allowed"):
        from_environment({"MHM_MODEL": "gpt"})
