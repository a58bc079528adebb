"""A thread is a memory (Contract 5), and time travel through it is exact (Contract 6)."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.types import Overwrite

from mhm_langgraph import ReaderError, SettingsError, SourceError, create_mhm_agent
from mhm_langgraph.state import empty_heads
from mhm_langgraph.testing import ScriptedReader
from tests.integration.conftest import document, noting_reader

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
THREAD: Any = {"configurable": {"thread_id": "1"}}


def texts(state: Any) -> list[str]:
    """The heads of an output or a state snapshot."""
    values = state if isinstance(state, dict) else state.values
    return [head["text"] for head in values.get("heads", [])]


def history(graph: Any, config: Any = THREAD) -> dict[str, list[str]]:
    """Every checkpoint's heads."""
    return {
        snapshot.config["configurable"]["checkpoint_id"]: texts(snapshot)
        for snapshot in graph.get_state_history(config)
    }


def at(graph: Any, node: str, step: int) -> Any:
    """The checkpoint before a node at a step."""
    return next(
        snapshot
        for snapshot in graph.get_state_history(THREAD)
        if snapshot.next == (node,) and snapshot.values.get("step", 0) == step
    )


def test_a_second_question_is_answered_from_memory_at_one_call(database: Any) -> None:
    with database() as saver:
        create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL).invoke(
            {"question": "first", "document": document(4)}, THREAD
        )
    reader = noting_reader()
    with database() as saver:
        out = create_mhm_agent(reader, checkpointer=saver, **SMALL).invoke({"question": "second"}, THREAD)
    assert not reader.updates
    assert out["usage"]["calls"] == 1
    assert out["answer"] == "[0:0-40][3:120-160] | [1:40-80] | [2:80-120]"


def test_a_second_document_goes_into_the_same_heads_from_its_own_start(database: Any) -> None:
    with database() as saver:
        create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL).invoke(
            {"question": "first", "document": document(4)}, THREAD
        )
    reader = noting_reader()
    with database() as saver:
        graph = create_mhm_agent(reader, checkpointer=saver, **SMALL)
        out = graph.invoke({"document": "Another text."}, THREAD)
        assert out["step"] == 5
        assert out["answer"] is None
        assert reader.updates[0].question is None
        assert texts(out) == ["[0:0-40][3:120-160]", "[1:40-80][4:0-13]", "[2:80-120]"]
        state = graph.get_state(THREAD).values
        assert (state["source"], state["span"], state["question"]) == (None, None, None)


def test_threads_do_not_see_each_other(database: Any) -> None:
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        graph.invoke({"document": document(3)}, THREAD)
        out = graph.invoke({"question": "?"}, {"configurable": {"thread_id": "2"}})
    assert texts(out) == ["", "", ""]


def test_another_number_of_heads_on_a_thread_is_refused(database: Any) -> None:
    with database() as saver:
        create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL).invoke({"document": "One."}, THREAD)
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, heads=5)
        with pytest.raises(SettingsError, match="heads=5 is not allowed here: this thread's memory has 3"):
            graph.invoke({"question": "?"}, THREAD)


class Failing(ScriptedReader):
    """Fails once at a step."""

    def __init__(self, step: int) -> None:
        super().__init__(update=noting_reader()._update, answer=noting_reader()._answer)
        self.step, self.failed = step, False

    def update(self, request: Any) -> Any:
        if request.step == self.step and not self.failed:
            self.failed = True
            raise ConnectionError("refused")
        return super().update(request)


@pytest.mark.parametrize("given", ["document", "source"])
def test_a_run_that_broke_off_goes_on_where_it_stopped(database: Any, tmp_path: Any, given: str) -> None:
    text = document(6)
    (tmp_path / "text.txt").write_text(text)
    options: dict[str, Any] = {**SMALL, "sources": tmp_path}
    start = {"question": "?", given: text if given == "document" else "text.txt"}
    undisturbed = create_mhm_agent(noting_reader(), **options).invoke(start)
    reader = Failing(step=4)
    with database() as saver:
        graph = create_mhm_agent(reader, checkpointer=saver, **options)
        with pytest.raises(ReaderError, match="at step 4"):
            graph.invoke(start, THREAD)
    with database() as saver:
        out = create_mhm_agent(reader, checkpointer=saver, **options).invoke(None, THREAD)
    assert out["heads"] == undisturbed["heads"]
    assert out["answer"] == undisturbed["answer"]
    assert [request.step for request in reader.updates] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("fresh", [{"question": "new"}, {"document": "New text."}])
def test_a_new_run_after_one_that_broke_off_inherits_its_memory_only(database: Any, fresh: Any) -> None:
    reader = Failing(step=2)
    with database() as saver:
        graph = create_mhm_agent(reader, checkpointer=saver, **SMALL)
        with pytest.raises(ReaderError):
            graph.invoke({"question": "old", "document": document(6)}, THREAD)
        out = graph.invoke(fresh, THREAD)
    assert texts(out)[:2] == ["[0:0-40]", "[1:40-80]"]
    if "question" in fresh:
        assert out["step"] == 2
        assert reader.answers[0].question == "new"
    else:
        assert [request.chunk for request in reader.updates[2:]] == ["New text."]
        assert reader.updates[2].question is None
        assert out["answer"] is None


def test_a_source_that_changed_between_stop_and_resume_is_refused(database: Any, tmp_path: Any) -> None:
    path = tmp_path / "text.txt"
    path.write_text(document(6))
    with database() as saver:
        graph = create_mhm_agent(Failing(step=3), checkpointer=saver, sources=tmp_path, **SMALL)
        with pytest.raises(ReaderError):
            graph.invoke({"question": "?", "source": "text.txt"}, THREAD)
        path.write_text(document(6).replace("Paragraph 0005", "Paragraph 9999"))  # the same size
        with pytest.raises(SourceError, match=r"'text\.txt' has changed since the run began"):
            graph.invoke(None, THREAD)
        path.write_text(document(6))
        assert graph.invoke(None, THREAD)["step"] == 6


@pytest.mark.parametrize("node", ["read_chunk", "select_head", "update_head"])
@pytest.mark.parametrize("step", [0, 3, 6])
@pytest.mark.parametrize("given", ["document", "source"])
def test_a_fork_holds_its_base_and_its_own(
    database: Any, tmp_path: Any, node: str, step: int, given: str
) -> None:
    """Forked with another selector, read again from disk: the base's heads and the fork's writes."""
    text = document(7)
    (tmp_path / "text.txt").write_text(text)
    options: dict[str, Any] = {**SMALL, "sources": tmp_path}
    start = {"question": "?", given: text if given == "document" else "text.txt"}
    with database() as saver:
        create_mhm_agent(noting_reader(), checkpointer=saver, **options).invoke(start, THREAD)
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **options)
        before = history(graph)
        base = at(graph, node, step)
    reader = noting_reader()
    with database() as saver:
        graph = create_mhm_agent(reader, checkpointer=saver, **options)
        forked = graph.invoke(None, base.config, context={"selector": "random", "seed": 3})
    expected = texts(base) or [""] * 3
    for request in reader.updates:
        expected[request.head] += f"[{request.step}:{request.span[0]}-{request.span[1]}]"
    assert texts(forked) == expected
    assert [request.step for request in reader.updates] == list(range(step, 7))
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **options)
        assert texts(graph.get_state(THREAD)) == expected
        after = history(graph)
    assert {key: after[key] for key in before} == before


def test_two_forks_of_one_checkpoint_do_not_mix(database: Any) -> None:
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        graph.invoke({"question": "?", "document": document(6)}, THREAD)
        base = at(graph, "select_head", 2).config
        first = graph.invoke(None, base, context={"selector": "random", "seed": 1})
        tip = graph.get_state(THREAD).config
        graph.invoke(None, base, context={"selector": "random", "seed": 2})
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        assert texts(graph.get_state(tip)) == texts(first)


@pytest.mark.parametrize("node", ["read_chunk", "select_head", "update_head", "answer"])
def test_update_state_on_a_paused_thread_goes_on_from_there(database: Any, node: str) -> None:
    reader = noting_reader()
    with database() as saver:
        graph = create_mhm_agent(reader, checkpointer=saver, **SMALL)
        graph.invoke({"question": "old", "document": document(4)}, THREAD, interrupt_before=[node])
        assert graph.get_state(THREAD).next == (node,)
        graph.update_state(THREAD, {"question": "new"})
    with database() as saver:
        graph = create_mhm_agent(reader, checkpointer=saver, **SMALL)
        assert graph.get_state(THREAD).next == (node,)
        out = graph.invoke(None, THREAD)
    assert [request.step for request in reader.updates] == [0, 1, 2, 3]
    assert reader.answers[0].question == "new"
    assert texts(out) == ["[0:0-40][3:120-160]", "[1:40-80]", "[2:80-120]"]


def test_heads_can_be_set_by_hand_with_overwrite_only(database: Any) -> None:
    by_hand = empty_heads(3)
    by_hand[0]["text"] = "by hand"
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        graph.invoke({"document": document(3)}, THREAD)
        with pytest.raises(Exception, match="Overwrite"):
            graph.update_state(THREAD, {"heads": by_hand})
        graph.update_state(THREAD, {"heads": Overwrite(by_hand)})
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        assert texts(graph.invoke({"question": "?"}, THREAD)) == ["by hand", "", ""]


def test_a_fork_may_read_with_another_chunk_size(database: Any) -> None:
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        graph.invoke({"question": "?", "document": document(6)}, THREAD)
        base = at(graph, "update_head", 2).config
        out = graph.invoke(None, base, context={"chunk_tokens": 20})
    assert texts(out) == ["[0:0-40][3:120-200]", "[1:40-80][4:200-240]", "[2:80-120]"]
