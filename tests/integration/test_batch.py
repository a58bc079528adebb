"""`mhm batch` as its users meet it: real jobs, real kills, every row once."""

from __future__ import annotations

import csv
import gzip
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mhm_langgraph import STANDARD, Choice, HeadSelector, Reply, Settings, SettingsError, Turn, Usage, cli
from mhm_langgraph.batch import Limits, Progress, arun_batch, run_batch
from mhm_langgraph.batch.gate import OpenGate
from mhm_langgraph.cli.ask import ask
from mhm_langgraph.cli.batch import batch
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from tests.integration.batch_jobs import by_id, rows, write_jobs, write_real_jobs
from tests.integration.conftest import document
from tests.integration.model_server import ModelServer, refuses, says

PROGRAM = [sys.executable, "-m", "mhm_langgraph.cli", "batch"]
SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 40}
COUNT, CHUNK = 200, 500
ABSENT = [("unsupported", None), ("archived", None)]
Run = Callable[..., Progress]


class CostlyReader(ScriptedReader):
    """A scripted reader whose calls cost nine tokens in and one out."""

    def update(self, request: Any) -> Reply:
        return Reply(text=super().update(request).text, usage=Usage(input_tokens=9, output_tokens=1, calls=1))

    def answer(self, request: Any) -> Reply:
        return Reply(text=super().answer(request).text, usage=Usage(input_tokens=9, output_tokens=1, calls=1))

    @property
    def calls(self) -> int:
        return len(self.updates) + len(self.answers)


@pytest.fixture
def reader() -> CostlyReader:
    return CostlyReader()


@pytest.fixture
def run(tmp_path: Path, reader: CostlyReader) -> Run:
    """A batch over `jobs.jsonl`, with the scripted reader where nothing else is named."""
    given = {"model": reader, **SMALL}
    return lambda jobs="jobs.jsonl", **options: run_batch(
        tmp_path / jobs, tmp_path / "out", **{**given, **options}
    )


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # our own program
        [*PROGRAM, "jobs.jsonl", "--out", "out", *options], cwd=folder, stderr=subprocess.PIPE, text=True
    )


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while lines_of(path) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def left_in_store(out: Path) -> list[Path]:
    return list((out / "checkpoints").rglob("*.sqlite*"))


def asked(count: int, chunks: int = 2) -> list[dict[str, Any]]:
    return [
        {"id": number, "document": f"Job {number:4d}. " + document(chunks), "question": "?"}
        for number in range(count)
    ]


# Nothing lost, nothing twice.


def test_200_real_jobs_killed_and_started_again(tmp_path: Path) -> None:
    """SIGKILL at two moments of a real process, and a torn line: nothing is lost, and nothing twice."""
    jobs = write_real_jobs(tmp_path, COUNT)
    progress = run_batch(tmp_path / "jobs.jsonl", tmp_path / "unbroken", chunk_tokens=CHUNK)
    assert (progress.ended, progress.failed, progress.left) == (COUNT, 0, 0)
    unbroken = by_id(rows(tmp_path / "unbroken"))
    assert {str(job["id"]) for job in jobs} == unbroken.keys()
    assert all(row["answer"] and row["error"] is None for row in unbroken.values())
    for head in unbroken["excerpt-1"]["heads"]:
        assert head["source"] == "excerpt.txt.gz"
        assert 0 <= head["span"][0] < head["span"][1]
    assert left_in_store(tmp_path / "unbroken") == []
    results, options = tmp_path / "out" / "results.jsonl", ["--chunk-tokens", str(CHUNK)]
    for done in (1, 90):
        process = start(tmp_path, *options)
        wait_for_lines(results, done, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert done <= lines_of(results) < COUNT
    assert left_in_store(tmp_path / "out"), "jobs were under way"
    with results.open("ab") as file:
        file.write(b'{"id": "torn, as by a kill in the mi')
    process = start(tmp_path, *options)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert said.splitlines()[-1].startswith(f"{COUNT} of {COUNT} documents")
    assert by_id(rows(tmp_path / "out")) == unbroken
    assert left_in_store(tmp_path / "out") == []


def test_a_job_goes_on_in_the_middle_of_its_document(tmp_path: Path, run: Run, reader: CostlyReader) -> None:
    """Stopped by a ceiling: no chunk is read twice, and none is left out."""
    write_jobs(tmp_path / "jobs.jsonl", [{"id": "a", "document": document(6), "question": "?"}])
    stopped = run(limits=Limits(max_tokens=30))
    assert stopped.stopped == "max_tokens=30 is reached: raise it to go on."
    assert (stopped.left, stopped.usage["calls"], rows(tmp_path / "out")) == (1, 3, [])
    done = run(limits=Limits(max_tokens=1000))
    assert (done.left, done.usage["calls"], done.stopped) == (0, 7, None)
    assert [request.step for request in reader.updates] == [0, 1, 2, 3, 4, 5]
    (row,) = rows(tmp_path / "out")
    assert (row["steps"], row["usage"]) == (6, {"input_tokens": 63, "output_tokens": 7, "calls": 7})


def full_disk(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_job_that_finished_before_its_row_was_written_costs_no_call(
    tmp_path: Path, run: Run, reader: CostlyReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(3))
    with monkeypatch.context() as patch:
        patch.setattr("mhm_langgraph.batch.results.os.fsync", full_disk)
        assert "No space left" in str(run().stopped)
    assert rows(tmp_path / "out") == []
    assert reader.calls >= 4, "one job had come to its end"
    assert run().ended == 3
    assert reader.calls == 3 * 4
    assert len(by_id(rows(tmp_path / "out"))) == 3
    assert left_in_store(tmp_path / "out") == []


def test_a_thread_whose_row_was_written_is_forgotten_at_the_next_start(tmp_path: Path, run: Run) -> None:
    """As after a kill between the two."""
    write_jobs(tmp_path / "jobs.jsonl", asked(1))
    run(keep_threads=True)
    assert left_in_store(tmp_path / "out")
    assert run().ended == 0
    assert left_in_store(tmp_path / "out") == []


def test_jobs_that_were_added_are_run_and_the_others_are_not(
    tmp_path: Path, run: Run, reader: CostlyReader
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(3))
    run()
    write_jobs(tmp_path / "jobs.jsonl", asked(5))
    progress = run()
    assert (progress.total, progress.before, progress.ended) == (5, 3, 2)
    assert progress.usage["calls"] == reader.calls
    assert by_id(rows(tmp_path / "out")).keys() == {"0", "1", "2", "3", "4"}


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(40, chunks=30))
    process = start(tmp_path, "--chunk-tokens", "10", "--concurrency", "2")
    wait_for_lines(tmp_path / "out" / "results.jsonl", 1, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(
        r"mhm: stopped with \d+ jobs left: interrupted: the same command goes on\.", said.splitlines()[-1]
    )
    assert "Traceback" not in said
    assert left_in_store(tmp_path / "out")


# One bad job is a row.


@pytest.mark.parametrize(
    ("job", "error"),
    [
        ({"source": "missing.txt"}, "SourceError: .*missing.txt can not be read: No such file"),
        ({"source": "/etc/hostname"}, "SourceError: /etc/hostname lies outside the allowed folder"),
        ({"source": "../elsewhere.txt"}, "SourceError: ../elsewhere.txt lies outside"),
        ({"source": "link.txt"}, "SourceError: link.txt lies outside the allowed folder"),
        ({"source": "https://example.com/a.txt"}, "SourceError: .* is an address, not a file"),
        ({"source": "picture.bin"}, "SourceError: .*picture.bin looks binary"),
        ({"source": ["good.txt", 5]}, r"SettingsError: line 2 can not be run: source=\['good.txt', 5\]"),
        ({}, "SettingsError: line 2 can not be run: it has neither source nor document"),
        ({"source": "good.txt", "document": "Text."}, "SettingsError: .* it has both source and document"),
        ({"document": "Text.", "question": 5}, "SettingsError: .* question=5 is no text"),
        ({"document": "Half \ud800 a pair."}, "SourceError: document holds half a surrogate pair"),
    ],
)
def test_a_job_that_can_not_be_run_is_a_row_with_its_error(
    tmp_path: Path, run: Run, job: dict[str, Any], error: str
) -> None:
    (tmp_path / "good.txt").write_text("Some text.")
    (tmp_path / "picture.bin").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    good = [{"id": n, "source": "good.txt", "question": "?"} for n in ("before", "after")]
    write_jobs(tmp_path / "jobs.jsonl", [good[0], {"id": "bad", "question": "?", **job}, good[1]])
    progress = run()
    assert (progress.ended, progress.failed, progress.stopped) == (3, 1, None)
    found = by_id(rows(tmp_path / "out"))
    assert re.match(error, found["bad"]["error"]), found["bad"]["error"]
    assert (found["bad"]["answer"], found["bad"]["heads"]) == (None, [])
    assert [found[name]["error"] for name in ("before", "after")] == [None, None]
    assert left_in_store(tmp_path / "out") == []


@pytest.mark.real_model_requests
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_failing_model_is_a_row_that_can_be_retried_where_it_stopped(tmp_path: Path) -> None:
    """The call for the third job's second chunk is refused; the others go on."""
    write_jobs(tmp_path / "jobs.jsonl", asked(4))
    with ModelServer() as server:
        options = {"model": "openai:test", "base_url": server.url, "concurrency": 1, **SMALL}
        again = partial(run_batch, tmp_path / "jobs.jsonl", tmp_path / "out", **options)
        server.then(*[server.always] * 9, refuses(400))
        assert (again().failed, len(server.journal)) == (1, 14)
        found = by_id(rows(tmp_path / "out"))
        assert found["2"]["error"].startswith("ReaderError: The reader failed at step 1, chunk [")
        assert "invoke" not in found["2"]["error"]
        assert (found["2"]["steps"], found["2"]["usage"]["calls"], found["2"]["answer"]) == (1, 1, None)
        assert again().ended == 0, "it is not retried unasked"
        assert again(retry_failed=True).ended == 1
        assert len(server.journal) == 14 + 3
    after = by_id(rows(tmp_path / "out"))
    assert after["2"]["error"] is None
    assert (after["2"]["steps"], after["2"]["usage"]["calls"]) == (3, 4)
    assert {name: after[name] for name in ("0", "1", "3")} == {n: found[n] for n in ("0", "1", "3")}
    assert left_in_store(tmp_path / "out") == []


@pytest.mark.real_model_requests
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_wrong_key_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(300))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-key-of-a-test")
    with ModelServer() as server:
        server.always = refuses(401, {"message": "Incorrect API key provided: sk-wrong-key-of-a-test"})
        model = ["--model", "openai:test", "--base-url", server.url]
        assert cli.main(["batch", "jobs.jsonl", "--out", "out", *model]) == 1
    said = capsys.readouterr().err
    assert re.search(r"stopped with \d+ jobs left: 2\d of 2\d jobs failed, more than max_failures=50%", said)
    assert "--retry-failed" in said
    assert 20 <= len(rows(tmp_path / "out")) < 40
    everything = "".join(path.read_text() for path in (tmp_path / "out").glob("*.json*"))
    assert "The server does not accept the key" in everything
    assert "sk-wrong" not in everything + said


def test_a_limit_of_failures_is_a_number_too(tmp_path: Path, run: Run) -> None:
    write_jobs(tmp_path / "jobs.jsonl", [{"id": n, "source": "missing"} for n in range(9)])
    progress = run(limits=Limits(max_failures=2), concurrency=1)
    assert progress.stopped.startswith("3 of 3 jobs failed, more than max_failures=2.")
    assert progress.left > 0
    assert run(limits=Limits(max_failures=9)).left == 0


# Ceilings.


def test_money_and_tokens_stop_it_cleanly(tmp_path: Path, run: Run, reader: CostlyReader) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(6))
    price = {"price_in": 100_000, "price_out": 100_000}  # a call is 1
    progress = run(limits=Limits(max_cost=8, **price), concurrency=2)
    assert progress.stopped == "max_cost=8 is reached: raise it to go on."
    assert 8 <= progress.cost <= 9, "calls under way are finished"
    again = run(limits=Limits(max_cost=8, **price), concurrency=2)
    assert again.stopped == progress.stopped
    assert reader.calls <= 10
    rest = run(limits=Limits(max_cost=100, **price))
    assert (rest.left, rest.stopped) == (0, None)
    assert rest.usage["calls"] == reader.calls == 6 * 4
    assert rest.cost == pytest.approx(24)
    assert len(by_id(rows(tmp_path / "out"))) == 6


async def test_rates_hold_for_all_jobs_together(tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(4, chunks=3))
    times: list[float] = []

    def update(_: Any) -> str:
        times.append(time.monotonic())
        return "noted"

    limits = Limits(requests_per_minute=600)
    jobs, out = tmp_path / "jobs.jsonl", tmp_path / "out"
    await arun_batch(jobs, out, model=CostlyReader(update=update), concurrency=4, limits=limits, **SMALL)
    assert len(times) == 16
    # Twenty calls, ten of them at once, the rest at ten a second. Slower is no mistake, faster is one.
    assert times[-1] - times[0] >= 0.5


@pytest.mark.real_model_requests
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_call_that_is_made_again_waits_for_its_turn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    """A refusal that passes, an empty reply: the server's calls are those that the gate has let through."""
    write_jobs(tmp_path / "jobs.jsonl", asked(1))
    turns: list[int] = []
    admit = OpenGate.admit

    async def counted(gate: OpenGate, tokens: int) -> bool:
        turns.append(tokens)
        return await admit(gate, tokens)

    monkeypatch.setattr(OpenGate, "admit", counted)
    with ModelServer() as server:
        server.then(refuses(429), refuses(503), says(""))
        model = {"model": "openai:test", "base_url": server.url}
        progress = run_batch(tmp_path / "jobs.jsonl", tmp_path / "out", **model, **SMALL)
        assert (progress.failed, len(turns)) == (0, len(server.journal))
    assert len(turns) == 3 + 4
    assert len(pauses) == 2


# What it refuses, before anything is run.


def test_another_setting_is_refused(tmp_path: Path, run: Run) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(1))
    run()
    for changed in ({"heads": 4}, {"model": "extractive"}, {"selector": "random"}, {"checkpoints": "x"}):
        with pytest.raises(SettingsError, match=f"out was begun with {next(iter(changed))}="):
            run(**changed)
    assert run(call_timeout=3.0, max_retries=1).ended == 0, "these change no reply"


def first_head(turn: Turn) -> int:
    return turn.free[0]


class First(HeadSelector):
    def select(self, turn: Turn) -> Choice:
        return Choice(turn.free[0])


@pytest.mark.parametrize(
    "own",
    [
        {"prompts": replace(STANDARD, update_gate="Nothing? Write <skip>.")},
        {"selector": first_head},
        {"selector": First()},
        {"grounding": "flag", "grounding_rule": lambda sentence, evidence: True},
        {"recall": 1, "recall_ranking": lambda question, texts: [1.0] * len(texts)},
        {"token_counter": len},
    ],
    ids=lambda own: next(reversed(own)),
)
def test_settings_may_be_objects_of_ones_own_and_are_told_apart(
    tmp_path: Path, run: Run, own: dict[str, Any]
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(1))
    assert run(**own).ended == 1
    without = {name: value for name, value in own.items() if isinstance(value, str | int)}
    with pytest.raises(SettingsError, match=f"begun with {next(reversed(own))}="):
        run(**without)


def test_a_row_tells_what_the_exit_gate_left_unread(tmp_path: Path, run: Run) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(2, chunks=3))
    run(model=ScriptedChatModel(replies=["<enough> Noted."]), exit_gate=True, parquet=True)
    (first, _) = rows(tmp_path / "out")
    assert 0 < first["exited"]["read"] < first["exited"]["total"]
    table = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert table[0]["exited"] == first["exited"]


def test_a_job_that_was_changed_is_refused(tmp_path: Path, run: Run) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(2))
    run()
    write_jobs(tmp_path / "jobs.jsonl", [*asked(1), {"id": 1, "document": "Another.", "question": "?"}])
    with pytest.raises(
        SettingsError, match=r"the job '1' \(line 2\) was changed since its result was written"
    ):
        run()


def test_an_unfinished_job_that_was_changed_begins_anew(
    tmp_path: Path, run: Run, reader: CostlyReader
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(1, chunks=4))
    run(limits=Limits(max_tokens=20))
    write_jobs(tmp_path / "jobs.jsonl", [{"id": 0, "document": document(3), "question": "Another?"}])
    run()
    assert [request.step for request in reader.updates] == [0, 1, 0, 1, 2]
    assert rows(tmp_path / "out")[0]["steps"] == 3


def test_two_runs_at_once_are_refused(tmp_path: Path, run: Run) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(1))

    def meanwhile(_: Progress) -> None:
        with pytest.raises(SettingsError, match="another run is using"):
            run_batch(tmp_path / "jobs.jsonl", tmp_path / "out")
        seen.append(True)

    seen: list[bool] = []
    with ThreadPoolExecutor(1) as other:
        run(watch=lambda progress: other.submit(meanwhile, progress).result())
    assert seen


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (['{"id": "a"}', '{"id": "b"}', "", '{"id": "a"}'], "line 1 and line 4 of JOBS .* the id 'a'"),
        (['{"id": "a"}', '{"id": 1.5}'], "line 2 of .* has the id 1.5"),
        (['{"document": "text"}'], "line 1 of .* has the id None"),
        (['{"id": "a\\u0000b"}'], "line 1 of .* has the id"),
        (['{"id": "a"}', '{"id": '], "line 2 of JOBS .* is not JSON"),
        (["[1]"], "line 1 of .* is no object"),
        ([], "holds no job"),
    ],
)
def test_ids_are_looked_at_before_anything_is_run(
    tmp_path: Path, run: Run, reader: CostlyReader, lines: list[str], error: str
) -> None:
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines))
    with pytest.raises(SettingsError, match=error):
        run()
    assert (reader.calls, rows(tmp_path / "out")) == (0, [])


def test_a_file_that_is_no_result_is_not_overwritten(tmp_path: Path, run: Run) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(SettingsError, match=r"line 1 of .* is no result of a batch"):
        run()
    assert (tmp_path / "out" / "results.jsonl").read_text() == '{"mine": 1}\n'


# Formats.


def in_parquet(out: Path) -> list[dict[str, Any]]:
    """The table's rows, without the keys that their heads do not have."""
    found = pq.read_table(out / "results.parquet").to_pylist()
    for row in found:
        row["heads"] = [
            {key: value for key, value in head.items() if (key, value) not in ABSENT} for head in row["heads"]
        ]
    return found


def test_the_same_jobs_in_every_format_give_the_same_rows(tmp_path: Path) -> None:
    jobs = [
        {
            "id": "a,b",
            "question": 'Who "asks"?',
            "document": f'A "quote",\nand a line. {document(3)}',
            "x": 1,
        },
        {"id": "c", "question": None, "document": "x" * 200_000, "x": 2},
    ]
    write_jobs(tmp_path / "jobs.jsonl", jobs)
    with (tmp_path / "jobs.csv").open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.DictWriter(file, list(jobs[0]))
        table.writeheader()
        table.writerows(jobs)
    pq.write_table(pa.Table.from_pylist(jobs), tmp_path / "jobs.parquet", row_group_size=1)
    (tmp_path / "jobs.jsonl.gz").write_bytes(gzip.compress((tmp_path / "jobs.jsonl").read_bytes()))
    found = []
    for name in ("jobs.jsonl", "jobs.jsonl.gz", "jobs.csv", "jobs.parquet"):
        out = tmp_path / f"out-{name}"
        run_batch(tmp_path / name, out, chunk_tokens=5000)
        found.append(by_id(rows(out)))
    assert all(each == found[0] for each in found)
    assert found[0]["c"]["answer"] is None
    assert found[0]["c"]["steps"] == 10
    assert found[0]["c"]["heads"]


def test_parquet_holds_what_the_lines_hold(tmp_path: Path, run: Run) -> None:
    write_jobs(tmp_path / "jobs.jsonl", [*asked(3), {"id": "bad", "source": "missing"}])
    run(parquet=True)
    assert in_parquet(tmp_path / "out") == rows(tmp_path / "out")
    write_jobs(tmp_path / "jobs.jsonl", [*asked(5), {"id": "bad", "source": "missing"}])
    run(parquet=True)
    assert len(in_parquet(tmp_path / "out")) == 6
    (tmp_path / "missing").write_text("Found.")
    run(retry_failed=True)
    assert in_parquet(tmp_path / "out") == rows(tmp_path / "out"), "a run that does not ask for it, too"


# The command line.


def test_progress_is_told_line_by_line_where_there_is_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", [*asked(3), {"id": "bad", "source": "missing"}])
    monkeypatch.chdir(tmp_path)
    prices = ["--price-in", "1", "--price-out", "2"]
    assert cli.main(["batch", "jobs.jsonl", "--out", "out", "--format", "parquet", *prices]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert re.fullmatch(r"4 of 4 documents, 1 failed, 0 tokens, cost 0\.00, in [\d.]+ s\.", lines[-2])
    assert lines[-1] == (
        "mhm: 1 jobs failed, see error in out/results.jsonl; --retry-failed runs them again."
    )
    assert (tmp_path / "out" / "results.parquet").exists()


def test_what_shapes_a_reading_in_ask_shapes_it_in_batch() -> None:
    """Who has tried a setting on one text uses it on many."""
    one = {"sources", "question", "db", "thread", "resume", "as_json", "verbose"}
    in_ask, in_batch = (signature(command).parameters for command in (ask, batch))
    assert in_ask.keys() - one <= in_batch.keys()
    for there in (in_ask, in_batch):
        assert there.keys() & Settings.model_fields.keys() == Settings.model_fields.keys() - {"stream_answer"}
    for name in in_ask.keys() - one:
        assert in_batch[name].default == in_ask[name].default, name


def test_settings_of_the_command_line_reach_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(1))
    monkeypatch.chdir(tmp_path)
    given = ["--recall", "2", "--recall-updates", "--grounding", "flag", "--parallel-heads", "2"]
    gates = ["--update-gate", "--exit-gate"]
    assert cli.main(["batch", "jobs.jsonl", "--out", "out", "--chunk-tokens", "10", *given, *gates]) == 0
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (told["recall"], told["recall_updates"], told["grounding"]) == (2, True, "flag")
    assert (told["parallel_heads"], told["update_gate"], told["exit_gate"]) == (2, True, True)
    (row,) = rows(tmp_path / "out")
    assert row["error"] is None


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--max-failures", "many"], "max_failures='many' is not allowed"),
        (["--max-cost", "5"], "max_cost=5 needs prices"),
        (["--max-tokens", "0"], "max_tokens=0 is not allowed"),
        (["--format", "xml"], "--format xml is not known"),
        (["--engine", "slurm"], "--engine slurm is not known"),
        (["--address", "auto"], "--address auto goes with --engine ray"),
        (["--concurrency", "0"], "concurrency=0 is not allowed"),
        (["--heads", "0"], "heads=0 is not allowed"),
        (["--root", "nowhere"], "nowhere is not a folder"),
        (["--checkpoints", "mysql://ada:pass@db/x"], "checkpoints=mysql://***@db/x is not allowed"),
        (["--model", "nobody"], "model='nobody' is not allowed"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    fragment: str,
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(1))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["batch", "jobs.jsonl", "--out", "out", *options]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"mhm: [^\n]+\n", said), said
    assert fragment in said
    assert not (tmp_path / "out").exists(), "nothing was made"


# PostgreSQL.


@pytest.mark.xdist_group("postgres")
def test_checkpoints_in_postgres_are_gone_on_with_and_forgotten(
    tmp_path: Path, postgres: str, run: Run, reader: CostlyReader
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", asked(4))
    assert run(checkpoints=postgres, limits=Limits(max_tokens=90)).left
    assert threads_in(postgres) > 0
    assert run(checkpoints=postgres).left == 0
    assert reader.calls == 4 * 4
    assert len(by_id(rows(tmp_path / "out"))) == 4
    assert threads_in(postgres) == 0


def threads_in(address: str) -> int:
    import psycopg

    with psycopg.connect(address) as connection:
        found = connection.execute("SELECT count(DISTINCT thread_id) FROM checkpoints").fetchone()
    return int(found[0]) if found else 0
