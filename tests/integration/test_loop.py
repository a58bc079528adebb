"""The loop over the real graph: what is read, written, asked and told (Contract 1 to 4, 7 to 9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from mhm_langgraph import MHMError, ReaderError, SettingsError, SourceError, create_mhm_agent
from mhm_langgraph.state import HeadWrite
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from tests.integration.conftest import document, noting_reader

Run = Callable[..., Any]
SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Invokes a graph, both ways."""
    if request.param == "sync":
        return lambda graph, *args, **options: graph.invoke(*args, **options)
    return lambda graph, *args, **options: asyncio.run(graph.ainvoke(*args, **options))


def events(graph: Any, given: Any, **options: Any) -> list[dict[str, Any]]:
    return list(graph.stream(given, stream_mode="custom", **options))


@pytest.mark.parametrize("chunks", [1, 2, 7, 20])
def test_n_chunks_cost_n_updates_and_one_answer(run: Run, chunks: int) -> None:
    model = ScriptedChatModel(replies=["a fact"])
    out = run(create_mhm_agent(model, **SMALL), {"question": "What?", "document": document(chunks)})
    assert len(model.prompts) == chunks + 1
    assert out["usage"]["calls"] == chunks + 1
    assert out["step"] == chunks
    assert out["usage"]["input_tokens"] > 0
    assert out["usage"]["output_tokens"] > 0


def test_every_update_prompt_holds_question_all_heads_and_chunk() -> None:
    model = ScriptedChatModel(replies=[f"fact number {n}" for n in range(9)])
    text = document(6)
    create_mhm_agent(model, **SMALL).invoke({"question": "Who was it?", "document": text})
    for step, prompt in enumerate(model.prompts[:6]):
        assert "Who was it?" in prompt
        assert text[step * 40 : step * 40 + 38] in prompt
        for earlier in range(max(0, step - 3), step):
            assert f"fact number {earlier}" in prompt
    assert all(f"fact number {n}" in model.prompts[-1] for n in (3, 4, 5))


def test_lru_writes_the_heads_in_turn_and_leaves_the_others(run: Run) -> None:
    out = run(create_mhm_agent(noting_reader(), **SMALL), {"question": "?", "document": document(8)})
    assert [head["text"] for head in out["heads"]] == [
        "[0:0-40][3:120-160][6:240-280]",
        "[1:40-80][4:160-200][7:280-320]",
        "[2:80-120][5:200-240]",
    ]
    assert [head["updated_at"] for head in out["heads"]] == [6, 7, 5]
    assert [head["span"] for head in out["heads"]] == [[240, 280], [280, 320], [200, 240]]


def test_one_head_is_the_single_memory_agent() -> None:
    reader = noting_reader()
    create_mhm_agent(reader, heads=1, chunk_tokens=10).invoke({"question": "?", "document": document(5)})
    assert [request.head for request in reader.updates] == [0] * 5
    assert len(reader.updates[4].heads) == 1


def test_chunks_cover_the_document_in_order() -> None:
    reader = noting_reader()
    text = document(9) + "and a last line without an end"
    create_mhm_agent(reader, **SMALL).invoke({"question": "?", "document": text})
    assert "".join(request.chunk for request in reader.updates) == text
    spans = [request.span for request in reader.updates]
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    assert all(left[1] == right[0] for left, right in pairwise(spans))


def test_heads_without_an_update_say_so() -> None:
    out = create_mhm_agent(noting_reader(), **SMALL).invoke({"question": "?", "document": "Short."})
    assert [head["updated_at"] for head in out["heads"]] == [0, -1, -1]
    assert out["heads"][2]["text"] == ""
    assert out["heads"][2]["span"] is None


def test_progress_tells_of_every_update_and_the_answer() -> None:
    told = events(create_mhm_agent(noting_reader(), **SMALL), {"question": "?", "document": document(4)})
    assert [event["type"] for event in told] == ["head_updated"] * 4 + ["answered"]
    assert [event["step"] for event in told[:4]] == [0, 1, 2, 3]
    assert [event["head"] for event in told[:4]] == [0, 1, 2, 0]
    assert [event["read"] for event in told[:4]] == [40, 80, 120, 160]
    assert {event["total"] for event in told[:4]} == {160}
    assert told[3]["head_tokens_before"] == 2
    assert told[-1]["answer"] == "[0:0-40][3:120-160] | [1:40-80] | [2:80-120]"


def test_updates_show_the_head_that_changed() -> None:
    graph = create_mhm_agent(noting_reader(), **SMALL)
    updates = list(graph.stream({"question": "?", "document": document(2)}, stream_mode="updates"))
    assert [next(iter(update)) for update in updates] == [
        *["read_chunk", "select_head", "update_head"] * 2,
        "read_chunk",
        "answer",
    ]
    write = updates[5]["update_head"]["heads"]
    assert (write["head"], write["text"], write["span"]) == (1, "[1:40-80]", [40, 80])


@pytest.mark.parametrize("replies", [["", ""], ["<think>hm</think>", "```\n```"]])
def test_an_empty_reply_is_asked_for_once_more_and_never_empties_a_head(replies: list[str]) -> None:
    model = ScriptedChatModel(replies=["first", "second", "third", *replies, "fifth", "answer"])
    graph = create_mhm_agent(model, **SMALL)
    told = events(graph, {"question": "?", "document": document(5)})
    assert [event.get("empty") for event in told] == [False, False, False, True, False, False]
    assert told[3]["retried"]
    assert told[3]["head"] == 0
    assert told[4]["head"] == 1  # the rotation goes on
    assert "first" in model.prompts[-1]  # what head 0 held stays


def test_an_empty_reply_keeps_the_head_with_its_span() -> None:
    model = ScriptedChatModel(replies=["first", "second", "third", "", "", "answer"])
    out = create_mhm_agent(model, **SMALL).invoke({"question": "?", "document": document(4)})
    assert out["heads"][0]["text"] == "first"
    assert out["heads"][0]["span"] == [0, 40]
    assert out["heads"][0]["updated_at"] == 3
    assert out["usage"]["calls"] == 6


def test_a_failing_model_is_a_reader_error_with_step_span_and_cause(run: Run) -> None:
    model = ScriptedChatModel(replies=["first", ConnectionError("refused")])
    with pytest.raises(ReaderError, match=r"at step 1, chunk \[40, 80\]: ConnectionError: refused") as caught:
        run(create_mhm_agent(model, **SMALL), {"question": "?", "document": document(4)})
    assert (caught.value.step, caught.value.span) == (1, [40, 80])
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_a_question_without_memory_is_one_call(run: Run) -> None:
    model = ScriptedChatModel(replies=["I do not know."])
    out = run(create_mhm_agent(model, **SMALL), {"question": "Who?"})
    assert out["answer"] == "I do not know."
    assert len(model.prompts) == 1


def test_a_document_without_a_question_is_read_and_not_answered(run: Run) -> None:
    model = ScriptedChatModel(replies=["a fact"])
    out = run(create_mhm_agent(model, **SMALL), {"document": document(3)})
    assert out["answer"] is None
    assert len(model.prompts) == 3
    assert "later question" in model.prompts[0]  # the general prompt
    assert "<question>" not in model.prompts[0]


def test_several_sources_are_read_one_after_the_other(tmp_path: Any) -> None:
    (tmp_path / "one.txt").write_text(document(2))
    (tmp_path / "two.txt").write_text("The second file.")
    reader = noting_reader()
    graph = create_mhm_agent(reader, sources=tmp_path, **SMALL)
    told = events(graph, {"question": "?", "document": "First.", "source": ["one.txt", "two.txt"]})
    assert [event["source"] for event in told[:-1]] == [None, "one.txt", "one.txt", "two.txt"]
    assert [event["read"] for event in told[:-1]] == [6, 46, 86, 102]
    assert {event["total"] for event in told[:-1]} == {102}
    assert [request.chunk for request in reader.updates][-1] == "The second file."


def test_a_missing_source_is_found_before_the_first_call(tmp_path: Any) -> None:
    (tmp_path / "one.txt").write_text(document(2))
    reader = noting_reader()
    graph = create_mhm_agent(reader, sources=tmp_path, **SMALL)
    with pytest.raises(SourceError, match=r"two\.txt can not be read: No such file"):
        graph.invoke({"question": "?", "source": ["one.txt", "two.txt"]})
    assert not reader.updates


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, SettingsError, "a question, a document or a source is needed"),
        ({"qestion": "?"}, SettingsError, "qestion"),
        ({"question": 7}, SettingsError, "question=7"),
        ({"question": " "}, SettingsError, "some text is needed"),
        ({"question": "\ud800"}, SourceError, "surrogate"),
        ({"document": ""}, SourceError, "empty"),
        ({"document": b"bytes"}, SourceError, "bytes"),
        ({"document": [1]}, SourceError, "int"),
        ({"document": "a\udfffb"}, SourceError, "character 1"),
        ({"source": ""}, SourceError, "source=''"),
        ({"source": ["a", None]}, SourceError, "source="),
        ("text", SettingsError, "a dict with question"),
    ],
)
def test_wrong_input_is_one_clear_sentence(run: Run, given: Any, error: type[MHMError], words: str) -> None:
    with pytest.raises(error, match=words):
        run(create_mhm_agent(noting_reader(), **SMALL), given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 0}, "heads=0"),
        ({"heads": True}, "heads=True"),
        ({"head_tokens": "many"}, "head_tokens='many'"),
        ({"chunk_tokens": -5}, "chunk_tokens=-5"),
        ({"selector": "newest"}, r"selector='newest'.*'lru', 'random' or 'relevance'"),
        ({"selector": 3}, "selector=3"),
        ({"prompts": "long"}, "prompts='long'.*'standard', 'compact' or 'document-first'"),
        ({"token_counter": "bpe"}, "token_counter='bpe'"),
        ({"sources": 5}, "sources=5"),
    ],
)
def test_wrong_settings_are_found_when_the_graph_is_built(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        create_mhm_agent("extractive", **options)


def test_a_run_s_context_overrides_what_it_names_and_no_more(run: Run) -> None:
    reader = noting_reader()
    graph = create_mhm_agent(reader, heads=2, chunk_tokens=10, head_tokens=77)
    run(graph, {"question": "?", "document": document(4)}, context={"chunk_tokens": 20})
    assert len(reader.updates) == 2
    assert {request.head_tokens for request in reader.updates} == {77}
    assert len(reader.updates[0].heads) == 2


@pytest.mark.parametrize("context", [{"head": 3}, {"heads": 0}, {"selector": "newest"}])
def test_a_wrong_context_is_refused(run: Run, context: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(context))):
        run(create_mhm_agent(noting_reader(), **SMALL), {"question": "?"}, context=context)


def test_somebody_else_s_context_is_left_alone(run: Run) -> None:
    reader = noting_reader()
    run(create_mhm_agent(reader, **SMALL), {"question": "?", "document": document(4)}, context=object())
    assert len(reader.updates) == 4


def test_random_is_seeded(run: Run) -> None:
    def order(seed: int) -> list[int]:
        reader = noting_reader()
        run(
            create_mhm_agent(reader, selector="random", seed=seed, **SMALL),
            {"question": "?", "document": document(12)},
        )
        return [request.head for request in reader.updates]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_relevance_costs_one_call_more_a_step(run: Run) -> None:
    picks = iter([2, 2, 0])
    reader = ScriptedReader(pick=lambda request: next(picks))
    out = run(
        create_mhm_agent(reader, selector="relevance", **SMALL), {"question": "?", "document": document(3)}
    )
    assert [request.head for request in reader.updates] == [2, 2, 0]
    assert out["usage"]["calls"] == 7


def test_relevance_without_a_number_falls_back_to_lru() -> None:
    reader = ScriptedReader(pick=lambda request: None)
    create_mhm_agent(reader, selector="relevance", **SMALL).invoke({"document": document(4)})
    assert [request.head for request in reader.updates] == [0, 1, 2, 0]


def test_a_user_s_function_selects(run: Run) -> None:
    reader = noting_reader()
    graph = create_mhm_agent(reader, selector=lambda turn: int("0003" in turn.chunk), **SMALL)
    run(graph, {"question": "?", "document": document(5)})
    assert [request.head for request in reader.updates] == [0, 0, 0, 1, 0]


async def test_a_user_s_async_function_selects() -> None:
    async def last(turn: Any) -> int:
        await asyncio.sleep(0)
        return len(turn.heads) - 1

    reader = noting_reader()
    graph = create_mhm_agent(reader, selector=last, **SMALL)
    await graph.ainvoke({"question": "?", "document": document(2)})
    assert [request.head for request in reader.updates] == [2, 2]


@pytest.mark.parametrize("wrong", [3, -1, True, "0", None, 1.0])
def test_a_selector_that_names_no_head_is_told(run: Run, wrong: Any) -> None:
    graph = create_mhm_agent(noting_reader(), selector=lambda turn: wrong, **SMALL)
    with pytest.raises(SettingsError, match="an index from 0 to 2"):
        run(graph, {"question": "?", "document": document(2)})


def test_a_node_that_writes_another_head_raises() -> None:
    from langgraph.graph import StateGraph

    from mhm_langgraph import HeadError, MHMState
    from mhm_langgraph.state import empty_heads

    def writes_the_wrong_one(state: MHMState) -> Any:
        return {"heads": HeadWrite(head=1, step=0, text="wrong")}

    builder = StateGraph(MHMState)
    builder.add_node("start", lambda state: {"heads": empty_heads(2)})
    builder.add_node("select", lambda state: {"heads": {"select": 0}})
    builder.add_node("write", writes_the_wrong_one)
    builder.add_edge("__start__", "start")
    builder.add_edge("start", "select")
    builder.add_edge("select", "write")
    with pytest.raises(HeadError, match="Head 1 is not selected"):
        builder.compile().invoke({"question": "?"})


def test_the_drawing_shows_four_nodes_and_the_loop() -> None:
    drawn = create_mhm_agent("extractive").get_graph()
    assert set(drawn.nodes) == {
        "__start__",
        "read_chunk",
        "select_head",
        "update_head",
        "answer",
        "__end__",
    }
    assert {(edge.source, edge.target) for edge in drawn.edges} == {
        ("__start__", "read_chunk"),
        ("read_chunk", "select_head"),
        ("read_chunk", "answer"),
        ("read_chunk", "__end__"),
        ("select_head", "update_head"),
        ("update_head", "read_chunk"),
        ("answer", "__end__"),
    }
