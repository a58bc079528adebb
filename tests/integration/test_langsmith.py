"""What a trace holds, as the real LangSmith client uploads it to a server on loopback."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from benchmarks.sink import Account, Sink
from mhm_langgraph import create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel
from tests.integration.conftest import document

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]

Traced = Callable[..., Account]


@pytest.fixture(params=["sync", "async"])
def traced(request: pytest.FixtureRequest) -> Traced:
    """Runs a graph with tracing on and gives what was uploaded."""

    def run(model: Any, given: dict[str, Any], **options: Any) -> Account:
        import asyncio

        graph = create_mhm_agent(model, heads=3, chunk_tokens=10, head_tokens=50, **options)
        with Sink().running() as sink:
            client = Client(api_url=sink.url, api_key="not-a-key")
            config: Any = {"callbacks": [LangChainTracer(client=client, project_name="test")]}
            if request.param == "sync":
                graph.invoke(given, config)
            else:
                asyncio.run(graph.ainvoke(given, config))
            client.flush()
            client.close()
        return sink.account

    return run


def test_a_run_shows_one_run_a_node(traced: Traced) -> None:
    account = traced(ScriptedChatModel(replies=["a fact"]), {"question": "?", "document": document(4)})
    assert account.runs() == {
        "mhm": 1,
        "read_chunk": 5,
        "select_head": 4,
        "update_head": 4,
        "rewrite head # at step #": 4,
        "answer": 1,
        "answer from heads": 1,
    }


def test_a_round_shows_one_run_an_update_and_no_text_twice(traced: Traced) -> None:
    model = ScriptedChatModel(replies=["a fact"])
    account = traced(model, {"question": "?", "document": document(4)}, parallel_heads=3)
    assert account.runs() == {
        "mhm": 1,
        "read_chunk": 3,
        "select_head": 2,
        "update_head": 2,
        "rewrite_head": 4,
        "rewrite head # at step #": 4,
        "answer": 1,
        "answer from heads": 1,
    }
    facts = [extra["metadata"] for extra in account.read("extra", "rewrite_head")]
    assert sorted((fact["mhm_step"], fact["mhm_head"]) for fact in facts) == [(0, 0), (1, 1), (2, 2), (3, 0)]
    assert account.read("inputs", "rewrite_head").count({"number": 0}) == 2
    for name in ("read_chunk", "select_head", "update_head", "rewrite_head", "answer"):
        for field in ("inputs", "outputs", "extra"):
            assert "Paragraph" not in str(account.read(field, name)), (name, field)


def test_an_update_carries_its_facts_and_a_tag_of_its_head(traced: Traced) -> None:
    model = ScriptedChatModel(replies=["one", "two", "three", "", "", "five", "done"])
    account = traced(model, {"question": "?", "document": document(5)})
    facts = sorted(
        (extra["metadata"] for extra in account.read("extra", "update_head")), key=lambda m: m["mhm_step"]
    )
    assert [m["mhm_head"] for m in facts] == [0, 1, 2, 0, 1]
    assert [m["mhm_span"] for m in facts] == [[n * 40, n * 40 + 40] for n in range(5)]
    assert [m["mhm_empty"] for m in facts] == [False, False, False, True, False]
    assert [m["mhm_retried"] for m in facts] == [False, False, False, True, False]
    assert [m["mhm_cut"] for m in facts] == [False] * 5
    assert [m["mhm_chunk_tokens"] for m in facts] == [10] * 5
    assert [(m["mhm_head_tokens_before"], m["mhm_head_tokens"]) for m in facts] == [
        (0, 1),
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 1),
    ]
    for name, of_head_0 in (("update_head", 2), ("rewrite head # at step #", 3)):  # one was asked for twice
        tags = sorted(tag for tags in account.read("tags", name) for tag in tags if "head" in tag)
        assert tags == ["mhm:head:0"] * of_head_0 + ["mhm:head:1"] * 2 + ["mhm:head:2"]


def test_the_document_goes_out_with_the_root_alone(traced: Traced) -> None:
    text = document(30)
    account = traced(ScriptedChatModel(replies=["a fact"]), {"question": "?", "document": text})
    chunk = text[400:438]
    assert chunk in str(account.read("inputs", "mhm"))
    for name in account.runs():
        if name in ("mhm", "rewrite head # at step #"):
            continue
        for field in ("inputs", "outputs", "extra"):
            assert "Paragraph" not in str(account.read(field, name)), (name, field)
    shown = [str(value) for value in account.read("inputs", "rewrite head # at step #")]
    assert all(value.count("Paragraph") == 1 for value in shown)  # its own chunk


def test_losses_are_found_from_the_outputs_of_updates(traced: Traced) -> None:
    """The function of docs/langsmith.md, on the runs as they were uploaded."""
    import re
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "langsmith.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "langsmith.md", "exec"), names)  # noqa: S102  # our own page
    model = ScriptedChatModel(replies=["the key is 7", "b", "c", "the key is gone", "e", "done"])
    account = traced(model, {"question": "?", "document": document(5)})
    runs = [
        SimpleNamespace(metadata=extra["metadata"], outputs=outputs)
        for extra, outputs in zip(
            account.read("extra", "update_head"), account.read("outputs", "update_head"), strict=True
        )
    ]
    assert list(names["losses"](runs, "key is 7")) == [
        {"step": 3, "head": 0, "before": "the key is 7", "after": "the key is gone"}
    ]
