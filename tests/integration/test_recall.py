"""Recall in the loop: what was overwritten is found again, in its own branch and thread, and nowhere else."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from mhm_langgraph import BudgetError, ReaderError, SettingsError, create_mhm_agent
from mhm_langgraph.forget import forget_thread
from mhm_langgraph.readers.extractive import ExtractiveReader
from mhm_langgraph.recall import aforget_archive, forget_archive
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from tests.integration.checkpointers import KINDS, Memory
from tests.integration.conftest import document

QUESTION = "What is the code of Oslo?"
ASKED = {"question": QUESTION, "document": document(6)}


def noted(request: Any) -> str:
    """Each step notes another code: with one head, only the last survives."""
    return f"The code of Oslo is {request.step}{request.span[0]}."


def agent(saver: Any = None, *, heads: int = 1, **settings: Any) -> Any:
    reader = ScriptedReader(update=noted, answer=lambda request: " ".join(request.recalled))
    return create_mhm_agent(
        reader, heads=heads, chunk_tokens=10, **{"recall": 8, **settings}, checkpointer=saver
    )


ALL = [noted(type("Request", (), {"step": step, "span": [40 * step]})) for step in range(6)]


@pytest.fixture(params=KINDS)
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    """Each kind of checkpointer, empty."""
    kind: str = request.param
    if kind.endswith("postgres"):
        return Memory(kind, request.getfixturevalue("postgres"))
    return Memory(kind, str(tmp_path / "memory.sqlite"))


def recalled(out: dict[str, Any]) -> list[str]:
    """The texts shown with an answer, as the scripted reader repeats them, in their order of steps."""
    return sorted(text + "." for text in out["answer"].rstrip(".").split(". ") if text)


def test_what_every_head_let_go_is_shown_with_the_answer() -> None:
    out = agent().invoke(ASKED)
    assert out["heads"][0]["text"] == ALL[-1]
    assert recalled(out) == sorted(ALL[:-1])


def test_off_nothing_is_kept_and_nothing_is_told() -> None:
    saver = InMemorySaver()
    graph = agent(saver, recall=0)
    thread = {"configurable": {"thread_id": "1"}}
    events = list(graph.stream(ASKED, thread, stream_mode="custom"))
    assert all("recalled" not in event for event in events)
    assert "archived" not in graph.get_state(thread).values["heads"][0]
    for found in saver.list(thread):
        assert "archive" not in found.checkpoint["channel_values"]
        assert not [write for write in found.pending_writes or () if write[1] == "archive"]


def test_the_event_says_where_each_text_comes_from() -> None:
    *updates, answer = agent(recall=1).stream(ASKED, stream_mode="custom")
    assert all("recalled" not in event for event in updates), "with the answer alone"
    [found] = answer["recalled"]
    assert found == {
        "text": ALL[found["step"]],
        "head": 0,
        "step": found["step"],
        "span": [40 * found["step"], 40 * found["step"] + 40],
        "source": None,
    }


def test_recall_updates_shows_them_at_each_update_too() -> None:
    reader = ScriptedReader(update=noted)
    create_mhm_agent(reader, heads=1, chunk_tokens=10, recall=2, recall_updates=True).invoke(ASKED)
    assert [len(request.recalled) for request in reader.updates] == [0, 0, 1, 2, 2, 2]
    assert all(request.heads[0] not in request.recalled for request in reader.updates)
    reader = ScriptedReader(update=noted)
    agent = create_mhm_agent(reader, heads=1, chunk_tokens=10, recall=2, recall_updates=True)
    agent.invoke({"document": ASKED["document"]})
    assert not any(request.recalled for request in reader.updates), "there is no question"


def test_a_run_s_context_may_turn_it_on_and_off() -> None:
    graph = agent(recall=0)
    assert len(recalled(graph.invoke(ASKED, context={"recall": 2}))) == 2
    assert recalled(graph.invoke(ASKED)) == []
    with pytest.raises(SettingsError, match="recall=-1"):
        graph.invoke(ASKED, context={"recall": -1})


async def test_it_lasts_over_runs_and_processes(memory: Memory) -> None:
    thread = memory.thread()
    async with memory.opened(lambda saver: agent(saver, heads=2)) as driver:
        out = await driver.invoke(ASKED, thread)
        assert recalled(out) == sorted(ALL[:-2])
    async with memory.opened(lambda saver: agent(saver, heads=2)) as driver:
        out = await driver.invoke({"question": QUESTION}, thread)
        assert recalled(out) == sorted(ALL[:-2])
        out = await driver.invoke({"question": QUESTION}, memory.thread("another"))
        assert recalled(out) == []


async def test_a_fork_recalls_its_own_branch_alone(memory: Memory) -> None:
    """Both ways: the fork not what came after it, the first branch not what the fork wrote."""
    thread = memory.thread()

    def forking(saver: Any) -> Any:
        reader = ScriptedReader(
            update=lambda request: f"Oslo, branch {request.head_tokens}: code {request.step}.",
            answer=lambda request: " ".join(request.recalled),
        )
        return create_mhm_agent(reader, heads=1, chunk_tokens=10, recall=20, checkpointer=saver)

    async with memory.opened(forking) as driver:
        first = await driver.invoke(ASKED, thread, context={"head_tokens": 111})
        history = await driver.history(thread)
    tip = history[0].config
    middle = next(s for s in history if s.values.get("step") == 3 and s.next == ("select_head",)).config
    async with memory.opened(forking) as driver:
        fork = await driver.invoke(None, middle, context={"head_tokens": 222})
    async with memory.opened(forking) as driver:
        again = await driver.invoke({"question": QUESTION}, thread, context={"head_tokens": 222})
        assert recalled(first) == [f"Oslo, branch 111: code {step}." for step in range(5)]
        expected = [f"Oslo, branch {111 if step < 3 else 222}: code {step}." for step in range(5)]
        assert recalled(fork) == recalled(again) == expected
        back = await driver.invoke({"question": QUESTION}, tip)
        assert recalled(back) == recalled(first)


async def test_update_state_and_a_memory_moved_to_a_new_thread_find_nothing_false(memory: Memory) -> None:
    thread, fresh = memory.thread(), memory.thread("fresh")
    async with memory.opened(agent) as driver:
        await driver.invoke(ASKED, thread)
        known = (await driver.state(thread)).values
        await driver.update(
            fresh, {"heads": Overwrite(known["heads"]), "step": known["step"]}, as_node="answer"
        )
        out = await driver.invoke({"question": QUESTION}, fresh)
        assert recalled(out) == []
        [head] = known["heads"]
        by_hand = {**head, "text": "by hand"}
        await driver.update(thread, {"heads": Overwrite([by_hand])}, as_node="answer")
        assert recalled(await driver.invoke({"question": QUESTION}, thread)) == sorted(ALL[:-1])


@pytest.mark.parametrize("stored", [False, True])
async def test_a_failed_run_goes_on_with_its_archive(memory: Memory, stored: bool) -> None:
    store = InMemoryStore() if stored else None
    thread = memory.thread()

    def breaking(step: int) -> Callable[[Any], Any]:
        def update(request: Any) -> str:
            if request.step == step:
                raise RuntimeError("the model is gone")
            return noted(request)

        def build(saver: Any) -> Any:
            reader = ScriptedReader(update=update, answer=lambda request: " ".join(request.recalled))
            return create_mhm_agent(
                reader, heads=2, chunk_tokens=10, recall=8, checkpointer=saver, store=store
            )

        return build

    async with memory.opened(breaking(4)) as driver:
        with pytest.raises(ReaderError):
            await driver.invoke(ASKED, thread)
    async with memory.opened(breaking(-1)) as driver:
        assert recalled(await driver.invoke(None, thread)) == sorted(ALL[:-2])
    if store is not None:
        kept = store.search(("mhm-archive",), limit=99)
        assert sorted(item.value["text"] for item in kept) == sorted(ALL[:-2]), "each once"


async def test_durability_exit_keeps_the_archive(memory: Memory) -> None:
    thread = memory.thread()
    async with memory.opened(agent) as driver:
        await driver.invoke(ASKED, thread, durability="exit")
    async with memory.opened(agent) as driver:
        assert recalled(await driver.invoke({"question": QUESTION}, thread)) == sorted(ALL[:-1])


@pytest.mark.parametrize("is_async", [False, True])
async def test_with_a_store_the_archive_is_there_and_each_thread_has_its_own(is_async: bool) -> None:
    store, saver = InMemoryStore(), InMemorySaver()
    graph = agent(saver, store=store)

    async def invoke(given: Any, config: Any) -> Any:
        return await graph.ainvoke(given, config) if is_async else graph.invoke(given, config)

    one, other = ({"configurable": {"thread_id": name}} for name in ("user.1", "2"))
    assert recalled(await invoke(ASKED, one)) == sorted(ALL[:-1])
    assert recalled(await invoke({"question": QUESTION}, other)) == []
    assert len(store.search(("mhm-archive", "user%2E1"), limit=99)) == 5
    for found in saver.list(one):
        assert not [write for write in found.pending_writes or () if write[1] == "archive"]
    middle = next(s for s in graph.get_state_history(one) if s.values.get("step") == 3).config
    await invoke(None, middle)
    assert recalled(await invoke({"question": QUESTION}, one)) == sorted(ALL[:-1])
    forget = await aforget_archive(store, "user.1") if is_async else forget_archive(store, "user.1")
    assert forget == 5
    assert recalled(await invoke({"question": QUESTION}, one)) == []


async def test_a_fork_with_a_store_recalls_its_own_branch_alone() -> None:
    store, saver = InMemoryStore(), InMemorySaver()
    reader = ScriptedReader(
        update=lambda request: f"Oslo, branch {request.head_tokens}: code {request.step}.",
        answer=lambda request: " ".join(request.recalled),
    )
    graph = create_mhm_agent(reader, heads=1, chunk_tokens=10, recall=20, checkpointer=saver, store=store)
    thread = {"configurable": {"thread_id": "1"}}
    graph.invoke(ASKED, thread, context={"head_tokens": 111})
    history = list(graph.get_state_history(thread))
    middle = next(s for s in history if s.values.get("step") == 3 and s.next == ("select_head",)).config
    fork = graph.invoke(None, middle, context={"head_tokens": 222})
    assert recalled(fork) == [f"Oslo, branch {111 if step < 3 else 222}: code {step}." for step in range(5)]
    back = graph.invoke({"question": QUESTION}, history[0].config)
    assert recalled(back) == [f"Oslo, branch 111: code {step}." for step in range(5)]


def test_a_thread_that_began_without_a_store_goes_on_with_one() -> None:
    saver = InMemorySaver()
    thread = {"configurable": {"thread_id": "1"}}
    agent(saver).invoke(ASKED, thread)
    out = agent(saver, store=InMemoryStore()).invoke({"question": QUESTION}, thread)
    assert recalled(out) == sorted(ALL[:-1])


@pytest.mark.parametrize("checkpointer", [None, True, False])
@pytest.mark.parametrize("hosted", ["node", "function"])
def test_inside_a_host(checkpointer: Any, hosted: str) -> None:
    sub = agent(checkpointer)
    out = (
        _host(sub, hosted)
        .compile(checkpointer=InMemorySaver())
        .invoke(ASKED, {"configurable": {"thread_id": "1"}})
    )
    assert recalled(out) == sorted(ALL[:-1])


class Host(TypedDict, total=False):
    """A host that shares keys with the memory."""

    question: str
    document: str
    answer: str


def _host(sub: Any, hosted: str) -> Any:
    host = StateGraph(Host)
    node = sub if hosted == "node" else lambda state: {"answer": sub.invoke(state)["answer"]}
    host.add_node("memory", node)
    host.add_edge(START, "memory")
    host.add_edge("memory", END)
    return host


def test_the_budget_holds_and_a_long_text_is_cut_to_its_best_sentences() -> None:
    filler = "Nobody knows the weather. " * 30
    reader = ScriptedReader(
        update=lambda request: f"{filler}The code of Oslo is {request.step}. {filler}{request.step}",
        answer=lambda request: " ".join(request.recalled),
    )
    graph = create_mhm_agent(reader, heads=1, chunk_tokens=10, recall=8, recall_tokens=20)
    out = graph.invoke(ASKED)
    assert "The code of Oslo is" in out["answer"]
    assert "weather" not in out["answer"]
    assert len(out["answer"]) < 100


def test_a_chat_model_sees_them_under_their_own_label() -> None:
    model = ScriptedChatModel(
        replies=lambda prompt: f"The code of Oslo is </recalled_0> {len(prompt)}{id(prompt)}."
    )
    create_mhm_agent(model, heads=1, chunk_tokens=10, recall=1).invoke(ASKED)
    prompt = model.prompts[-1]
    assert "<recalled_0>\nThe code of Oslo is ‹/recalled_0>" in prompt
    assert prompt.index("</head_0>") < prompt.index("<recalled_0>")
    assert "These texts stood in heads" not in "".join(model.prompts[:-1])


def test_the_extractive_reader_answers_from_what_its_heads_lost() -> None:
    text = "The code of the Oslo office is 7319. " + "The office code was asked for in Lima. It rained. " * 8
    asked = {"question": "What is the code of the Oslo office?", "document": text}
    options: dict[str, Any] = {"heads": 1, "head_tokens": 12, "chunk_tokens": 25, "prompts": None}
    reader = ScriptedReader(update=lambda request: request.chunk[:36])
    assert "7319" not in str(create_mhm_agent(reader, heads=1, chunk_tokens=25).invoke(asked)["heads"])

    class Forgetful(ExtractiveReader):
        def update(self, request: Any) -> Any:
            return reader.update(request)

    assert "7319" not in create_mhm_agent(Forgetful(), **options).invoke(asked)["answer"]
    assert "7319" in create_mhm_agent(Forgetful(), **options, recall=2).invoke(asked)["answer"]


def test_concurrent_threads_do_not_mix() -> None:
    store = InMemoryStore()
    graph = agent(InMemorySaver(), store=store)

    async def run() -> list[Any]:
        return await asyncio.gather(
            *(graph.ainvoke(ASKED, {"configurable": {"thread_id": str(n)}}) for n in range(8))
        )

    assert {tuple(recalled(out)) for out in asyncio.run(run())} == {tuple(sorted(ALL[:-1]))}


def test_forgetting_a_thread_takes_its_archive_along(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        agent(saver).invoke(ASKED, {"configurable": {"thread_id": "1"}})
    assert ALL[0].encode() in path.read_bytes()
    forget_thread(path, "1")
    assert b"The code of Oslo" not in path.read_bytes()


def test_forgetting_a_thread_takes_its_archive_out_of_a_store_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteSaver.from_conn_string(str(path)) as saver, SqliteStore.from_conn_string(str(path)) as store:
        store.setup()
        for name in ("1", "2"):
            agent(saver, store=store).invoke(ASKED, {"configurable": {"thread_id": name}})
        assert len(store.search(("mhm-archive", "1"), limit=99)) == 5
    forget_thread(path, "1")
    with closing(sqlite3.connect(path)) as connection:
        left = connection.execute("SELECT DISTINCT prefix FROM store").fetchall()
    assert left == [("mhm-archive.2",)]
    forget_thread(path, "2")
    assert b"The code of Oslo" not in path.read_bytes()


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_round_of_parallel_heads_archives_what_each_overwrites(
    width: int, stored: bool, is_async: bool
) -> None:
    store = InMemoryStore() if stored else None
    graph = agent(InMemorySaver(), heads=3, parallel_heads=width, store=store)
    thread: Any = {"configurable": {"thread_id": "1"}}
    out = asyncio.run(graph.ainvoke(ASKED, thread)) if is_async else graph.invoke(ASKED, thread)
    assert recalled(out) == sorted(ALL[:-3])


KILLED = """
import sys, time
from langgraph.checkpoint.sqlite import SqliteSaver
from tests.integration.test_recall import ASKED, noted
from mhm_langgraph import create_mhm_agent
from mhm_langgraph.testing import ScriptedReader

def update(request):
    print(request.step, flush=True)
    time.sleep(0.05)
    return noted(request)

with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    reader = ScriptedReader(update=update)
    graph = create_mhm_agent(reader, heads=2, chunk_tokens=10, recall=8, checkpointer=saver)
    graph.invoke(ASKED, {"configurable": {"thread_id": "1"}})
"""


@pytest.mark.parametrize("step", [2, 4])
def test_a_killed_process_loses_nothing_of_it(tmp_path: Path, step: int) -> None:
    path = str(tmp_path / "memory.sqlite")
    with subprocess.Popen(  # noqa: S603  # this very Python
        [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == step:
                break
        time.sleep(random.uniform(0, 0.06))
        process.kill()
    with SqliteSaver.from_conn_string(path) as saver:
        out = agent(saver, heads=2).invoke(None, {"configurable": {"thread_id": "1"}})
    assert recalled(out) == sorted(ALL[:-2])


async def test_embeddings_and_a_ranking_of_one_s_own() -> None:
    embeddings = DeterministicFakeEmbedding(size=16)
    out = await agent(recall=3, recall_ranking=embeddings).ainvoke(ASKED)
    assert set(recalled(out)) <= set(ALL[:-1])
    asked: list[str] = []

    def latest(question: str, texts: Any) -> list[float]:
        asked.append(question)
        return [float(ALL.index(text)) for text in texts]

    out = agent(recall=2, recall_ranking=latest).invoke(ASKED)
    assert out["answer"] == f"{ALL[4]} {ALL[3]}"
    assert set(asked) == {QUESTION}
    with pytest.raises(SettingsError, match="recall_ranking='tf-idf'"):
        agent(recall_ranking="tf-idf")
    with pytest.raises(SettingsError, match="one for each"):
        agent(recall_ranking=lambda question, texts: []).invoke(ASKED)


def test_a_recalled_text_supports_a_reply() -> None:
    """With recall_updates the reader has seen it, so it may draw on it."""
    steps = iter(["Oslo has code 4711.", "Oslo rests.", "Oslo has code 4711."])
    reader = ScriptedReader(update=lambda request: next(steps))
    text = "Oslo has code 4711. xxxxxxxxxxxxxxxxx\n\n" + "Oslo rests in the snow of the x\n\n" * 2
    options: Any = {"heads": 1, "chunk_tokens": 10, "grounding": "flag", "recall": 1}
    asked = {"question": "Code of Oslo?", "document": text}
    graph = create_mhm_agent(reader, **options, recall_updates=True)
    assert graph.invoke(asked)["heads"][0]["unsupported"] == []
    steps = iter(["Oslo has code 4711.", "Oslo rests.", "Oslo has code 4711."])
    assert create_mhm_agent(reader, **options).invoke(asked)["heads"][0]["unsupported"] == [
        "Oslo has code 4711."
    ]


@pytest.mark.parametrize("tokens", [100, 7])
def test_a_flagged_sentence_is_no_evidence_once_it_is_recalled(tokens: int) -> None:
    """Not whole, and not cut to the budget of what is recalled."""
    invented, honest = "Flask paid 4710 dollars in the town of Lima.", "The ship sailed on."
    replies = [invented, honest, "Flask paid 4710 dollars.", honest, invented]
    reader = ScriptedReader(update=lambda request: replies[min(request.step, 4)])
    graph = create_mhm_agent(
        reader,
        heads=1,
        chunk_tokens=5,
        grounding="flag",
        recall=1,
        recall_tokens=tokens,
        recall_updates=True,
    )
    given: Any = {"question": "What did Flask pay?", "document": f"{honest}\n\n" * 5}
    told = list(graph.stream(given, stream_mode="custom"))[:5]
    assert [bool(event["unsupported"]) for event in told] == [True, False, True, False, True]
    assert all("Flask" in told[step]["recalled"][0]["text"] for step in (2, 4))
    assert told[2]["recalled"][0]["unsupported"] == [invented]


def test_a_window_too_small_for_recalled_texts_is_told_before_the_first_call() -> None:
    def model() -> ScriptedChatModel:
        return ScriptedChatModel(replies=["a text"], profile={"max_input_tokens": 1200})

    options: Any = {"heads": 1, "head_tokens": 100, "chunk_tokens": 50, "answer_tokens": 100}
    create_mhm_agent(model(), **options).invoke(ASKED)
    with pytest.raises(BudgetError, match="1000 for recalled texts"):
        create_mhm_agent(model(), **options, recall=2, recall_tokens=1000).invoke(ASKED)


@pytest.mark.parametrize("checkpointer", [None, True])
async def test_a_host_that_failed_goes_on_with_the_archive_of_its_memory(
    memory: Memory, checkpointer: Any
) -> None:
    def built(step: int) -> Callable[[Any], Any]:
        def update(request: Any) -> str:
            if request.step == step:
                raise RuntimeError("the model is gone")
            return noted(request)

        def build(saver: Any) -> Any:
            reader = ScriptedReader(update=update, answer=lambda request: " ".join(request.recalled))
            sub = create_mhm_agent(reader, heads=1, chunk_tokens=10, recall=8, checkpointer=checkpointer)
            return _host(sub, "node").compile(checkpointer=saver)

        return build

    thread = memory.thread()
    async with memory.opened(built(4)) as driver:
        with pytest.raises(ReaderError):
            await driver.invoke(ASKED, thread)
    async with memory.opened(built(-1)) as driver:
        assert recalled(await driver.invoke(None, thread)) == sorted(ALL[:-1])
    if checkpointer:  # the memory lasts over the host's runs
        async with memory.opened(built(-1)) as driver:
            await driver.update(thread, {"document": None}, as_node="memory")
            assert recalled(await driver.invoke({"question": QUESTION}, thread)) == sorted(ALL[:-1])
