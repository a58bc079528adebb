"""Rounds: several heads rewritten at the same time, and nothing lost, repeated or mixed up by it."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from mhm_langgraph import (
    HeadSelector,
    Reader,
    ReaderError,
    Reply,
    SettingsError,
    Usage,
    create_mhm_agent,
)
from mhm_langgraph.inspect import memory_timeline
from mhm_langgraph.readers import AnswerRequest, UpdateRequest
from mhm_langgraph.readers.gates import Gate
from mhm_langgraph.selection import Choice
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from tests.integration.checkpointers import KINDS, Memory
from tests.integration.conftest import document, noting_reader
from tests.integration.test_composition import host

Run = Callable[..., Any]
SMALL: dict[str, Any] = {"heads": 4, "chunk_tokens": 10, "head_tokens": 100}
WIDE: dict[str, Any] = {**SMALL, "parallel_heads": 4}
THREAD: Any = {"configurable": {"thread_id": "1"}}
ONE = Usage(input_tokens=3, output_tokens=2, calls=1)


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Invokes a graph, both ways."""
    if request.param == "sync":
        return lambda graph, *args, **options: graph.invoke(*args, **options)
    return lambda graph, *args, **options: asyncio.run(graph.ainvoke(*args, **options))


@pytest.fixture(params=["sync", "async"])
def stream(request: pytest.FixtureRequest) -> Run:
    """Streams from a graph, both ways; what came before a failure is kept, the failure too."""

    def run(graph: Any, *args: Any, **options: Any) -> tuple[list[Any], Exception | None]:
        parts: list[Any] = []

        async def collect() -> None:
            async for part in graph.astream(*args, **options):
                parts.append(part)  # noqa: PERF401  # what came before a failure is kept

        try:
            if request.param == "async":
                asyncio.run(collect())
            else:
                parts.extend(graph.stream(*args, **options))
        except Exception as error:
            return parts, error
        return parts, None

    return run


class Busy(Reader):
    """Takes a while, fails once at given steps, and notes what it saw of the memory.

    Args:
        fails: Steps that fail the first time.
        gates: What is said at a step beside the text.
        seed: Of the times that calls take: from 0 to 30 ms.
    """

    def __init__(self, *fails: int, seed: int = 0, gates: dict[int, Gate] | None = None) -> None:
        self._fails, self._gates = set(fails), gates or {}
        self._times = random.Random(seed)
        self._lock = Lock()
        self.began: list[int] = []
        self.now = self.most = 0

    def update(self, request: UpdateRequest) -> Reply:
        """One call."""
        seconds = self._begin(request)
        time.sleep(seconds)
        return self._end(request)

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """One call that lets others run."""
        seconds = self._begin(request)
        await asyncio.sleep(seconds)
        return self._end(request)

    def answer(self, request: AnswerRequest) -> Reply:
        """All heads."""
        return Reply(text=" | ".join(request.heads), usage=ONE)

    def _begin(self, request: UpdateRequest) -> float:
        with self._lock:
            self.began.append(request.step)
            self.now += 1
            self.most = max(self.most, self.now)
            return self._times.uniform(0, 0.03)

    def _end(self, request: UpdateRequest) -> Reply:
        with self._lock:
            self.now -= 1
            if request.step in self._fails:
                self._fails.remove(request.step)
                raise RuntimeError(f"no reply to {request.step}")
        seen = ",".join(text.partition(" ")[0] or "-" for text in request.heads)
        text = f"{request.step}@{request.span[0]} saw {seen}"
        return Reply(text=text, usage=ONE, gate=self._gates.get(request.step, ""))


def asked(chunks: int) -> dict[str, Any]:
    return {"question": "Who was it?", "document": document(chunks)}


def texts(out: Any) -> list[str]:
    return [head["text"] for head in out["heads"]]


TEN = [
    "8@320 saw 4@160,5@200,6@240,7@280",
    "9@360 saw 4@160,5@200,6@240,7@280",
    "6@240 saw 0@0,1@40,2@80,3@120",
    "7@280 saw 0@0,1@40,2@80,3@120",
]


@pytest.mark.parametrize("seed", range(3))
def test_each_update_sees_the_round_s_start_whatever_comes_first(run: Run, seed: int) -> None:
    reader = Busy(seed=seed)
    out = run(create_mhm_agent(reader, **WIDE), asked(10))
    assert texts(out) == TEN
    assert [head["updated_at"] for head in out["heads"]] == [8, 9, 6, 7]
    assert [head["span"] for head in out["heads"]] == [[320, 360], [360, 400], [240, 280], [280, 320]]
    assert [head["selected"] for head in out["heads"]] == [False] * 4
    assert (out["step"], out["usage"]) == (10, {"input_tokens": 33, "output_tokens": 22, "calls": 11})
    assert sorted(reader.began) == list(range(10))
    assert reader.most > 1


@pytest.mark.parametrize("width", [1, 2, 3])
def test_narrower_rounds_rewrite_the_least_recent_heads(run: Run, width: int) -> None:
    reader = Busy()
    out = run(create_mhm_agent(reader, **SMALL, parallel_heads=width), asked(7))
    assert [head["updated_at"] for head in out["heads"]] == [4, 5, 6, 3]
    assert reader.most <= width
    seen = {1: "0@0,1@40,2@80,-", 2: "0@0,1@40,-,-", 3: "0@0,1@40,2@80,-"}[width]
    assert texts(out)[3] == f"3@120 saw {seen}"


def test_one_at_a_time_is_the_loop_itself() -> None:
    """States, writes, events and checkpoints; test_off.py compares them with the past."""

    def kept(**options: Any) -> Any:
        saver = InMemorySaver()
        graph = create_mhm_agent(noting_reader(), **SMALL, **options, checkpointer=saver)
        parts = list(graph.stream(asked(6), THREAD, stream_mode=["custom", "updates", "values"]))
        stored = [
            (found.checkpoint["channel_values"], [write[1:] for write in found.pending_writes or []])
            for found in saver.list(THREAD)
        ]
        return parts, stored

    assert kept() == kept(parallel_heads=1)
    assert not any("round" in values for values, _ in kept()[1])


def test_events_tell_of_every_update_and_only_forward(stream: Run) -> None:
    parts, failure = stream(create_mhm_agent(Busy(seed=5), **WIDE), asked(10), stream_mode="custom")
    assert failure is None
    updates, answered = parts[:-1], parts[-1]
    assert sorted((event["step"], *event["span"]) for event in updates) == [
        (step, 40 * step, 40 * step + 40) for step in range(10)
    ]
    assert [event["head"] for event in sorted(updates, key=lambda event: event["step"])] == [
        *range(4),
        *range(4),
        0,
        1,
    ]
    assert [event["read"] for event in updates] == [40 * n for n in range(1, 11)]
    assert [event["usage"]["calls"] for event in updates] == list(range(1, 11))
    assert (answered["type"], answered["step"], answered["usage"]["calls"]) == ("answered", 10, 11)
    assert {event["total"] for event in updates} == {400}


def test_rounds_cross_from_one_source_into_the_next(run: Run, tmp_path: Path) -> None:
    for name, chunks in (("a", 3), ("b", 1), ("c", 5)):
        (tmp_path / name).write_text(document(chunks).replace("Paragraph", f"Paragraf{name}"))
    reader = ScriptedReader()
    graph = create_mhm_agent(reader, **WIDE, sources=tmp_path)
    out = run(graph, {"question": "?", "source": ["a", "b", "c"]})
    requests = sorted(reader.updates, key=lambda request: request.step)
    assert "".join(request.chunk for request in requests) == "".join(
        (tmp_path / name).read_text() for name in "abc"
    )
    assert [(head["source"], head["span"]) for head in out["heads"]] == [
        ("c", [160, 200]),
        ("c", [40, 80]),
        ("c", [80, 120]),
        ("c", [120, 160]),
    ]
    events = list(graph.stream({"document": document(1), "source": ["b", "a"]}, stream_mode="custom"))
    assert [event["read"] for event in events] == [40, 80, 120, 160, 200]
    assert sorted((event["step"], event["source"]) for event in events) == [
        (0, None),
        (1, "b"),
        *((step, "a") for step in (2, 3, 4)),
    ]


# One failure.


@pytest.mark.parametrize("fails", [(0,), (1,), (3,), (0, 2), (1, 2, 3), (6,), (9,)])
def test_a_failure_loses_and_repeats_nobody_else_s_work(stream: Run, fails: tuple[int, ...]) -> None:
    reader = Busy(*fails)
    graph = create_mhm_agent(reader, **WIDE, checkpointer=InMemorySaver())
    parts, failure = stream(graph, asked(10), THREAD, stream_mode="custom")
    assert isinstance(failure, ReaderError)
    assert (failure.step, failure.span) == (fails[0], [40 * fails[0], 40 * fails[0] + 40])
    done = [event["step"] for event in parts]
    assert not set(fails) & set(done)
    rest, failure = stream(graph, None, THREAD, stream_mode="custom")
    assert failure is None
    assert sorted(done + [event["step"] for event in rest[:-1]]) == list(range(10))
    assert sorted(reader.began) == sorted([*range(10), *fails])
    values = graph.get_state(THREAD).values
    assert (texts(values), values["usage"]["calls"]) == (TEN, 11)


async def test_a_failure_on_every_checkpointer(memory: Memory) -> None:
    reader = Busy(5, 6)

    def build(saver: Any) -> Any:
        return create_mhm_agent(reader, **WIDE, checkpointer=saver)

    async with memory.opened(build) as graph:
        with pytest.raises(ReaderError, match="at step 5"):
            await graph.invoke(asked(10), memory.thread())
    async with memory.opened(build) as graph:
        out = await graph.invoke(None, memory.thread())
    assert texts(out) == TEN
    assert sorted(reader.began) == sorted([*range(10), 5, 6])


@pytest.fixture(params=KINDS)
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    """Each checkpointer in turn."""
    if "postgres" in request.param:
        return Memory(request.param, request.getfixturevalue("postgres"))
    return Memory(request.param, str(tmp_path / "memory.sqlite"))


def test_without_a_checkpointer_the_failure_comes_out_as_it_is(stream: Run) -> None:
    parts, failure = stream(create_mhm_agent(Busy(1), **WIDE), asked(4), stream_mode="custom")
    assert isinstance(failure, ReaderError)
    assert sorted(event["step"] for event in parts) == [0, 2, 3]


async def test_a_cancelled_round_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    class Hangs(Busy):
        async def aupdate(self, request: UpdateRequest) -> Reply:
            if request.step == 2 and 2 not in self.began:
                self.began.append(2)
                await asyncio.sleep(60)
            return await super().aupdate(request)

    reader = Hangs()
    memory = Memory("async-sqlite", str(tmp_path / "memory.sqlite"))
    async with memory.opened(lambda saver: create_mhm_agent(reader, **WIDE, checkpointer=saver)) as graph:
        running = asyncio.create_task(graph.invoke(asked(10), memory.thread()))
        await asyncio.sleep(0.4)  # the others take 30 ms at most
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        out = await graph.invoke(None, memory.thread())
    assert texts(out) == TEN
    assert sorted(reader.began) == sorted([*range(10), 2])


KILLED = """
import os, signal, sys, time
from langgraph.checkpoint.sqlite import SqliteSaver
from mhm_langgraph import create_mhm_agent
from tests.integration.test_rounds import Busy, THREAD, WIDE, asked

class Dies(Busy):
    def update(self, request):
        with open(sys.argv[2], "a") as journal:
            journal.write(f"{request.step}\\n")
        if request.step == 6:
            time.sleep(0.5)  # the others of its round are done and stored by then
            os.kill(os.getpid(), signal.SIGKILL)
        return super().update(request)

with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    create_mhm_agent(Dies(), **WIDE, checkpointer=saver).invoke(asked(10), THREAD)
"""


def test_killed_in_the_middle_of_a_round_only_the_missing_update_is_made(tmp_path: Path) -> None:
    database, journal = str(tmp_path / "memory.sqlite"), tmp_path / "journal"
    died = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", KILLED, database, str(journal)], cwd=Path(__file__).parents[2], check=False
    )
    assert died.returncode == -signal.SIGKILL
    assert sorted(map(int, journal.read_text().split())) == list(range(8))
    reader = Busy()
    with SqliteSaver.from_conn_string(database) as saver:
        out = create_mhm_agent(reader, **WIDE, checkpointer=saver).invoke(None, THREAD)
    assert sorted(reader.began) == [6, 8, 9]
    assert texts(out) == TEN
    assert out["usage"]["calls"] == 11


# What is selected.


def test_the_random_selector_takes_distinct_heads_the_same_each_time(run: Run) -> None:
    outs = [
        run(create_mhm_agent(Busy(seed=seed), **SMALL, selector="random", parallel_heads=3), asked(9))
        for seed in (1, 2)
    ]
    assert outs[0] == outs[1]
    first = list(
        create_mhm_agent(Busy(), **SMALL, selector="random", parallel_heads=4).stream(
            asked(4), stream_mode="custom"
        )
    )
    assert sorted(event["head"] for event in first[:4]) == [0, 1, 2, 3]


def test_the_relevance_selector_is_asked_of_the_heads_that_are_free(run: Run) -> None:
    picks: list[list[str]] = []

    def pick(request: Any) -> int:
        picks.append(list(request.heads))
        return len(request.heads) - 1

    reader = ScriptedReader(pick=pick)
    out = run(create_mhm_agent(reader, **SMALL, selector="relevance", parallel_heads=3), asked(3))
    assert [len(heads) for heads in picks] == [4, 3, 2]
    assert [head["updated_at"] for head in out["heads"]] == [-1, 2, 1, 0]
    assert out["usage"]["calls"] == 7


def test_a_selector_of_one_s_own_sees_what_the_round_has_taken(run: Run) -> None:
    seen: list[tuple[list[int], list[int]]] = []

    class Greedy(HeadSelector):
        def select(self, turn: Any) -> Choice:
            seen.append((sorted(turn.taken), [head["updated_at"] for head in turn.heads]))
            return Choice(turn.free[-1])

    out = run(create_mhm_agent(noting_reader(), **SMALL, selector=Greedy(), parallel_heads=2), asked(3))
    assert seen == [([], [-1] * 4), ([3], [-1, -1, -1, 0]), ([], [-1, -1, 1, 0])]
    assert [head["updated_at"] for head in out["heads"]] == [-1, -1, 1, 2]


def test_a_selector_that_takes_a_head_twice_is_told_what_it_may_take(run: Run) -> None:
    graph = create_mhm_agent(noting_reader(), **SMALL, selector=lambda turn: 0, parallel_heads=2)
    with pytest.raises(SettingsError, match=r"chose head 0 twice .* turn.free, here \[1, 2, 3\]"):
        run(graph, asked(3))


# Gates.


def test_a_head_that_is_skipped_is_first_in_the_next_round(run: Run) -> None:
    reader = Busy(gates={1: "skip", 2: "skip"})
    out = run(create_mhm_agent(reader, **SMALL, parallel_heads=3, update_gate=True), asked(6))
    # Heads 1 and 2 keep their turns; then come 3, which was never written, and not 0.
    assert [head["updated_at"] for head in out["heads"]] == [0, 3, 4, 5]
    assert out["step"] == 6


def test_an_exit_ends_after_its_round_whose_writes_all_stand(run: Run) -> None:
    reader = Busy(gates={4: "exit"})
    out = run(create_mhm_agent(reader, **WIDE, exit_gate=True), asked(20))
    assert out["exited"] == {"read": 320, "total": 800}
    assert [head["updated_at"] for head in out["heads"]] == [4, 5, 6, 7]
    assert (out["step"], out["usage"]["calls"]) == (8, 9)


# How wide.


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"heads": 4, "parallel_heads": 5}, 4),
        ({"heads": 1, "parallel_heads": 2}, 1),
        ({"heads": "auto", "parallel_heads": 9}, 8),
        ({"heads": "auto", "memory_tokens": 1024, "parallel_heads": 5}, 4),
    ],
)
def test_more_than_there_are_heads_is_refused_when_built(options: dict[str, Any], most: int) -> None:
    with pytest.raises(SettingsError, match=rf"parallel_heads=. is not allowed: .* 1 to {most}, "):
        create_mhm_agent("extractive", **options)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True])
def test_what_is_no_number_of_heads_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingsError, match="parallel_heads="):
        create_mhm_agent("extractive", parallel_heads=wrong)


def test_a_context_may_widen_and_narrow_but_not_beyond_the_heads(run: Run) -> None:
    reader = Busy()
    graph = create_mhm_agent(reader, **SMALL)
    assert texts(run(graph, asked(10), context={"parallel_heads": 4})) == TEN
    with pytest.raises(SettingsError, match="parallel_heads=5 is not allowed"):
        run(graph, asked(10), context={"parallel_heads": 5})


def test_auto_heads_bound_the_round_where_they_come_to_fewer(run: Run) -> None:
    reader = Busy()
    graph = create_mhm_agent(reader, heads="auto", chunk_tokens=10, parallel_heads=8)
    short = run(graph, asked(2))
    assert reader.most <= len(short["heads"]) < 8
    long = run(graph, asked(40))
    assert len(long["heads"]) == 8
    assert long["step"] == 40


def test_a_thread_may_change_its_width_between_and_within_runs() -> None:
    reader = Busy(5)
    graph = create_mhm_agent(reader, **SMALL, checkpointer=InMemorySaver())
    with pytest.raises(ReaderError, match="at step 5"):
        graph.invoke(asked(10), THREAD, context={"parallel_heads": 3})
    out = graph.invoke(None, THREAD)  # the round that was begun ends as a round; the rest goes one by one
    assert [head["updated_at"] for head in out["heads"]] == [8, 9, 6, 7]
    assert graph.get_state(THREAD).values["round"] is None
    assert graph.invoke(asked(3), THREAD)["step"] == 13


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_max_concurrency_limits_the_updates_that_run_at_once(stream: Run, limit: int) -> None:
    for mode in ("custom", "values"):
        reader = Busy()
        config = {"max_concurrency": limit}
        parts, failure = stream(create_mhm_agent(reader, **WIDE), asked(10), config, stream_mode=mode)
        assert failure is None
        assert parts
        assert reader.most <= limit
        assert sorted(reader.began) == list(range(10))


def test_all_heads_of_a_wide_memory_run_at_once(run: Run) -> None:
    class Slow(Busy):
        def _begin(self, request: UpdateRequest) -> float:
            super()._begin(request)
            return 0.3

    reader = Slow()
    run(create_mhm_agent(reader, heads=40, chunk_tokens=10, parallel_heads=40), asked(40))
    assert reader.most == 40


def test_a_builder_compiled_anew_without_room_says_so() -> None:
    graph = create_mhm_agent(Busy(), **WIDE).builder.compile()
    given: Any = {"question": "?", "document": document(4), "source": [None]}
    with pytest.raises(SettingsError, match="max_concurrency=2 leaves no room"):
        graph.invoke(given, {"max_concurrency": 2})
    assert graph.invoke(given)["step"] == 4


# Looking back, going back, and inside a host.


def test_the_timeline_tells_of_each_update_in_a_round(run: Run) -> None:
    saver = InMemorySaver()
    model = ScriptedChatModel(replies=lambda prompt: "" if "Paragraph 0001" in prompt else "a fact")
    graph = create_mhm_agent(model, **SMALL, parallel_heads=3, checkpointer=saver)
    run(graph, asked(5), THREAD)
    told = memory_timeline(saver, "1")
    assert [(update.step, update.head, update.span) for update in told.updates] == [
        (0, 0, [0, 40]),
        (1, 1, [40, 80]),
        (2, 2, [80, 120]),
        (3, 3, [120, 160]),
        (4, 0, [160, 200]),
    ]
    assert [update.kept for update in told.updates] == [False, True, False, False, False]
    assert [(run.start, run.end, run.finished) for run in told.runs] == [(0, 5, True)]
    assert told.steps == 5


def test_going_back_to_a_round_makes_its_updates_anew(run: Run) -> None:
    reader = Busy()
    graph = create_mhm_agent(reader, **WIDE, checkpointer=InMemorySaver())
    run(graph, asked(10), THREAD)
    before = next(
        state
        for state in graph.get_state_history(THREAD)
        if state.next == ("update_head",) and state.values["step"] == 4
    )
    reader.began.clear()
    assert texts(run(graph, None, before.config)) == TEN
    assert sorted(reader.began) == [4, 5, 6, 7, 8, 9]
    start = next(
        state
        for state in graph.get_state_history(THREAD)
        if state.next == ("read_chunk",) and state.values.get("step") == 4
    )
    # A person rewrites head 2, so that its turn comes last.
    fork = graph.update_state(start.config, {"heads": {"select": 2}}, as_node="select_head")
    by_hand = {"head": 2, "step": 4, "text": "by hand"}
    fork = graph.update_state(fork, {"heads": by_hand}, as_node="update_head")
    forked = run(graph, None, fork)
    assert [head["updated_at"] for head in forked["heads"]] == [8, 9, 7, 6]
    assert texts(forked)[2] == "7@280 saw 0@0,1@40,by,3@120"
    assert texts(graph.get_state(start.config).values) == texts(start.values)


@pytest.mark.parametrize("fails", [(), (5, 6)])
def test_in_a_host_it_reads_and_resumes_the_same(run: Run, fails: tuple[int, ...]) -> None:
    reader = Busy(*fails)
    graph = host(create_mhm_agent(reader, **WIDE)).compile(checkpointer=InMemorySaver())
    if fails:
        with pytest.raises(ReaderError, match="at step 5"):
            run(graph, asked(10), THREAD)
    out = run(graph, None if fails else asked(10), {**THREAD, "max_concurrency": 2})
    assert texts(out) == TEN
    assert sorted(reader.began) == sorted([*range(10), *fails])
