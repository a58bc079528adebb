"""`heads="auto"`: a new thread's number of heads, by the length of its first text, for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from mhm_langgraph import Budget, BudgetError, Chunk, Settings, SettingsError, Source, create_mhm_agent
from mhm_langgraph.sources import InlineSource
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from tests.integration.conftest import document

THREAD: Any = {"configurable": {"thread_id": "1"}}


def agent(reader: Any = None, **options: Any) -> Any:
    """Chunks of 40 characters, as `document` is made of."""
    given = {"heads": "auto", "chunk_tokens": 10, **options}
    return create_mhm_agent(reader or ScriptedReader(), **given)


@pytest.mark.parametrize(("steps", "heads"), [(1, 1), (4, 2), (8, 4), (50, 8)])
async def test_the_length_decides(steps: int, heads: int) -> None:
    reader = ScriptedReader()
    given = {"question": "?", "document": document(steps)}
    out = agent(reader).invoke(given)
    assert out["step"] == steps
    assert len(out["heads"]) == heads
    assert {request.head_tokens for request in reader.updates} == {4096 // heads}
    assert (await agent().ainvoke(given))["heads"] == out["heads"]


def test_the_memory_is_shared_out_and_no_head_gets_too_small() -> None:
    reader = ScriptedReader()
    out = agent(reader, memory_tokens=1000).invoke({"document": document(50)})
    assert len(out["heads"]) == 2
    assert reader.updates[0].head_tokens == 500


def test_a_text_of_unknown_length_gets_the_papers_four() -> None:
    class Endless(Source):
        def read(self, cursor: int, budget: Budget) -> Chunk | None:
            return Chunk("It rained.", cursor, cursor + 1) if cursor < 50 else None

    out = agent(sources={"log": Endless()}).invoke({"source": "log"})
    assert out["step"] == 50
    assert len(out["heads"]) == 4


def test_a_file_is_measured_in_its_own_units(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("été. " * 400, encoding="utf-8")  # more bytes than characters
    out = agent().invoke({"source": str(path)})
    assert len(out["heads"]) == 8


def test_several_texts_count_together() -> None:
    graph = agent(sources={"a": InlineSource(document(4)), "b": InlineSource(document(4))})
    assert len(graph.invoke({"source": ["a", "b"]})["heads"]) == 4


def test_a_question_alone_gets_four() -> None:
    out = agent(checkpointer=InMemorySaver()).invoke({"question": "?"}, THREAD)
    assert len(out["heads"]) == 4


def test_a_thread_keeps_its_number_whatever_it_reads_later() -> None:
    reader = ScriptedReader()
    graph = agent(reader, checkpointer=InMemorySaver())
    assert len(graph.invoke({"document": document(4)}, THREAD)["heads"]) == 2
    assert len(graph.invoke({"document": document(60)}, THREAD)["heads"]) == 2
    assert {request.head_tokens for request in reader.updates} == {2048}
    assert len(graph.invoke({"question": "?"}, THREAD)["heads"]) == 2


def test_a_thread_of_another_number_goes_on_under_auto_and_the_other_way_round() -> None:
    saver = InMemorySaver()
    create_mhm_agent(ScriptedReader(), heads=3, chunk_tokens=10, checkpointer=saver).invoke(
        {"document": document(4)}, THREAD
    )
    reader = ScriptedReader()
    assert len(agent(reader, checkpointer=saver).invoke({"document": document(4)}, THREAD)["heads"]) == 3
    assert reader.updates[0].head_tokens == 4096 // 3
    fixed = create_mhm_agent(ScriptedReader(), heads=8, checkpointer=saver)
    with pytest.raises(SettingsError, match="this thread's memory has 3 heads"):
        fixed.invoke({"question": "?"}, THREAD)


def test_a_runs_context_may_ask_for_it() -> None:
    graph = create_mhm_agent(ScriptedReader(), chunk_tokens=10)
    given = {"document": document(50)}
    assert len(graph.invoke(given)["heads"]) == 4
    assert len(graph.invoke(given, context={"heads": "auto"})["heads"]) == 8
    assert len(graph.invoke(given, context=Settings(heads="auto", memory_tokens=600))["heads"]) == 2


FIXED: dict[str, Any] = {"heads": 2, "head_tokens": 64}
AUTO: dict[str, Any] = {"heads": "auto"}


@pytest.mark.parametrize(
    ("factory", "context", "heads", "tokens"),
    [
        (AUTO, {"memory_tokens": 2048}, 8, 256),
        (AUTO, {"heads": 4, "head_tokens": 64}, 4, 64),
        (AUTO | {"memory_tokens": 600}, {"heads": 4, "head_tokens": 64}, 4, 64),
        (FIXED, {"heads": "auto", "memory_tokens": 2048}, 8, 256),
        (FIXED, {"head_tokens": 32}, 2, 32),
        (FIXED, {"heads": 3}, 3, 64),
    ],
)
def test_a_runs_context_is_taken_together_with_the_factory(
    factory: dict[str, Any], context: dict[str, Any], heads: int, tokens: int
) -> None:
    for given in (context, Settings(**context)):
        reader = ScriptedReader(update="x")
        out = agent(reader, **factory).invoke({"document": document(50)}, context=given)
        assert (len(out["heads"]), reader.updates[0].head_tokens) == (heads, tokens)


@pytest.mark.parametrize(
    ("factory", "context", "words"),
    [
        (AUTO, {"head_tokens": 64}, "head_tokens=64 is not used with heads='auto'"),
        (FIXED, {"heads": "auto"}, "head_tokens=64 is not used with heads='auto'"),
        (FIXED, {"memory_tokens": 2048}, "memory_tokens=2048 is used with heads='auto' only"),
        (AUTO | {"memory_tokens": 600}, {"heads": 4}, "memory_tokens=600 is used with heads='auto' only"),
        (FIXED, {"parallel_heads": 8}, "parallel_heads=8 is not allowed: with heads=2 it is 1 to 2"),
        (FIXED | {"parallel_heads": 2}, {"heads": 1}, "parallel_heads=2 is not allowed"),
    ],
)
@pytest.mark.parametrize("use_async", [False, True])
async def test_a_context_that_does_not_go_with_the_factory_is_refused_before_anything_is_stored(
    factory: dict[str, Any], context: dict[str, Any], words: str, use_async: bool
) -> None:
    saver = InMemorySaver()
    graph = agent(checkpointer=saver, **factory).with_config(tags=["copied"])
    given: Any = {"question": "?", "document": document(4)}
    if use_async:
        with pytest.raises(SettingsError, match=words):
            await graph.ainvoke(given, THREAD, context=context)
    else:
        with pytest.raises(SettingsError, match=words):
            graph.invoke(given, THREAD, context=Settings(**context))
    assert not list(saver.list(THREAD))


def test_the_check_of_the_window_knows_the_size() -> None:
    model = ScriptedChatModel(replies=["noted"], profile={"max_input_tokens": 5000})
    with pytest.raises(BudgetError, match="8 heads x"):
        agent(model, memory_tokens=8192, chunk_tokens=10).invoke({"question": "?", "document": document(50)})
    assert not model.prompts


def test_a_run_that_was_stopped_goes_on_with_its_number() -> None:
    saver = InMemorySaver()
    graph = agent(checkpointer=saver)
    for number, _ in enumerate(graph.stream({"document": document(50)}, THREAD)):
        if number == 20:
            break
    out = agent(checkpointer=saver).invoke(None, THREAD)
    assert len(out["heads"]) == 8
    assert out["step"] == 50
