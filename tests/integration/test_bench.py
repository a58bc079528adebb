"""`mhm bench` as its users meet it: real tasks, a real server on loopback, real signals, kills and starts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from mhm_langgraph import ReaderError, SettingsError, cli
from mhm_langgraph.evaluation import Sample, Trajectory
from mhm_langgraph.evaluation.folder import BenchFolder, Key, key_of, read_bench, read_trajectories
from mhm_langgraph.evaluation.methods import METHODS, Trial, resolve_methods
from mhm_langgraph.evaluation.processes import share_of
from mhm_langgraph.evaluation.runner import Bench, run_bench
from mhm_langgraph.testing import ScriptedReader
from tests.integration.model_server import ModelServer, refuses

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.real_model_requests]

PUBLISHED = Path(__file__).parents[1] / "data" / "evaluation"
PROGRAM = [sys.executable, "-m", "mhm_langgraph.cli"]
SMALL = ["--lengths", "2K", "--memory-tokens", "200", "--chunk-tokens", "500", "--out", "out"]
STEPS = 5  # of a sample of 2K tokens in chunks of 500, at least 3/4 full: 5 or 6
Run = Callable[..., "Result"]


@dataclass(frozen=True)
class Result:
    code: int
    err: str


@pytest.fixture
def bench(capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Result:
        code = cli.main(["bench", *args])
        said = capsys.readouterr()
        assert said.out == ""
        return Result(code, said.err)

    return run


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


def model(server: ModelServer) -> list[str]:
    return ["--model", "openai:test", "--base-url", server.url]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trajectories.jsonl").read_text().splitlines()]


def keys(folder: Path) -> list[Key]:
    return [key_of(one) for one in read_trajectories(folder)]


# What it leaves behind


def test_every_sample_by_every_method_is_a_line_and_the_table_tells_of_them(
    bench: Run, tmp_path: Path
) -> None:
    done = bench("needle", *SMALL, "--samples", "3", "--methods", "mhm-lru,memagent,remem", "--runs", "2")
    assert done.code == 0
    ids = ["0000-single", "0001-multi-key", "0002-multi-value"]
    wanted = [
        (2048, name, method, run)
        for name in ids
        for method in ("mhm-lru", "memagent", "remem")
        for run in (0, 1)
    ]
    assert sorted(keys(tmp_path / "out")) == sorted(wanted)
    assert re.search(r"length +method +done +failed +MCR +MRR +accuracy +calls +tokens +seconds", done.err)
    assert re.search(r"2K +mhm-lru +6 +0 +[\d.]+ +[\d.]+ +[\d.]+ +0 +0 +[\d.]+", done.err)
    assert done.err.splitlines()[-1].startswith("Done: 18 of 18 runs, ")
    assert done.err.endswith("Tables and plots: mhm report out\n")
    assert "\x1b" not in done.err


def test_bench_json_holds_what_is_needed_to_repeat_it(
    bench: Run, server: ModelServer, tmp_path: Path
) -> None:
    secret = server.url.replace("//", "//ada:hidden-password@")
    done = bench(
        "needle",
        *SMALL,
        "--model",
        "openai:test",
        "--base-url",
        secret,
        "--samples",
        "1",
        "--temperature",
        "0.7",
    )
    assert done.code == 0, done.err
    text = (tmp_path / "out" / "bench.json").read_text()
    assert "hidden-password" not in text
    kept = read_bench(tmp_path / "out")
    assert kept["settings"] == {
        "task": "needle",
        "variants": [],
        "lengths": [2048],
        "samples": 1,
        "runs": 1,
        "seed": 0,
        "methods": ["mhm-lru", "memagent"],
        "model": "openai:test",
        "memory_tokens": 200,
        "chunk_tokens": 500,
        "answer_tokens": 1024,
        "prompts": "standard",
        "token_counter": None,
        "temperature": 0.7,
        "top_p": None,
        "window": None,
    }
    assert re.fullmatch("[0-9a-f]{16}", kept["prompts"])
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in kept["data"].values())
    (start,) = kept["starts"]
    assert start["concurrency"] == 32
    assert set(start["versions"]) == {
        "python",
        "mhm-langgraph",
        "langgraph",
        "langchain-core",
        "langchain-openai",
    }
    assert "cores" in start["machine"]


def test_each_run_has_its_own_seed_of_sampling(bench: Run, server: ModelServer) -> None:
    sampling = ["--temperature", "0.7", "--top-p", "0.95", "--seed", "5", "--runs", "2"]
    assert (
        bench("needle", *SMALL, *model(server), *sampling, "--samples", "1", "--methods", "memagent").code
        == 0
    )
    seeds = Counter(asked.body["seed"] for asked in server.journal)
    assert seeds == {5: len(server.journal) // 2, 6: len(server.journal) // 2}
    assert {(asked.body["temperature"], asked.body["top_p"]) for asked in server.journal} == {(0.7, 0.95)}


def test_every_method_on_a_model_behind_http(bench: Run, server: ModelServer, tmp_path: Path) -> None:
    asked = ["ruler-hqa", *SMALL, *model(server), "--samples", "1", "--methods", ",".join(METHODS)]
    done = bench(*asked, "--window", "4096")
    assert done.code == 0, done.err
    found = {one.method: one for one in read_trajectories(tmp_path / "out")}
    assert found.keys() == set(METHODS)
    steps = len(found["mhm-lru"].updates)
    calls = {name: one.usage["calls"] for name, one in found.items()}
    assert calls == {
        **dict.fromkeys(("mhm-lru", "memagent", "mhm-random", "mhm-concur", "remem"), steps + 1),
        "mhm-relevance": 2 * steps + 1,
        "llm": 1,
        "closed-book": 1,
    }
    assert len(server.journal) == sum(calls.values())
    assert {asked.body["max_completion_tokens"] for asked in server.journal} >= {50, 100 + 64, 1024}


@pytest.mark.parametrize("name", ["extractive", "simulation:forget=0.2,copy=0"])
def test_models_that_need_no_server(bench: Run, tmp_path: Path, name: str) -> None:
    assert bench("ruler-hqa", *SMALL, "--model", name, "--samples", "2").code == 0
    assert len(keys(tmp_path / "out")) == 4


# Stopping and starting


def started(folder: Path, server: ModelServer, *more: str) -> subprocess.Popen[str]:
    command = [
        *PROGRAM,
        "bench",
        "needle",
        *SMALL,
        *model(server),
        "--samples",
        "6",
        "--concurrency",
        "3",
        *more,
    ]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)  # noqa: S603  # our own


def wait_for(folder: Path, count: int) -> None:
    path, ends = folder / "out" / "trajectories.jsonl", time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_bench_that_was_stopped_goes_on_with_the_same_command(tmp_path: Path, how: signal.Signals) -> None:
    """Nothing that is finished is repeated, nothing is lost: the server counts."""
    with ModelServer(latency=0.05) as server:
        program = started(tmp_path, server)
        wait_for(tmp_path, 4)
        program.send_signal(how)
        said = program.communicate(timeout=30)[1]
        assert program.returncode == (-9 if how == signal.SIGKILL else 130)
        if how != signal.SIGKILL:
            assert re.fullmatch(
                r"mhm: stopped: \d+ of 12 runs, .*The same command goes on from there\.\n", said
            )
        before = lines(tmp_path / "out")
        asked = len(server.journal)
        assert 4 <= len(before) < 12
        again = started(tmp_path, server)
        said = again.communicate(timeout=60)[1]
        assert again.returncode == 0
        assert f"Going on: {len(before)} of 12 runs are done already." in said
        after = lines(tmp_path / "out")
        assert after[: len(before)] == before
        assert len(set(keys(tmp_path / "out"))) == len(after) == 12
        calls = {one.usage["calls"] for one in read_trajectories(tmp_path / "out")}
        assert calls <= {STEPS + 1, STEPS + 2}
        redone = sum(one["usage"]["calls"] for one in after[len(before) :])
        assert len(server.journal) - asked == redone
        assert [start["concurrency"] for start in read_bench(tmp_path / "out")["starts"]] == [3, 3]
        server.faults.clear()  # a call that the stop cut off in the middle


def test_a_line_that_a_kill_tore_is_done_again(bench: Run, tmp_path: Path) -> None:
    asked = ["needle", *SMALL, "--samples", "2", "--methods", "memagent"]
    assert bench(*asked).code == 0
    path = tmp_path / "out" / "trajectories.jsonl"
    whole = path.read_bytes()
    for cut in (10, len(whole) - whole.index(b"\n") - 1):  # in the middle of the last line; all of it
        path.write_bytes(whole[:-cut])
        assert len(keys(tmp_path / "out")) == 1
        assert "Going on: 1 of 2 runs" in bench(*asked).err
        assert sorted(keys(tmp_path / "out")) == [
            (2048, "0000-single", "memagent", 0),
            (2048, "0001-multi-key", "memagent", 0),
        ]
        assert path.read_bytes().count(b"\n") == 2


def test_a_finished_bench_reads_nothing_again(bench: Run, server: ModelServer) -> None:
    asked = ["needle", *SMALL, *model(server), "--samples", "1"]
    assert bench(*asked).code == 0
    calls = len(server.journal)
    done = bench(*asked)
    assert (done.code, len(server.journal)) == (0, calls)
    assert "Done: 2 of 2 runs" in done.err


def test_methods_lengths_samples_and_runs_may_be_added(bench: Run, tmp_path: Path) -> None:
    assert bench("needle", *SMALL, "--samples", "1", "--methods", "memagent").code == 0
    before = lines(tmp_path / "out")
    more = ["--lengths", "4K,2K", "--samples", "2", "--runs", "2", "--methods", "mhm-lru"]
    assert bench("needle", *SMALL, *more).code == 0
    assert lines(tmp_path / "out")[:1] == before
    assert len(keys(tmp_path / "out")) == 1 + 8
    settings = read_bench(tmp_path / "out")["settings"]
    assert settings["methods"] == ["memagent", "mhm-lru"]
    assert (settings["lengths"], settings["samples"], settings["runs"]) == ([2048, 4096], 2, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--seed", "1"], "holds a bench with seed=0, not 1"),
        (["--memory-tokens", "300"], "holds a bench with memory_tokens=200, not 300"),
        (["--model", "simulation"], "holds a bench with model='extractive', not 'simulation:"),
        (["--prompts", "compact"], "holds a bench with prompts='standard', not 'compact'"),
        (["--variants", "single"], r"holds a bench with variants=\[\], not \['single'\]"),
    ],
)
def test_a_folder_takes_one_bench(bench: Run, tmp_path: Path, change: list[str], words: str) -> None:
    asked = ["needle", *SMALL, "--samples", "1", "--methods", "memagent"]
    assert bench(*asked).code == 0
    before = (tmp_path / "out" / "bench.json").read_bytes()
    done = bench(*asked, *change)
    assert done.code == 2
    assert re.fullmatch(rf"mhm: out {words}.*: use that, or another folder\.\n", done.err), done.err
    assert (tmp_path / "out" / "bench.json").read_bytes() == before


def test_other_data_or_prompts_are_another_bench(tmp_path: Path) -> None:
    facts = {
        "settings": {"lengths": [1], "methods": ["a"], "runs": 1, "samples": 1},
        "prompts": "1",
        "data": {"b": "2"},
    }
    with BenchFolder(tmp_path / "out", facts, {}):
        pass
    for change in ({"prompts": "9"}, {"data": {"b": "9"}}, {"data": {"other": "2"}}):
        with (
            pytest.raises(SettingsError, match="holds a bench with other"),
            BenchFolder(tmp_path / "out", facts | change, {}),
        ):
            pass


def test_lengths_of_published_files_are_added(bench: Run, tmp_path: Path) -> None:
    """Each length has a file of its own, and each of BABILong's variants one of the same name."""
    rows = json.loads((PUBLISHED / "memagent" / "eval_50.json").read_text(encoding="utf-8"))
    for documents in (50, 100):
        (tmp_path / f"eval_{documents}.json").write_text(json.dumps(rows))
    asked = ["ruler-hqa", "--out", "out", "--data", str(tmp_path), "--samples", "1", "--methods", "memagent"]
    for lengths in ("14K", "7K", "7K,14K"):
        assert bench(*asked, "--lengths", lengths).code == 0
    assert set(read_bench(tmp_path / "out")["data"]) == {"7K/eval_50.json", "14K/eval_100.json"}
    (tmp_path / "eval_50.json").write_text(json.dumps(rows[::-1]))
    assert bench(*asked, "--lengths", "14K").code == 0
    done = bench(*asked, "--lengths", "7K")
    assert done.code == 2
    assert "holds a bench with other data" in done.err


def test_the_file_of_each_published_variant_is_known(bench: Run, tmp_path: Path) -> None:
    data = ["--data", str(PUBLISHED / "babilong"), "--variants", "qa1,qa8", "--lengths", "8K"]
    assert bench("babilong", *data, "--samples", "2", "--methods", "memagent", "--out", "out").code == 0
    assert set(read_bench(tmp_path / "out")["data"]) == {"8K/qa1/8k.json", "8K/qa8/8k.json"}


def test_a_folder_is_used_by_one_process(tmp_path: Path) -> None:
    facts = {"settings": {"lengths": [1], "methods": ["a"], "runs": 1, "samples": 1}}
    with (
        BenchFolder(tmp_path / "out", facts, {}),
        pytest.raises(SettingsError, match="in use by another mhm bench"),
        BenchFolder(tmp_path / "out", facts, {}),
    ):
        pass


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"holds no bench\.json: name the folder"):
        read_bench(tmp_path)
    (tmp_path / "trajectories.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(SettingsError, match="line 1: no trajectory"):
        list(read_trajectories(tmp_path))
    with (
        pytest.raises(SettingsError, match=r"holds trajectories, but no bench\.json"),
        BenchFolder(tmp_path, {}, {}),
    ):
        pass


# Failures


def test_a_failure_is_counted_never_scored_and_tried_again(
    bench: Run, server: ModelServer, tmp_path: Path
) -> None:
    server.then(refuses(400))
    asked = [
        "needle",
        *SMALL,
        *model(server),
        "--samples",
        "2",
        "--methods",
        "memagent",
        "--concurrency",
        "1",
    ]
    done = bench(*asked)
    assert done.code == 1
    assert "Failed: memagent, 2K, 0000-single: The reader failed at step 0" in done.err
    assert re.search(r"2K +memagent +1 +1 ", done.err)
    first = lines(tmp_path / "out")
    assert [line["error"] is None for line in first] == [False, True]
    assert first[0]["answer"] is None
    assert "invoke(None" not in first[0]["error"]
    calls = len(server.journal)
    done = bench(*asked)
    assert done.code == 0
    assert "Going on: 1 of 2 runs are done already; 1 that failed are tried again." in done.err
    assert len(server.journal) - calls == first[1]["usage"]["calls"]  # the one that failed, alone
    assert re.search(r"2K +memagent +2 +0 ", done.err)
    assert [one.error for one in read_trajectories(tmp_path / "out")] == [None, None]
    assert len(lines(tmp_path / "out")) == 3


def test_a_model_that_refuses_everything_stops_the_bench_early(
    bench: Run, server: ModelServer, tmp_path: Path
) -> None:
    server.always = refuses(401)
    done = bench("needle", *SMALL, *model(server), "--samples", "40", "--concurrency", "2")
    assert done.code == 1
    assert re.search(
        r"mhm: 5 runs in a row failed, so the bench has stopped\. The last: .*does not accept the key.* The "
        r"same command goes on, and tries again what has failed\.\n$",
        done.err,
    )
    assert len(server.journal) <= 7
    server.always = ModelServer().always
    assert bench("needle", *SMALL, *model(server), "--samples", "40", "--concurrency", "8").code == 0
    assert len(set(keys(tmp_path / "out"))) == 80


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nidle"], "task='nidle' is not known"),
        (["needle", "--methods", "best"], "method 'best' is not known"),
        (["needle", "--methods", ","], "--methods is empty"),
        (["needle", "--lengths", "8Q"], "length='8Q' is not allowed"),
        (["needle", "--lengths", "100M"], "is more than there is"),
        (["needle", "--methods", "llm"], "needs a chat model"),
        (["needle", "--model", "extractive", "--temperature", "1"], "takes none"),
        (["needle", "--model", "simulation:luck=1"], "'luck=1' is none of"),
        (["needle", "--base-url", "http://localhost"], "base_url goes with"),
        (["needle", "--token-counter", "model"], "needs a chat model, which can count"),
        (["needle", "--data", "nowhere"], "nowhere"),
        (["needle", "--samples", "0"], "--samples"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    bench: Run, tmp_path: Path, args: list[str], words: str
) -> None:
    done = bench(*args)
    assert done.code == 2
    assert re.fullmatch(r"mhm: [^\n]+\n", done.err), done.err
    assert words in done.err
    assert not (tmp_path / "mhm-bench").exists()


# The runner itself


@dataclass
class Counted:
    """Samples that know how many of them are alive."""

    count: int
    alive: weakref.WeakSet[Sample] = field(default_factory=weakref.WeakSet)
    most: int = 0
    built: list[int] = field(default_factory=list)

    @property
    def ids(self) -> Sequence[str]:
        return [f"{index}" for index in range(self.count)]

    def __getitem__(self, index: int, /) -> Sample:
        one = Sample(
            id=f"{index}",
            task="t",
            length=100,
            tokens=90,
            question="?",
            context="Some text. " * 30,
            answers=("a",),
        )
        self.built.append(index)
        self.alive.add(one)
        self.most = max(self.most, len(self.alive))
        return one


@dataclass
class Memory:
    """Keeps trajectories in a list."""

    done: set[Key] = field(default_factory=set)
    kept: list[Trajectory] = field(default_factory=list)

    def append(self, trajectory: Trajectory) -> None:
        self.kept.append(trajectory)


def plan(samples: Any, reader: Any, **options: Any) -> Bench:
    return Bench(
        samples={100: samples},
        methods=resolve_methods(["memagent", "mhm-lru"]),
        models=lambda sample, run: reader,
        trial=Trial(reader=reader, memory_tokens=40, chunk_tokens=40),
        **options,
    )


async def test_samples_are_built_when_they_are_needed_and_let_go() -> None:
    samples, memory = Counted(60), Memory()
    await run_bench(plan(samples, ScriptedReader(), concurrency=4), memory, lambda one: None)
    assert samples.built == list(range(60))
    assert len(memory.kept) == 120
    assert samples.most <= 2 * 4


async def test_a_sample_that_is_done_is_not_built() -> None:
    samples = Counted(3)
    memory = Memory(
        done={(100, "1", method, 0) for method in ("memagent", "mhm-lru")} | {(100, "2", "memagent", 0)}
    )
    await run_bench(plan(samples, ScriptedReader()), memory, lambda one: None)
    assert samples.built == [0, 2]
    assert sorted((one.sample, one.method) for one in memory.kept) == [
        ("0", "memagent"),
        ("0", "mhm-lru"),
        ("2", "mhm-lru"),
    ]


async def test_so_many_runs_are_under_way_and_no_more() -> None:
    at_once, most = 0, 0

    class Slow(ScriptedReader):
        async def aupdate(self, request: Any) -> Any:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.02)
            at_once -= 1
            return self.update(request)

    await run_bench(plan(Counted(20), Slow(), concurrency=7), Memory(), lambda one: None)
    assert most == 7


async def test_a_run_of_failures_after_successes_stops_it_too() -> None:
    calls = 0

    class Dies(ScriptedReader):
        def update(self, request: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > 40:
                raise OSError("the server is gone")
            return super().update(request)

    memory = Memory()
    with pytest.raises(ReaderError, match=r"8 runs in a row failed.*the server is gone"):
        await run_bench(plan(Counted(60), Dies(), concurrency=4), memory, lambda one: None)
    failed = [one for one in memory.kept if one.error]
    assert all("OSError" in (one.error or "") for one in failed)
    assert len(failed) < 60


async def test_a_wrong_setting_is_no_failure() -> None:
    class Picky(ScriptedReader):
        def update(self, request: Any) -> Any:
            raise SettingsError("this can not be")

    memory = Memory()
    with pytest.raises(SettingsError, match="this can not be"):
        await run_bench(plan(Counted(9), Picky()), memory, lambda one: None)
    assert memory.kept == []


def test_a_terminal_sees_a_bar(tmp_path: Path) -> None:
    import pty

    ours, its = pty.openpty()
    command = [*PROGRAM, "bench", "needle", *SMALL, "--samples", "2"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    program = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=its)  # noqa: S603  # our own
    os.close(its)
    drawn = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        drawn += part
    os.close(ours)
    assert program.wait(timeout=30) == 0
    assert b"4 of 4 runs" in drawn
    assert "━".encode() in drawn


# Several processes


def test_several_processes_come_to_the_same(bench: Run, tmp_path: Path) -> None:
    asked = ["needle", *SMALL, "--samples", "5", "--methods", "mhm-random,remem", "--runs", "2"]
    assert bench(*asked).code == 0
    assert bench(*asked, "--processes", "2", "--out", "two").code == 0

    def told(folder: str) -> dict[Key, Any]:
        return {key_of(one): (one.updates, one.answer) for one in read_trajectories(tmp_path / folder)}

    assert told("two") == told("out")
    assert len(told("two")) == 20


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_that_started_them(tmp_path: Path, how: signal.Signals) -> None:
    with ModelServer(latency=0.05) as server:
        program = started(tmp_path, server, "--processes", "2")
        wait_for(tmp_path, 3)
        program.send_signal(how)
        program.communicate(timeout=30)
        assert program.returncode == (-9 if how == signal.SIGKILL else 130)
        time.sleep(0.3)  # of a call that was under way
        before, asked = lines(tmp_path / "out"), len(server.journal)
        time.sleep(0.3)
        assert len(server.journal) == asked
        again = started(tmp_path, server)
        assert "Going on: " in again.communicate(timeout=60)[1]
        after = lines(tmp_path / "out")
        assert after[: len(before)] == before
        assert len(set(keys(tmp_path / "out"))) == len(after) == 12
        server.faults.clear()  # a call that the stop cut off in the middle


def test_what_stops_one_process_stops_the_bench(bench: Run, server: ModelServer) -> None:
    server.always = refuses(401)
    done = bench(
        "needle", *SMALL, *model(server), "--samples", "40", "--concurrency", "4", "--processes", "2"
    )
    assert done.code == 1
    assert "5 runs in a row failed, so the bench has stopped" in done.err


def test_a_server_of_one_s_own_is_not_started_several_times(bench: Run) -> None:
    done = bench("needle", *SMALL, "--model", "local", "--processes", "2")
    assert done.code == 2
    assert "each would start its own" in done.err


def test_shares_are_the_whole() -> None:
    whole = plan(Counted(7), ScriptedReader(), concurrency=8)
    parts = [share_of(whole, number, 3) for number in range(3)]
    assert sorted(chain.from_iterable(part.keys() for part in parts)) == sorted(whole.keys())
    assert [part.concurrency for part in parts] == [3, 3, 2]
    assert [part.samples[100][1].id for part in parts] == ["3", "4", "5"]
