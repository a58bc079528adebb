"""The graph in LangGraph's own server, as Studio meets it: `langgraph dev`, driven by its client."""

from __future__ import annotations

from typing import Any

import pytest

from graphs.document_qa import from_environment, graph
from mhm_langgraph import Settings, SettingsError
from tests.integration.conftest import document
from tests.integration.langgraph_server import SAILS, Server

# One worker starts the servers; they are reached on loopback only.
pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.xdist_group("server")]

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}


@pytest.fixture
def server(servers: list[Server]) -> Server:
    """As a newcomer starts it: nothing is configured."""
    return servers[0]


@pytest.fixture
def configured(servers: list[Server]) -> Server:
    """With a chat model behind it (over HTTP, on loopback), and a folder whose files may be read."""
    return servers[1]


def texts(state: Any) -> list[str]:
    return [head["text"] for head in state.get("heads", [])]


def test_the_context_schema_shows_every_knob(server: Server) -> None:
    schemas = server.client.assistants.get_schemas(server.assistant)
    knobs = schemas["context_schema"]["properties"]
    assert knobs.keys() == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        assert knobs[name]["default"] == field.default
        assert knobs[name]["description"].endswith(".")
        assert "\n" not in knobs[name]["description"]
        if knobs[name].get("type") in ("integer", "number") and name != "seed":
            assert {"minimum", "exclusiveMinimum"} & knobs[name].keys()
            assert "maximum" in knobs[name]
    number, auto = knobs["heads"]["anyOf"]
    assert (number["type"], number["minimum"], number["maximum"]) == ("integer", 1, 1024)
    assert auto["const"] == "auto"
    assert knobs["selector"]["enum"] == ["lru", "random", "relevance"]
    assert knobs["prompts"]["enum"] == ["standard", "compact", "document-first"]


def test_the_other_schemas_show_what_goes_in_and_out(server: Server) -> None:
    schemas = server.client.assistants.get_schemas(server.assistant)
    given, out = schemas["input_schema"]["properties"], schemas["output_schema"]["properties"]
    assert given.keys() == {"question", "document", "source"}
    assert out.keys() == {"answer", "exited", "heads", "step", "usage"}
    assert all("description" in shown for shown in [*given.values(), out["answer"], out["heads"]])
    assert {"heads", "step", "span"} <= schemas["state_schema"]["properties"].keys()


def test_the_drawing_shows_four_nodes_and_the_loop(server: Server) -> None:
    drawn = server.client.assistants.get_graph(server.assistant)
    names = {node["id"] for node in drawn["nodes"]}
    assert names >= {"read_chunk", "select_head", "update_head", "answer"}
    assert ("update_head", "read_chunk") in {(edge["source"], edge["target"]) for edge in drawn["edges"]}


def test_without_a_model_it_is_extractive_and_says_so(server: Server) -> None:
    told = server.stream({"question": "Who saw sail 3?", "document": SAILS}, stream_mode="custom")
    assert told[-1][1]["type"] == "answered"
    assert told[-1][1]["reader"].startswith("extractive")
    assert "sail number" in told[-1][1]["answer"]
    assert "No model is configured" in server.log.read_text()


def test_an_assistant_has_settings_of_its_own(server: Server) -> None:
    made = server.client.assistants.create("document_qa", context={"heads": 2, "chunk_tokens": 10})
    given = {"question": "Who saw sails?", "document": SAILS}
    own = server.run(given, assistant=made["assistant_id"])
    assert (len(own["heads"]), own["step"]) == (2, 7)
    once = server.run(given, assistant=made["assistant_id"], context={"chunk_tokens": 20})
    assert (len(once["heads"]), once["step"]) == (2, 4)
    usual = server.run(given)
    assert (len(usual["heads"]), usual["step"]) == (4, 1)


def test_rounds_gates_and_their_output_work_on_the_server(server: Server) -> None:
    given = {"question": "Who saw sails?", "document": SAILS}
    context = {**SMALL, "parallel_heads": 3, "update_gate": True, "exit_gate": True}
    parts = server.stream(given, stream_mode=["custom", "updates"], context=context)
    events = [data for event, data in parts if event == "custom"]
    assert sorted(event["step"] for event in events[:-1]) == list(range(7))
    assert [event["read"] for event in events[:-1]] == [40, 80, 120, 160, 200, 240, 280]
    assert {event["gated"] for event in events[:-1]} == {None}
    rounds = [data["update_head"]["heads"] for event, data in parts if "update_head" in data]
    assert [[write["step"] for write in writes] for writes in rounds] == [[0, 1, 2], [3, 4, 5], [6]]


def test_progress_shows_the_head_that_changed(server: Server) -> None:
    given = {"question": "Who saw sails?", "document": SAILS}
    parts = server.stream(given, stream_mode=["custom", "updates"], context=SMALL)
    events = [data for event, data in parts if event == "custom"]
    writes = [data["update_head"]["heads"] for event, data in parts if "update_head" in data]
    assert [event["type"] for event in events] == ["head_updated"] * 7 + ["answered"]
    assert [event["head"] for event in events[:-1]] == [0, 1, 2, 0, 1, 2, 0]
    assert [write["head"] for write in writes] == [0, 1, 2, 0, 1, 2, 0]
    assert [write["span"] for write in writes] == [event["span"] for event in events[:-1]]
    assert all(f"number {step:04d}" in write["text"] for step, write in enumerate(writes))
    assert [event["read"] for event in events[:-1]] == [40, 80, 120, 160, 200, 240, 280]
    assert {event["total"] for event in events[:-1]} == {280}


def test_a_fork_from_a_step_gets_another_memory_and_leaves_the_first(server: Server) -> None:
    thread = server.thread()
    first = server.run({"question": "Who saw sails?", "document": SAILS}, thread, context=SMALL)
    before = {state["checkpoint_id"]: state["values"] for state in server.history(thread)}
    base = next(
        state
        for state in server.history(thread)
        if state["next"] == ["select_head"] and state["values"]["step"] == 3
    )
    context = {**SMALL, "selector": "random", "seed": 3}
    fork = {"checkpoint_id": base["checkpoint_id"], "context": context, "stream_mode": "custom"}
    events = [data for _, data in server.stream(None, thread, **fork)]
    assert [event["step"] for event in events[:-1]] == [3, 4, 5, 6]
    expected = texts(base["values"])
    for event in events[:-1]:  # each sentence is where the fork put it, and nowhere else
        expected[event["head"]] += f"\nAhab saw sail number {event['step']:04d}."
    now = server.client.threads.get_state(thread)["values"]
    assert texts(now) == expected != texts(first)
    after = {state["checkpoint_id"]: state["values"] for state in server.history(thread)}
    assert {key: after[key] for key in before} == before


def test_a_second_question_on_the_thread_costs_one_call(configured: Server) -> None:
    thread = configured.thread()
    configured.run({"question": "Who saw sails?", "document": SAILS}, thread, context=SMALL)
    asked = len(configured.model.journal)
    assert configured.run({"question": "How many?"}, thread, context=SMALL)["usage"]["calls"] == 1
    assert len(configured.model.journal) == asked + 1
    assert "How many?" in configured.model.journal[-1].prompt


def test_a_model_reads_a_chunk_a_call_and_is_named(configured: Server) -> None:
    asked = len(configured.model.journal)
    given = {"question": "Who saw sails?", "document": SAILS}
    told = configured.stream(given, stream_mode="custom", context=SMALL)
    assert told[-1][1]["reader"] == "test"
    assert len(configured.model.journal) == asked + 8


@pytest.mark.parametrize(
    ("given", "context", "words"),
    [
        ({"qestion": "Who?"}, {}, r"keys \['qestion'\]; a question, a document or a source is needed"),
        ({"question": 7}, {}, "question=7 is not allowed"),
        ({"question": "?"}, {"heads": 0}, "heads=0 is not allowed.*greater than or equal to 1"),
        ({"question": "?"}, {"selector": "newest"}, "selector='newest' is not allowed.*'lru', 'random'"),
        ({"question": "?", "source": "/etc/hostname"}, {}, "'/etc/hostname' can not be read.*MHM_SOURCES"),
    ],
)
def test_what_is_wrong_is_told(server: Server, given: Any, context: Any, words: str) -> None:
    thread = server.thread()
    with pytest.raises(Exception, match=words):
        server.run(given, thread, context=context)
    assert server.client.threads.get(thread)["status"] == "error"


def test_after_an_error_server_and_thread_live_on(server: Server) -> None:
    thread = server.thread()
    with pytest.raises(Exception, match="heads='many' is not allowed"):
        server.run({"question": "?"}, thread, context={"heads": "many"})
    out = server.run({"question": "Who saw sails?", "document": SAILS}, thread)
    assert "sail number" in out["answer"]


def test_files_are_read_below_the_allowed_folder_only(configured: Server) -> None:
    out = configured.run({"question": "Who?", "source": "sails.txt"}, context=SMALL)
    assert out["step"] == 7
    assert {head["source"] for head in out["heads"]} == {"sails.txt"}
    with pytest.raises(Exception, match="lies outside the allowed folder"):
        configured.run({"question": "Who?", "source": "../bare/log"})


def test_files_are_refused_where_the_builder_named_no_folder(server: Server) -> None:
    with pytest.raises(Exception, match="a graph in a server reads files only where its builder named their"):
        server.run({"question": "?", "source": "/etc/hostname"}, assistant="careless")


def test_a_selector_that_reads_the_chunk_does_not_block_the_server(configured: Server) -> None:
    given = {"question": "Who?", "source": "sails.txt"}
    out = configured.run(given, context={**SMALL, "selector": "relevance"})
    assert out["usage"]["calls"] == 15
    assert "Blocking" not in configured.log.read_text()


def test_more_chunks_than_the_recursion_limit(server: Server) -> None:
    given = {"question": "?", "document": document(60)}
    out = server.run(given, context=SMALL, config={"recursion_limit": 25})
    assert out["step"] == 60


@pytest.mark.parametrize("stream_answer", [False, True])
def test_only_the_answer_is_streamed_as_messages_and_only_if_asked_for(
    configured: Server, stream_answer: bool
) -> None:
    given = {"question": "Who?", "document": SAILS}
    context = {**SMALL, "stream_answer": stream_answer}
    parts = configured.stream(given, stream_mode="messages-tuple", context=context)
    assert {data[1]["langgraph_node"] for _, data in parts} == ({"answer"} if stream_answer else set())
    assert "".join(data[0]["content"] for _, data in parts).startswith("fact " if stream_answer else "")


def test_the_graph_brings_no_checkpointer() -> None:
    assert graph.checkpointer is None


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"MHM_SOURCES": "/no/such/folder"}, "MHM_SOURCES='/no/such/folder' is not allowed"),
        ({"MHM_MODEL": "gpt"}, "model='gpt' is not allowed"),
        ({"MHM_BASE_URL": "http://127.0.0.1:9"}, "base_url goes with"),
    ],
)
def test_a_wrong_variable_is_told_when_the_server_starts(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        from_environment(variables)


def test_variables_that_are_empty_are_not_set() -> None:
    assert from_environment({"MHM_MODEL": "", "MHM_BASE_URL": "", "MHM_SOURCES": ""}).name == "document_qa"


def test_recall_keeps_what_is_overwritten_in_the_servers_store(server: Server) -> None:
    thread = server.thread()
    question = "Who saw sail number 0003, then number 0006?"
    small = {**SMALL, "heads": 1, "head_tokens": 12, "recall": 4}

    def recalled(given: Any, thread: str) -> list[str]:
        parts = server.stream(given, thread, stream_mode="custom", context=small)
        return [found["text"] for found in parts[-1][1]["recalled"]]

    lost = ["Ahab saw sail number 0000."]
    assert recalled({"question": question, "document": SAILS}, thread) == lost
    kept = server.client.store.search_items(["mhm-archive", thread])["items"]
    assert [item["value"]["text"] for item in kept] == lost
    assert recalled({"question": question}, thread) == lost
    assert recalled({"question": question, "document": SAILS[:40]}, server.thread()) == []
