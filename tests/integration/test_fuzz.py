"""Any settings and any input: a clear MHMError or a right result, never a traceback from deep inside."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhm_langgraph import MHMError, create_mhm_agent
from mhm_langgraph.state import empty_heads, only_selected, write_heads
from tests.integration.conftest import noting_reader

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**9), max_value=10**9),
    st.sampled_from([0, -1, 1, 10**6, 2**63, float("nan"), float("inf"), -0.0, 4.0]),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.builds(object),
)
NUMBERS = ["heads", "head_tokens", "chunk_tokens", "answer_tokens", "seed"]
TEXT = st.text(st.characters(exclude_categories=()), max_size=300)  # half surrogate pairs and NUL too


@given(st.dictionaries(st.sampled_from([*NUMBERS, "selector", "prompts", "token_counter", "sources"]), JUNK))
def test_any_settings_build_a_graph_or_say_what_is_wrong(settings: dict[str, Any]) -> None:
    with contextlib.suppress(MHMError):
        create_mhm_agent("extractive", **settings)


@given(st.dictionaries(st.sampled_from([*NUMBERS, "selector", "prompts", "nonsense"]), JUNK))
def test_any_context_runs_or_says_what_is_wrong(context: dict[str, Any]) -> None:
    graph = create_mhm_agent(noting_reader())
    with contextlib.suppress(MHMError):
        assert graph.invoke({"question": "?", "document": "Some text."}, context=context)["step"] >= 1


@given(JUNK | st.dictionaries(st.sampled_from(["question", "document", "source", "heads"]), JUNK | TEXT))
def test_any_input_runs_or_says_what_is_wrong(given_input: Any) -> None:
    if given_input is None:  # LangGraph's own way to resume
        return
    graph = create_mhm_agent(noting_reader(), sources={"named": ["One.", "Two."]})
    with contextlib.suppress(MHMError):
        assert graph.invoke(given_input)["usage"]["calls"] >= 1


@given(document=TEXT, question=TEXT, tokens=st.integers(min_value=1, max_value=60))
def test_any_text_is_read_whole_or_refused(document: str, question: str, tokens: int) -> None:
    reader = noting_reader()
    graph = create_mhm_agent(reader, heads=2, chunk_tokens=tokens)
    with contextlib.suppress(MHMError):
        graph.invoke({"question": question, "document": document})
        assert "".join(request.chunk for request in reader.updates) == document


@given(document=TEXT, question=TEXT, tokens=st.integers(min_value=1, max_value=60))
def test_the_extractive_reader_reads_any_text(document: str, question: str, tokens: int) -> None:
    graph = create_mhm_agent("extractive", heads=2, head_tokens=tokens, chunk_tokens=tokens)
    with contextlib.suppress(MHMError):
        out = graph.invoke({"question": question, "document": document})
        assert all(head["tokens"] <= tokens for head in out["heads"])


def test_a_question_of_a_megabyte_is_asked() -> None:
    reader = noting_reader()
    create_mhm_agent(reader).invoke({"question": "why? " * 200_000, "document": "Some text."})
    assert len(reader.answers[0].question) == 1_000_000


class Unshowable:
    """What can not even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("value", [10**5000, Unshowable()], ids=["a long number", "a failing repr"])
def test_what_python_can_not_show_is_refused_in_a_sentence_too(value: Any) -> None:
    graph = create_mhm_agent("extractive", sources={"named": ["One."]})
    inputs: list[Any] = [{"question": value}, {"document": value}, {"source": value}, {"source": [value]}]
    for given_input in [*inputs, {value: "x"}, value]:
        with pytest.raises(MHMError, match=r"needed|pass"):
            graph.invoke(given_input)
    for setting in [*NUMBERS, "selector", "prompts", "recall_ranking", "grounding_rule", "token_counter"]:
        with pytest.raises(MHMError, match=setting):
            create_mhm_agent("extractive", **{setting: value})
    with pytest.raises(MHMError, match="sources="):
        create_mhm_agent("extractive", sources=value)
    with pytest.raises(MHMError, match="is not a source"):
        create_mhm_agent("extractive", sources={"x": value})
    for write in ({"select": value}, {"select": [value]}, {"head": value, "step": 0}, value, [value]):
        with pytest.raises(MHMError):
            write_heads(only_selected(empty_heads(1), 0), write)
