"""The life of a memory as its checkpoints tell it: real graphs, real databases."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Overwrite

from mhm_langgraph import ReaderError, SettingsError, cli, create_mhm_agent
from mhm_langgraph.inspect import Timeline, find_phrase, memory_namespaces, memory_page, memory_timeline
from mhm_langgraph.testing import ScriptedReader
from tests.integration.conftest import document, noting_reader
from tests.integration.test_composition import host
from tests.integration.test_threads import Failing, at, texts

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
THREAD: Any = {"configurable": {"thread_id": "1"}}


def turns(timeline: Timeline) -> list[tuple[Any, ...]]:
    return [(u.step, u.head, u.run, u.span, u.source, u.after) for u in timeline.updates]


def assert_replays(timeline: Timeline, graph: Any, config: Any = THREAD) -> None:
    """At each of its checkpoints, the timeline holds what the graph says was there."""
    assert tuple(timeline.heads) == tuple(graph.get_state(config).values["heads"])
    for position, update in enumerate(timeline.updates):
        inside = {"checkpoint_ns": timeline.checkpoint_ns, "checkpoint_id": update.checkpoint_id}
        at_it = graph.get_state({"configurable": {**config["configurable"], **inside}}).values["heads"]
        assert timeline.heads_after(position) == at_it
        before = timeline.heads_after(position - 1)[update.head] if position else {"text": "", "tokens": 0}
        assert (update.before, update.tokens_before) == (before["text"], before["tokens"])
        assert (update.after, update.tokens) == (at_it[update.head]["text"], at_it[update.head]["tokens"])


def test_several_runs_and_documents_on_one_thread(database: Any, tmp_path: Path) -> None:
    (tmp_path / "second.txt").write_text(document(2))
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, sources=tmp_path, **SMALL)
        graph.invoke({"question": "first", "document": document(4)}, THREAD)
        graph.invoke({"source": "second.txt"}, THREAD)
        graph.invoke({"question": "third"}, THREAD)
    with database() as saver:
        timeline = memory_timeline(saver, "1")
        assert_replays(timeline, create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL))
    assert turns(timeline) == [
        (0, 0, 0, [0, 40], None, "[0:0-40]"),
        (1, 1, 0, [40, 80], None, "[1:40-80]"),
        (2, 2, 0, [80, 120], None, "[2:80-120]"),
        (3, 0, 0, [120, 160], None, "[0:0-40][3:120-160]"),
        (4, 1, 1, [0, 40], "second.txt", "[1:40-80][4:0-40]"),
        (5, 2, 1, [40, 80], "second.txt", "[2:80-120][5:40-80]"),
    ]
    first, second, third = timeline.runs
    assert (first.question, first.sources, first.start, first.end) == ("first", (None,), 0, 4)
    assert first.answer == "[0:0-40][3:120-160] | [1:40-80] | [2:80-120]"
    assert (second.question, second.answer, second.sources) == (None, None, ("second.txt",))
    assert (second.start, second.end) == (4, 6)
    assert (third.question, third.sources, third.start, third.end) == ("third", (), 6, 6)
    assert third.answer is not None
    assert all(run.finished for run in timeline.runs)
    assert (timeline.steps, timeline.missing, timeline.sources) == (6, 0, [None, "second.txt"])


def test_of_a_forked_thread_one_branch_is_told(database: Any) -> None:
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        graph.invoke({"question": "?", "document": document(5)}, THREAD)
        trunk = graph.get_state(THREAD).config["configurable"]["checkpoint_id"]
        before = memory_timeline(saver, "1")
        base = at(graph, "select_head", 2)
        graph.invoke(None, base.config, context={"selector": "random", "seed": 3})
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        fork = memory_timeline(saver, "1")
        assert_replays(fork, graph)
        assert memory_timeline(saver, "1", checkpoint_id=trunk) == before
    assert [update.step for update in fork.updates] == [0, 1, 2, 3, 4]
    assert fork.updates[:2] == before.updates[:2]
    assert not {u.checkpoint_id for u in fork.updates[2:]} & {u.checkpoint_id for u in before.updates}
    assert [update.head for update in fork.updates] != [update.head for update in before.updates]
    assert [(run.question, run.start, run.end, run.finished) for run in fork.runs] == [("?", 0, 5, True)]


def test_a_timeline_can_end_in_the_middle(database: Any) -> None:
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        graph.invoke({"question": "?", "document": document(5)}, THREAD)
        middle = at(graph, "update_head", 3)
        timeline = memory_timeline(saver, "1", checkpoint_id=middle.config["configurable"]["checkpoint_id"])
    assert [update.step for update in timeline.updates] == [0, 1, 2]
    assert [head["text"] for head in timeline.heads] == texts(middle)
    assert not any(head["selected"] for head in timeline.heads)
    assert (timeline.runs[0].answer, timeline.runs[0].finished) == (None, False)


def test_a_run_that_broke_off_and_went_on_is_one_run(database: Any) -> None:
    reader = Failing(step=2)
    with database() as saver:
        graph = create_mhm_agent(reader, checkpointer=saver, **SMALL)
        with pytest.raises(ReaderError):
            graph.invoke({"question": "?", "document": document(4)}, THREAD)
        broken = memory_timeline(saver, "1")
        graph.invoke(None, THREAD)
        timeline = memory_timeline(saver, "1")
    assert [(run.question, run.end, run.finished) for run in broken.runs] == [("?", 2, False)]
    assert [(run.question, run.end, run.finished) for run in timeline.runs] == [("?", 4, True)]
    assert timeline.updates[:2] == broken.updates


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_an_empty_reply_is_told_from_a_reply_that_says_the_same(durability: Any) -> None:
    """On the second reading each head gets the chunk that it got on the first."""
    replies = {0: "fact", 1: "fact", 2: "", 3: "fact"}
    reader = ScriptedReader(update=lambda request: replies[request.step])
    saver = InMemorySaver()
    graph = create_mhm_agent(reader, checkpointer=saver, heads=2, chunk_tokens=10)
    for _ in range(2):
        graph.invoke({"document": document(2)}, THREAD, durability=durability)
    timeline = memory_timeline(saver, "1")
    told = [(update.step, update.kept, update.change.ratio) for update in timeline.updates]
    if durability == "exit":  # no write of it is stored: what did not change counts as kept
        assert told == [(0, False, 1.0), (1, False, 1.0), (2, True, 0.0), (3, True, 0.0)]
    else:
        assert told == [(0, False, 1.0), (1, False, 1.0), (2, True, 0.0), (3, False, 0.0)]
        assert timeline.updates[2].span == [0, 40]


def test_where_only_the_end_of_a_run_is_stored_the_rest_is_said_to_be_missing() -> None:
    saver = InMemorySaver()
    graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
    graph.invoke({"question": "?", "document": document(5)}, THREAD, durability="exit")
    graph.invoke({"question": "?", "document": document(1)}, THREAD, durability="exit")
    timeline = memory_timeline(saver, "1")
    assert [update.step for update in timeline.updates] == [2, 3, 4, 5]
    assert timeline.missing == 2
    assert [(run.question, run.start, run.end, run.finished) for run in timeline.runs] == [
        (None, 0, 5, True),
        (None, 5, 6, True),
    ]
    assert timeline.runs[0].answer == "[0:0-40][3:120-160] | [1:40-80][4:160-200] | [2:80-120]"


def test_an_edit_by_hand_is_told_as_one(database: Any) -> None:
    with database() as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        graph.invoke({"document": document(2)}, THREAD)
        heads = [dict(head) for head in graph.get_state(THREAD).values["heads"]]
        heads[2] |= {"text": "by hand", "tokens": 2}
        graph.update_state(THREAD, {"heads": Overwrite(heads)})
        graph.invoke({"question": "?"}, THREAD)
        timeline = memory_timeline(saver, "1")
        edit = timeline.updates[-1]
        assert (edit.step, edit.head, edit.by_hand, edit.kept, edit.span) == (1, 2, True, False, None)
        assert (edit.before, edit.after, edit.tokens) == ("", "by hand", 2)
        assert tuple(timeline.heads_after(2)) == timeline.heads
        assert timeline.position(1) == 1  # the turn of step 1, not the edit after it


@pytest.mark.parametrize("checkpointer", [None, True])
def test_a_memory_inside_a_host_is_found(database: Any, checkpointer: Any) -> None:
    with database() as saver:
        memory = create_mhm_agent(noting_reader(), checkpointer=checkpointer, **SMALL)
        graph = host(memory).compile(checkpointer=saver)
        graph.invoke({"question": "one", "document": document(2)}, THREAD)
        graph.invoke({"question": "two", "document": document(2)}, THREAD)
    with database() as saver:
        timeline = memory_timeline(saver, "1")
        namespaces = memory_namespaces(saver, "1")
        assert namespaces[0] == timeline.checkpoint_ns
        if checkpointer:
            assert namespaces == ["memory"]
            assert [run.question for run in timeline.runs] == ["one", "two"]
            assert [update.step for update in timeline.updates] == [0, 1, 2, 3]
        else:  # every run of the host has a memory of its own
            assert [name.partition(":")[0] for name in namespaces] == ["memory", "memory"]
            older = memory_timeline(saver, "1", checkpoint_ns=namespaces[1])
            assert [run.question for run in timeline.runs + older.runs] == ["two", "one"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thread_id": "no such"}, "nothing of thread 'no such' in this checkpointer"),
        ({"thread_id": "1", "checkpoint_id": "no such"}, "thread '1' at checkpoint 'no such'"),
        ({"thread_id": "1", "checkpoint_ns": "inner"}, "thread '1' in namespace 'inner'"),
        ({"thread_id": "empty"}, "Thread 'empty' holds no memory yet"),
    ],
)
def test_what_is_not_there_is_said(options: dict[str, str], message: str) -> None:
    saver = InMemorySaver()
    graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
    graph.invoke({"document": document(1)}, THREAD)
    empty: Any = {"configurable": {"thread_id": "empty"}}
    graph.invoke({"document": document(1)}, empty, interrupt_before=["read_chunk"])
    with pytest.raises(SettingsError, match=message):
        memory_timeline(saver, **options)


def test_from_postgres_the_same_as_from_memory(postgres: str) -> None:
    from langgraph.checkpoint.postgres import PostgresSaver

    def told(saver: BaseCheckpointSaver[Any]) -> tuple[Any, ...]:
        config: Any = {"configurable": {"thread_id": "inspected"}}
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        graph.invoke({"question": "?", "document": document(5)}, config)
        timeline = memory_timeline(saver, "inspected")
        assert_replays(timeline, graph, config)
        return turns(timeline), timeline.runs

    with PostgresSaver.from_conn_string(postgres) as saver:
        assert told(saver) == told(InMemorySaver())


async def test_an_async_checkpointer_is_read_from_another_thread(tmp_path: Path) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "memory.sqlite")) as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        await graph.ainvoke({"document": document(5)}, THREAD)
        timeline = await asyncio.to_thread(memory_timeline, saver, "1")
    assert [update.step for update in timeline.updates] == [0, 1, 2, 3, 4]


def test_a_long_thread_takes_what_was_written_not_what_is_stored() -> None:
    """Of each text one copy is held, though some three checkpoints a step hold it."""
    saver = InMemorySaver()
    reader = ScriptedReader(update=lambda request: f"{request.step} " + "fact " * 100)
    graph = create_mhm_agent(reader, checkpointer=saver, **SMALL)
    graph.invoke({"document": document(400)}, THREAD)
    timeline = memory_timeline(saver, "1")
    assert [update.step for update in timeline.updates] == list(range(400))
    assert all(a.after is b.before for a, b in zip(timeline.updates, timeline.updates[3:], strict=False))
    assert timeline.heads[0]["text"] is timeline.updates[399].after
    assert len(find_phrase(timeline, "200 fact")) == 2
    assert len(memory_page(timeline)) < 1_000_000


# ---- mhm inspect

Mhm = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mhm(capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mhm:
    """Runs `mhm inspect` in this process, in a folder with a database of two threads."""
    monkeypatch.chdir(tmp_path)
    with SqliteSaver.from_conn_string("memory.sqlite") as saver:
        graph = create_mhm_agent(noting_reader(), checkpointer=saver, **SMALL)
        for thread in ("default", "other"):
            given: Any = {"question": "What?", "document": document(5)}
            graph.invoke(given, {"configurable": {"thread_id": thread}})

    def run(*args: str, db: str = "memory.sqlite") -> tuple[int, str, str]:
        code = cli.main(["inspect", "--db", db, *args])
        return (code, *capsys.readouterr())

    return run


def test_inspect_shows_the_life_of_a_thread(mhm: Mhm) -> None:
    code, out, err = mhm()
    assert (code, err) == (0, "")
    assert out.startswith("Thread default: 5 steps, 3 heads, 1 run\n")
    assert "head 1  ·  █  ·  ·  █" in out
    assert "160-200" in out
    code, out, _ = mhm("--thread", "other", "--step", "3", "--find", "[3:")
    assert "Step 3: head 0 rewritten from 120-160 of the document" in out
    assert "+ step 3: came into head 0" in out


def test_inspect_gives_json(mhm: Mhm) -> None:
    code, out, err = mhm("--json", "--find", "[3:")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert [update["head"] for update in told["updates"]] == [0, 1, 2, 0, 1]
    assert told["sightings"] == [{"step": 3, "head": 0, "entered": True}]
    told = json.loads(mhm("--json", "--step", "1")[1])
    assert told["update"]["after"] == "[1:40-80]"
    assert [head["text"] for head in told["heads"]] == ["[0:0-40]", "[1:40-80]", ""]


def test_inspect_writes_the_page(mhm: Mhm) -> None:
    code, out, err = mhm("--html", "page.html")
    assert (code, out) == (0, "")
    assert err.startswith("Wrote page.html: 5 updates, ")
    assert Path("page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    code, out, err = mhm("--html", "page.html", "--json", "--step", "2")
    assert json.loads(out)["update"]["step"] == 2
    assert '"open":2' in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--thread", "no such"],
            "nothing of thread 'no such' in this checkpointer. --db memory.sqlite has --thread ",
        ),
        (["--step", "9"], "step=9 is not a step of thread 'default': it has steps 0 to 4."),
        (["--checkpoint", "no such"], "nothing of thread 'default' at checkpoint 'no such'"),
        (["--namespace", "inner"], "nothing of thread 'default' in namespace 'inner'"),
        (["--html", "no/such/folder.html"], "--html no/such/folder.html can not be written: No such file"),
        (["--html", "./memory.sqlite"], "--html ./memory.sqlite is the database"),
        (["--step", "first"], "mhm inspect --help"),
    ],
)
def test_a_user_s_mistake_is_one_line(mhm: Mhm, args: list[str], message: str) -> None:
    code, out, err = mhm(*args)
    assert (code, out) == (2, "")
    assert err.startswith("mhm: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.sqlite", None, "--db missing.sqlite does not exist"),
        ("text.sqlite", b"not a database, but some text that is long enough", "file is not a database"),
        ("empty.sqlite", b"", "--db empty.sqlite holds no threads"),
    ],
)
def test_a_file_that_holds_no_threads_is_refused_and_left_as_it_is(
    mhm: Mhm, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    code, out, err = mhm(db=name)
    assert (code, out) == (2, "")
    assert message in err
    assert (Path(name).read_bytes() if content is not None else None) == content
    assert Path(name).exists() == (content is not None)


@pytest.mark.parametrize("writable", [True, False])
def test_the_database_is_left_as_it_is(mhm: Mhm, monkeypatch: pytest.MonkeyPatch, writable: bool) -> None:
    """A file that can not be written is read too; no file is left beside it."""
    before, files = Path("memory.sqlite").read_bytes(), sorted(Path().iterdir())
    if not writable:
        monkeypatch.setattr("os.access", lambda *_: False)
    assert mhm()[0] == 0
    assert Path("memory.sqlite").read_bytes() == before
    assert sorted(Path().iterdir()) == files


def test_a_database_is_read_while_another_process_writes(mhm: Mhm) -> None:
    with closing(sqlite3.connect("memory.sqlite")) as other:
        other.execute("CREATE TABLE unrelated (x)")
        other.execute("INSERT INTO unrelated VALUES (1)")
        code, out, _ = mhm()
    assert code == 0
    assert "5 steps" in out


def test_a_memory_in_a_host_is_shown_and_named(mhm: Mhm) -> None:
    with SqliteSaver.from_conn_string("hosted.sqlite") as saver:
        memory = create_mhm_agent(noting_reader(), checkpointer=True, **SMALL)
        given = {"question": "?", "document": document(2)}
        host(memory).compile(checkpointer=saver).invoke(given, {"configurable": {"thread_id": "default"}})
    code, out, err = mhm(db="hosted.sqlite")
    assert (code, err) == (0, "mhm: the memory in memory is shown.\n")
    assert out.startswith("Thread default in memory: 2 steps")
