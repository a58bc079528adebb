"""Grounded writes in the loop: the event, the head, the checkpoint; off is as if it were not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Overwrite

from mhm_langgraph import Reply, SettingsError, create_mhm_agent
from mhm_langgraph.grounding import Evidence
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from tests.integration.checkpointers import KINDS, Memory

TEXT = "Ahab nailed a doubloon to the mast. It was worth sixteen dollars. " * 2
ASKED = {"question": "What did Ahab nail to the mast?", "document": TEXT}
HONEST, INVENTED = "Ahab nailed a doubloon.", "Flask nailed 99 ducats."


def agent(reply: str = f"{HONEST} {INVENTED}", **settings: Any) -> Any:
    return create_mhm_agent(ScriptedReader(update=reply), heads=1, chunk_tokens=20, **settings)


def events(graph: Any, **options: Any) -> list[dict[str, Any]]:
    updated = list(graph.stream(ASKED, stream_mode="custom", **options))
    return [event for event in updated if event["type"] == "head_updated"]


def test_off_leaves_no_trace_of_itself() -> None:
    out = agent().invoke(ASKED)
    assert out["heads"][0]["text"] == f"{HONEST} {INVENTED}"
    assert "unsupported" not in out["heads"][0]
    assert all("unsupported" not in event for event in events(agent()))


def test_flag_tells_and_keeps_the_text() -> None:
    out = agent(grounding="flag").invoke(ASKED)
    assert out["heads"][0]["text"] == f"{HONEST} {INVENTED}"
    assert out["heads"][0]["unsupported"] == [INVENTED]
    assert all(event["unsupported"] == [INVENTED] for event in events(agent(grounding="flag")))


def test_reject_drops_them() -> None:
    head = agent(grounding="reject").invoke(ASKED)["heads"][0]
    assert head["text"] == HONEST
    assert head["tokens"] == 6
    assert "unsupported" not in head
    assert [event["unsupported"] for event in events(agent(grounding="reject"))] == [[INVENTED]] * 2


def test_where_nothing_is_left_the_head_keeps_its_text_and_the_rotation_goes_on() -> None:
    texts = iter([HONEST, INVENTED])
    reader = ScriptedReader(update=lambda request: next(texts))
    graph = create_mhm_agent(reader, heads=1, chunk_tokens=20, grounding="reject")
    head = graph.invoke(ASKED)["heads"][0]
    assert (head["text"], head["updated_at"]) == (HONEST, 1)
    texts = iter([HONEST, INVENTED])
    assert [(event["empty"], event["unsupported"]) for event in events(graph)] == [
        (False, []),
        (True, [INVENTED]),
    ]


def test_what_was_said_of_an_old_text_is_not_said_of_the_new_one() -> None:
    texts = iter([INVENTED, HONEST])
    reader = ScriptedReader(update=lambda request: next(texts))
    graph = create_mhm_agent(reader, heads=1, chunk_tokens=20, grounding="flag")
    assert graph.invoke(ASKED)["heads"][0]["unsupported"] == []


async def test_async_a_run_s_context_and_a_model() -> None:
    model = ScriptedChatModel(replies=[f"{HONEST} {INVENTED}"])
    graph = create_mhm_agent(model, heads=1, chunk_tokens=20)
    out = await graph.ainvoke(ASKED, context={"grounding": "reject", "grounding_rule": "names"})
    assert out["heads"][0]["text"] == HONEST
    with pytest.raises(SettingsError, match="grounding='on'"):
        graph.invoke(ASKED, context={"grounding": "on"})


def test_the_rules_by_name_and_one_s_own() -> None:
    reply = "Dollars, Ahab thinks, make doubloons dear."
    assert agent(reply, grounding="flag").invoke(ASKED)["heads"][0]["unsupported"] == []
    verbatim = agent(reply, grounding="flag", grounding_rule="verbatim")
    assert verbatim.invoke(ASKED)["heads"][0]["unsupported"] == [reply]
    seen: list[Evidence] = []

    def own(sentence: str, given: Evidence) -> bool:
        seen.append(given)
        return "Ahab" not in sentence

    graph = agent(grounding="reject", grounding_rule=own)
    assert graph.invoke(ASKED)["heads"][0]["text"] == INVENTED
    assert seen[-1].memory == [INVENTED]
    named = graph.invoke(ASKED, context={"grounding_rule": "names"})
    assert named["heads"][0]["text"] == HONEST, "a run's context names another"
    with pytest.raises(SettingsError, match="grounding_rule='exact'"):
        agent(grounding_rule="exact")


@pytest.fixture(params=KINDS)
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    """Each kind of checkpointer, empty."""
    kind: str = request.param
    if kind.endswith("postgres"):
        return Memory(kind, request.getfixturevalue("postgres"))
    return Memory(kind, str(tmp_path / "memory.sqlite"))


async def test_the_record_lasts_and_old_memories_are_read(memory: Memory) -> None:
    def built(**settings: Any) -> Callable[[Any], Any]:
        return lambda saver: agent(checkpointer=saver, **settings)

    def silent(saver: Any) -> Any:
        return agent(HONEST, checkpointer=saver)

    thread = memory.thread()
    async with memory.opened(silent) as driver:
        await driver.invoke(ASKED, thread)
    async with memory.opened(built(grounding="flag")) as driver:
        assert "unsupported" not in (await driver.state(thread)).values["heads"][0]
        await driver.invoke(ASKED, thread)
    async with memory.opened(built()) as driver:
        heads = (await driver.state(thread)).values["heads"]
        assert heads[0]["unsupported"] == [INVENTED]
        await driver.update(thread, {"heads": Overwrite(heads)}, as_node="answer")
        assert (await driver.state(thread)).values["heads"] == heads


def test_a_reply_tells_of_a_check_by_its_reader() -> None:
    class Checking(ScriptedReader):
        def update(self, request: Any) -> Reply:
            return Reply(text=HONEST, unsupported=["the reader's own"])

    head = create_mhm_agent(Checking(), heads=1).invoke(ASKED)["heads"][0]
    assert head["unsupported"] == ["the reader's own"]
