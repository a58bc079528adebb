"""All abilities with each other: any two choices meet in a run, and the contract holds in each.

Each run is stopped in the middle by a model that fails once, goes on, and comes to what an undisturbed run
comes to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.memory import InMemoryStore

from mhm_langgraph import STANDARD, ReaderError, create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel
from tests.pairs import every_pair, pairs_of

CHUNKS = 14
TEXT = "".join(
    f"Ahab{n:02} saw 1{n:02} whales off Isle{n:02}.".ljust(38, ".") + "\n\n" for n in range(CHUNKS)
)
THREAD: Any = {"configurable": {"thread_id": "1"}}
OWN = replace(STANDARD, head_label="[{index}] {text}", update_gate="Else say <skip>.")

FACTORS: dict[str, list[Any]] = {
    "heads": [1, 4, "auto"],
    "parallel_heads": [1, 2, 4],
    "selector": ["lru", "random", "relevance"],
    "prompts": ["standard", "compact", "document-first", "own"],
    "recall": [0, 2],
    "recall_updates": [False, True],
    "grounding": ["off", "flag", "reject"],
    "grounding_rule": ["names", "verbatim"],
    "update_gate": [False, True],
    "exit_gate": [False, True],
    "stream_answer": [False, True],
    "mode": ["sync", "async"],
    "kept": ["nowhere", "in memory", "in SQLite"],
    "store": [False, True],
    "given": ["document", "source", "both"],
}


def allowed(one: dict[str, Any]) -> bool:
    """More heads at once than there are is refused."""
    return one.get("heads") != 1 or one.get("parallel_heads", 1) == 1


COMBINATIONS = every_pair(FACTORS, allowed)


def model(*failing: int) -> ScriptedChatModel:
    """A model that fails once at each of these chunks."""
    left = set(failing)

    def reply(prompt: str) -> Any:
        chunks = [int(number) for number in re.findall(r"off Isle(\d\d)", prompt)]
        if not chunks:
            return "Ahab saw whales."
        if "Which head should be rewritten" in prompt:
            return str(chunks[-1] % 3)
        return said(chunks[-1], prompt)

    def said(chunk: int, prompt: str) -> Any:
        if chunk in left:
            left.remove(chunk)
            return RuntimeError(f"no reply to {chunk}")
        if "<skip>" in prompt and chunk % 4 == 1:
            return "**<skip>**"
        invented = " Zanzibar sold 999 ships." if chunk % 3 == 2 else ""
        known = re.findall(r"Ahab\d\d saw \d+ whales", prompt.replace(" off Isle", ""))[:2]
        text = ". ".join(dict.fromkeys([*known, f"Ahab{chunk:02} saw 1{chunk:02} whales"])) + "." + invented
        return f"<enough>\n{text}" if "<enough>" in prompt and chunk == 10 else text

    return ScriptedChatModel(replies=reply)


class Run:
    """One combination on the real graph."""

    def __init__(self, one: dict[str, Any], folder: Path) -> None:
        self.one, self.folder = one, folder
        (folder / "text.txt").write_text(TEXT)
        self.store = InMemoryStore() if one["store"] else None

    def agent(self, llm: Any, saver: Any = None) -> Any:
        ours = ("mode", "kept", "store", "given", "prompts")
        settings = {name: value for name, value in self.one.items() if name not in ours}
        prompts = OWN if self.one["prompts"] == "own" else self.one["prompts"]
        return create_mhm_agent(
            llm,
            prompts=prompts,
            chunk_tokens=10,
            max_retries=0,
            sources=self.folder,
            checkpointer=saver,
            store=self.store,
            **settings,
        )

    @property
    def given(self) -> dict[str, Any]:
        texts = {"document": {"document": TEXT}, "source": {"source": "text.txt"}}
        texts["both"] = {"document": TEXT[:200], "source": "text.txt"}
        return {"question": "Who saw whales?", **texts[self.one["given"]]}

    @property
    def size(self) -> int:
        return len(TEXT) + (200 if self.one["given"] == "both" else 0)

    @contextmanager
    def saver(self, is_async: bool) -> Iterator[Any]:
        """The checkpointer; an async one is opened where it is used."""
        if self.one["kept"] == "nowhere":
            yield None
        elif self.one["kept"] == "in memory":
            yield InMemorySaver()
        elif is_async:
            yield AsyncSqliteSaver.from_conn_string(str(self.folder / "memory.sqlite"))
        else:
            with SqliteSaver.from_conn_string(str(self.folder / "memory.sqlite")) as saver:
                yield saver

    def parts(self, llm: Any, inputs: list[Any], saver: Any, config: Any) -> list[Any]:
        """What runs with these inputs stream, one after the other; a failing model's error is a part."""

        async def collect() -> list[Any]:
            parts: list[Any] = []
            async with _entered(saver) as opened:
                graph = self.agent(llm, opened)
                for given in inputs:
                    try:
                        async for part in graph.astream(given, config, stream_mode=["custom", "values"]):
                            parts.append(part)  # noqa: PERF401  # what came before a failure is kept
                    except ReaderError as error:
                        parts.append(("error", error))
            return parts

        if self.one["mode"] == "async":
            return asyncio.run(collect())
        parts: list[Any] = []
        graph = self.agent(llm, saver)
        for given in inputs:
            try:
                parts.extend(graph.stream(given, config, stream_mode=["custom", "values"]))
            except ReaderError as error:
                parts.append(("error", error))
        return parts


def _entered(saver: Any) -> Any:
    from contextlib import nullcontext

    return (
        saver if hasattr(saver, "__aenter__") and not isinstance(saver, InMemorySaver) else nullcontext(saver)
    )


def events_of(parts: list[Any]) -> list[dict[str, Any]]:
    return [data for mode, data in parts if mode == "custom"]


def check_chunks(run: Run, updates: list[dict[str, Any]], exited: Any) -> None:
    """Every chunk is read once, in order and without a gap, up to the end or the exit."""
    ordered = sorted(updates, key=lambda event: event["step"])
    assert [event["step"] for event in ordered] == list(range(len(ordered)))
    for source in {event["source"] for event in ordered}:
        spans = [event["span"] for event in ordered if event["source"] == source]
        assert spans[0][0] == 0
        assert all(left[1] == right[0] for left, right in pairwise(spans))
    read = sum(event["span"][1] - event["span"][0] for event in ordered)
    assert read == (exited["read"] if exited else run.size)
    assert max(event["read"] for event in updates) == read
    assert {event["total"] for event in updates} == {run.size}


def check_heads(parts: list[Any]) -> None:
    """From one state to the next, no head changes that was not selected."""
    states = [data["heads"] for mode, data in parts if mode == "values" and data.get("heads")]
    changed = 0
    for before, after in pairwise(states):
        for old, new in zip(before, after, strict=True):
            if {**old, "selected": 0} != {**new, "selected": 0}:
                changed += 1
                assert old["selected"], (old, new)
                assert not new["selected"]
    assert changed
    assert not any(head["selected"] for head in states[-1])


def check_events(one: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """Events tell of the abilities that are on, and of no other."""
    *updates, answered = events
    for event in updates:
        assert ("gated" in event) == (one["update_gate"] or one["exit_gate"])
        assert ("unsupported" in event) <= (one["grounding"] != "off")
        assert ("recalled" in event) == (bool(one["recall"]) and one["recall_updates"])
    assert ("recalled" in answered) == bool(one["recall"])
    assert any(event.get("gated") == "skip" for event in updates) == one["update_gate"]
    assert ("exited" in answered) == one["exit_gate"]
    if one["grounding"] == "reject" and one["grounding_rule"] == "names":
        assert any(event["unsupported"] for event in updates if "unsupported" in event)


def calls_of(llm: Any) -> int:
    return len(llm.prompts)


def test_any_two_choices_meet() -> None:
    met = {pair for one in COMBINATIONS for pair in map(str, pairs_of(one))}
    for name, choices in FACTORS.items():
        for other, others in FACTORS.items():
            for choice in choices:
                for another in others if name < other else ():
                    both = {name: choice, other: another}
                    assert not allowed(both) or str(pairs_of(both)[0]) in met
    assert len(COMBINATIONS) < 40


@pytest.mark.parametrize("number", range(len(COMBINATIONS)))
def test_the_contract_holds(number: int, tmp_path: Path) -> None:
    one = COMBINATIONS[number]
    run = Run(one, tmp_path)
    failing = () if one["kept"] == "nowhere" else (3, 6)
    llm, calm = model(*failing), model()
    with run.saver(one["mode"] == "async") as saver:
        config = THREAD if saver is not None else {}
        parts = run.parts(llm, [run.given, *[None] * len(failing)], saver, config)
    errors = [data for mode, data in parts if mode == "error"]
    assert len(errors) == len(failing)
    events, out = events_of(parts), parts[-1][1]
    undisturbed = run.parts(calm, [run.given], None, {"configurable": {"thread_id": "calm"}})
    expected = undisturbed[-1][1]

    names = ("answer", "heads", "step", "usage", "exited")
    assert [out.get(name) for name in names] == [expected.get(name) for name in names]
    assert out["answer"] == "Ahab saw whales."
    check_chunks(run, events[:-1], out.get("exited"))
    check_heads(parts)
    check_events(one, events)
    assert out["usage"]["calls"] == calls_of(calm) == calls_of(llm) - len(errors)
    assert events[-1]["usage"] == out["usage"]
    assert [event["type"] for event in events] == ["head_updated"] * out["step"] + ["answered"]
    assert len(out["heads"]) == (one["heads"] if one["heads"] != "auto" else 8)
