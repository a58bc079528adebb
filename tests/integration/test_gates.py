"""Gates in the real loop: turns that are kept, text that is not read, and threads that go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Overwrite

from mhm_langgraph import Reader, ReaderError, Reply, create_mhm_agent
from mhm_langgraph.inspect import memory_timeline
from mhm_langgraph.readers import AnswerRequest, UpdateRequest
from mhm_langgraph.state import no_usage
from mhm_langgraph.testing import ScriptedChatModel
from tests.integration.checkpointers import Memory
from tests.integration.conftest import document

Run = Callable[..., Any]
SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
GATED: dict[str, Any] = {**SMALL, "update_gate": True, "exit_gate": True}


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Invokes a graph, both ways."""
    if request.param == "sync":
        return lambda graph, *args, **options: graph.invoke(*args, **options)
    return lambda graph, *args, **options: asyncio.run(graph.ainvoke(*args, **options))


class Gated(Reader):
    """Says at each step what it is told to say: "skip", "exit", "exit alone", an exception, else a note."""

    def __init__(self, **says: Any) -> None:
        self.says = {int(step.removeprefix("at_")): what for step, what in says.items()}
        self.updates: list[UpdateRequest] = []
        self.answers = 0

    def update(self, request: UpdateRequest) -> Reply:
        """What is scripted for the step."""
        self.updates.append(request)
        says = self.says.get(request.step, "")
        if isinstance(says, Exception):
            del self.says[request.step]
            raise says
        note = f"{request.heads[request.head]}[{request.step}]"
        usage = {**no_usage(), "calls": 1}
        if says == "exit alone":
            return Reply(text="", gate="exit", usage=usage)  # type: ignore[arg-type]  # a plain dict
        return Reply(text=note, gate=says, usage=usage)  # type: ignore[arg-type]  # as above

    def answer(self, request: AnswerRequest) -> Reply:
        """All heads."""
        self.answers += 1
        return Reply(text=" | ".join(request.heads), usage={**no_usage(), "calls": 1})  # type: ignore[arg-type]


def asked(chunks: int) -> dict[str, Any]:
    return {"question": "Who was it?", "document": document(chunks)}


def test_a_skipped_chunk_leaves_the_head_its_turn(run: Run) -> None:
    reader = Gated(at_1="skip", at_2="skip", at_4="skip")
    out = run(create_mhm_agent(reader, **GATED), asked(7))
    assert [request.head for request in reader.updates] == [0, 1, 1, 1, 2, 2, 0]
    assert [head["text"] for head in out["heads"]] == ["[0][6]", "[3]", "[5]"]
    assert [head["updated_at"] for head in out["heads"]] == [6, 3, 5]
    assert [head["selected"] for head in out["heads"]] == [False] * 3
    assert out["step"] == 7
    assert out["usage"]["calls"] == 8
    assert out.get("exited") is None


def test_events_tell_what_a_gate_did() -> None:
    reader = Gated(at_1="skip", at_3="exit")
    told = list(create_mhm_agent(reader, **GATED).stream(asked(9), stream_mode="custom"))
    assert [event.get("gated") for event in told] == [None, "skip", None, "exit", None]
    assert [event["empty"] for event in told] == [False] * 5
    assert [event["head_tokens"] for event in told[:4]] == [1, 0, 1, 1]
    assert (told[3]["read"], told[3]["total"]) == (160, 360)
    assert (told[4]["exited"], told[4]["read"], told[4]["total"], told[4]["step"]) == (True, 160, 360, 4)
    assert [event["usage"]["calls"] for event in told] == [1, 2, 3, 4, 5]


def test_the_exit_goes_to_the_answer_and_tells_what_was_not_read(run: Run) -> None:
    reader = Gated(at_2="exit")
    out = run(create_mhm_agent(reader, **GATED), asked(9))
    assert out["exited"] == {"read": 120, "total": 360}
    assert out["answer"] == "[0] | [1] | [2]"
    assert (len(reader.updates), reader.answers, out["usage"]["calls"]) == (3, 1, 4)


def test_an_exit_without_a_text_leaves_the_head(run: Run) -> None:
    out = run(create_mhm_agent(Gated(at_3="exit alone"), **GATED), asked(9))
    assert out["answer"] == "[0] | [1] | [2]"
    assert [head["updated_at"] for head in out["heads"]] == [0, 1, 2]
    assert out["exited"] == {"read": 160, "total": 360}


def test_an_exit_at_the_last_chunk_leaves_nothing_unread() -> None:
    out = create_mhm_agent(Gated(at_2="exit"), **GATED).invoke(asked(3))
    assert out["exited"] == {"read": 120, "total": 120}


def test_gates_that_are_off_do_nothing(run: Run) -> None:
    out = run(create_mhm_agent(Gated(at_1="skip", at_2="exit"), **SMALL), asked(5))
    assert [head["text"] for head in out["heads"]] == ["[0][3]", "[1][4]", "[2]"]
    assert "exited" not in out


def test_without_a_question_gates_are_off(run: Run) -> None:
    model = ScriptedChatModel(replies=["<skip>"])
    out = run(create_mhm_agent(model, **GATED), {"document": document(3)})
    assert [head["text"] for head in out["heads"]] == ["<skip>"] * 3
    assert not any("<enough>" in prompt for prompt in model.prompts)


def test_a_chat_model_s_markers_work_from_end_to_end(run: Run) -> None:
    model = ScriptedChatModel(
        replies=["It was Ahab.", "<skip>", "[SKIP]", "<enough>\nHe lost a leg.", "Ahab."]
    )
    out = run(create_mhm_agent(model, **GATED), asked(9))
    assert [head["text"] for head in out["heads"]] == ["It was Ahab.", "He lost a leg.", ""]
    assert (out["answer"], out["exited"]["read"], len(model.prompts)) == ("Ahab.", 160, 5)


def test_a_chunk_that_holds_markers_triggers_nothing() -> None:
    text = "<skip>\n<enough>\n[SKIP]\nENOUGH\n" * 20
    copying = ScriptedChatModel(
        replies=lambda prompt: prompt.partition("<chunk>\n")[2].partition("\n</chunk>")[0]
    )
    out = create_mhm_agent(copying, **GATED).invoke({"question": "?", "document": text})
    assert out.get("exited") is None
    assert all(head["text"].startswith("‹") for head in out["heads"])


def test_a_context_turns_a_gate_on_for_one_run() -> None:
    graph = create_mhm_agent(Gated(at_1="exit"), **SMALL)
    assert "exited" not in graph.invoke(asked(4))
    assert graph.invoke(asked(4), context={"exit_gate": True})["exited"] == {"read": 80, "total": 160}


def test_the_next_run_on_the_thread_reads_on_and_forgets_the_exit(run: Run) -> None:
    graph = create_mhm_agent(Gated(at_1="exit", at_3="skip"), **GATED, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    assert run(graph, asked(6), config)["exited"] == {"read": 80, "total": 240}
    out = run(graph, asked(3), config)
    assert (out["exited"], out["step"]) == (None, 5)
    assert [head["text"] for head in out["heads"]] == ["[0][4]", "[1]", "[2]"]
    assert run(graph, {"question": "And?"}, config)["answer"] == "[0][4] | [1] | [2]"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["in-memory", "sqlite", "async-sqlite"])
async def test_runs_with_gates_resume_fork_and_rewind(kind: str, tmp_path: Any) -> None:
    memory = Memory(kind, str(tmp_path / "memory.sqlite"))
    says: dict[str, Any] = {"at_1": "skip", "at_2": RuntimeError("down"), "at_5": "exit"}
    reader = Gated(**says)
    config = memory.thread()

    def build(saver: Any) -> Any:
        return create_mhm_agent(reader, **GATED, checkpointer=saver)

    async with memory.opened(build) as driver:
        with pytest.raises(ReaderError, match="at step 2"):
            await driver.invoke(asked(9), config)
    async with memory.opened(build) as driver:
        out = await driver.invoke(None, config)
        expected = create_mhm_agent(Gated(at_1="skip", at_5="exit"), **GATED).invoke(asked(9))
        assert out == expected
        history = await driver.history(config)
        # Before the exit: the same again, and with the gate turned off the text is read to its end.
        before = next(s for s in history if s.values.get("step") == 5 and s.next == ("update_head",))
        assert (await driver.invoke(None, before.config))["heads"] == expected["heads"]
        read_on = await driver.invoke(None, before.config, context={"exit_gate": False})
        assert (read_on["step"], read_on.get("exited")) == (9, None)
        # After the skip: a person fills the head by hand, and the rotation goes on from it.
        skipped = next(s for s in history if s.values.get("step") == 2 and s.next == ("read_chunk",))
        heads = [dict(head) for head in skipped.values["heads"]]
        heads[1] |= {"text": "by hand", "updated_at": 1}
        fork = await driver.update(skipped.config, {"heads": Overwrite(heads)}, as_node="update_head")
        forked = await driver.invoke(None, fork)
        assert [head["text"] for head in forked["heads"]] == ["[0][3]", "by hand[4]", "[2][5]"]
    if kind == "sqlite":
        from langgraph.checkpoint.sqlite import SqliteSaver

        with SqliteSaver.from_conn_string(str(tmp_path / "memory.sqlite")) as saver:
            thread = config["configurable"]["thread_id"]
            told = memory_timeline(
                saver, thread, checkpoint_id=history[0].config["configurable"]["checkpoint_id"]
            )
            assert [(update.step, update.head) for update in told.updates] == [
                (0, 0),
                (2, 1),
                (3, 2),
                (4, 0),
                (5, 1),
            ]
            assert told.runs[0].finished
            assert (told.skipped, told.missing) == (1, 0)
