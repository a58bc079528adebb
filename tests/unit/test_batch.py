"""The parts of a batch by themselves: lists of jobs, the file of results, limits, the gate."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhm_langgraph import Head, ReaderError, SettingsError
from mhm_langgraph.batch import Job, Limits, Progress, ResultRow, read_jobs
from mhm_langgraph.batch.checkpoints import is_store_failure, open_checkpoints
from mhm_langgraph.batch.folder import done_jobs, scan_jobs
from mhm_langgraph.batch.gate import BatchStoppedError, GatedReader, OpenGate
from mhm_langgraph.batch.results import ResultsFile, write_parquet
from mhm_langgraph.batch.work import Work
from mhm_langgraph.cli.progress import progress_line
from mhm_langgraph.readers import AnswerRequest, UpdateRequest
from mhm_langgraph.state import no_usage
from mhm_langgraph.testing import ScriptedReader

ONE_CALL: Any = {"input_tokens": 9, "output_tokens": 1, "calls": 1}


def row(name: str, text: str = "text", error: str | None = None) -> ResultRow:
    head: Any = {
        "text": text,
        "updated_at": 0,
        "span": [0, 4],
        "source": None,
        "tokens": 1,
        "selected": False,
    }
    return ResultRow(
        id=name, thread=Job(name, document="x").thread, error=error, seconds=0.1, steps=1, exited=None,
        usage=ONE_CALL, answer=text, heads=[head],
    )  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Iterator[ResultsFile]:
    """An empty file of results."""
    with closing(ResultsFile(tmp_path / "results.jsonl")) as opened:
        yield opened


# Jobs.


def test_a_thread_is_named_by_all_that_is_asked() -> None:
    job = Job("a", "Who?", "book.txt")
    assert job.thread == Job("a", "Who?", "book.txt", place="line 9").thread
    others = [
        Job("b", "Who?", "book.txt"),
        Job("a", "What?", "book.txt"),
        Job("a", "Who?", "other.txt"),
        Job("a", "Who?", ["book.txt"]),
        Job("a", "Who?", document="book.txt"),
        Job("a", None, "book.txt"),
    ]
    assert len({job.thread, *(other.thread for other in others)}) == 7


def test_jobs_are_read_one_at_a_time(tmp_path: Path) -> None:
    """What comes later in the file is not looked at before its turn."""
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"id": 1, "document": "text"}\n{"id": 2, "document": "text"}\nnot JSON\n')
    jobs = read_jobs(path)
    assert [next(jobs).id, next(jobs).id] == ["1", "2"]
    with pytest.raises(SettingsError, match=r"line 3 of JOBS .* is not JSON"):
        next(jobs)


@pytest.mark.parametrize("name", ["jobs.txt", "jobs.parquet.gz", "jobs"])
def test_a_format_that_is_not_known_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(SettingsError, match="is of no known format"):
        next(read_jobs(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("jobs.jsonl", b"\xff\xfe\x00"),
        ("jobs.jsonl.gz", b"not packed"),
        ("jobs.csv", b'id,document\n1,"never closed'),
        ("jobs.csv", b"name,document\n1,text\n"),
        ("jobs.parquet", b"not Parquet"),
    ],
)
def test_a_file_that_can_not_be_read_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=f"JOBS .*{name}"):
        list(read_jobs(tmp_path / name))


# Results.


@given(st.lists(st.text(max_size=30), max_size=5), st.integers(min_value=0))
@settings(max_examples=40)
def test_wherever_a_kill_tears_the_file_what_is_whole_stays(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cut: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "results.jsonl"
    rows = [row(str(number), f'"heads": [ \n {text}') for number, text in enumerate(texts)]
    with closing(ResultsFile(path)) as results:
        results.append(rows)
    whole = path.read_bytes()
    torn = whole[: cut % (len(whole) + 1)]
    path.write_bytes(torn)
    kept = torn.count(b"\n")
    with closing(ResultsFile(path)) as again:
        assert list(again.rows()) == rows[:kept]
        assert [summary["id"] for summary in again.summaries()] == [str(n) for n in range(kept)]
        again.append(rows[kept:])
    assert path.read_bytes() == whole


def test_a_long_torn_line_is_found(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for left, whole in (([row("a"), row("b", "x" * 300_000)], ["a"]), ([row("b", "x" * 300_000)], [])):
        path.unlink(missing_ok=True)
        with closing(ResultsFile(path)) as results:
            results.append(left)
        os.truncate(path, path.stat().st_size - 1)
        with closing(ResultsFile(path)) as again:
            assert [each["id"] for each in again.rows()] == whole


def test_a_summary_is_the_row_without_its_heads(results: ResultsFile) -> None:
    tricky = row("a", ', "heads": [{"text": "x"}]')
    results.append([tricky])
    assert list(results.summaries()) == [{name: value for name, value in tricky.items() if name != "heads"}]


def test_dropping_keeps_the_others_byte_for_byte(results: ResultsFile) -> None:
    results.append([row("a"), row("b", error="SourceError: no"), row("c")])
    lines = results.path.read_bytes().splitlines(keepends=True)
    assert results.drop(lambda each: each["error"] is not None) == 1
    assert results.path.read_bytes() == lines[0] + lines[2]
    results.append([row("b")])
    assert [each["id"] for each in results.rows()] == ["a", "c", "b"]


def test_half_a_surrogate_pair_in_a_reply_is_written(results: ResultsFile) -> None:
    results.append([row("a", "half \ud800"), row("b", "漢字")])
    assert [each["answer"] for each in results.rows()] == ["half \ud800", "漢字"]
    assert "漢字".encode() in results.path.read_bytes()


def test_parquet_tells_all_that_a_head_tells(results: ResultsFile, tmp_path: Path) -> None:
    """Whatever keys a head may have; those that one does not have are null."""
    every = row("a")
    every["heads"][0].update({"unsupported": ["No text says so."], "archived": "0:1"})
    assert every["heads"][0].keys() == Head.__annotations__.keys()
    results.append([every, row("b")])
    write_parquet(results, tmp_path / "results.parquet")
    first, second = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert first == every
    assert second["heads"] == [{**row("b")["heads"][0], "unsupported": None, "archived": None}]


def test_half_a_surrogate_pair_does_not_stop_parquet(results: ResultsFile, tmp_path: Path) -> None:
    results.append([row("a", error="SourceError: half \ud800.txt"), row("b", "漢字")])
    write_parquet(results, tmp_path / "results.parquet")
    first, second = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert (first["error"], second["answer"]) == ("SourceError: half ?.txt", "漢字")


def test_a_disk_that_does_not_take_parquet_is_one_sentence(results: ResultsFile, tmp_path: Path) -> None:
    results.append([row("a")])
    (tmp_path / "results.parquet.partial").mkdir()
    with pytest.raises(SettingsError, match=r"results.parquet can not be written: .* are in .*results.jsonl"):
        write_parquet(results, tmp_path / "results.parquet")


# What is done, and what is left.


def test_done_jobs_are_known_and_changed_ones_are_found(results: ResultsFile, tmp_path: Path) -> None:
    results.append([row(str(number)) for number in range(50)] + [row("bad", error="SourceError: no")])
    done = done_jobs(results, last=3)
    assert (len(done), done.failed, done.usage["calls"], len(done.last)) == (51, 1, 51, 3)
    assert Job("49", document="x") in done
    assert Job("50", document="x") not in done
    with pytest.raises(SettingsError, match="was changed since"):
        assert Job("49", document="y") in done
    jobs = [{"id": number, "document": "x"} for number in range(60)]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    scan = scan_jobs(tmp_path / "jobs.jsonl", done)
    assert (scan.total, scan.done) == (60, 50)


# Limits, and the gate.


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0}, {"max_cost": -1, "price_in": 1}, {"max_cost": 5}, {"price_in": -1},
        {"price_out": float("nan")}, {"max_failures": "half"}, {"max_failures": -1},
        {"max_failures": "101%"}, {"requests_per_minute": 0}, {"tokens_per_minute": float("inf")},
    ],
)  # fmt: skip
def test_wrong_limits_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"^{next(iter(wrong))}="):
        Limits(**wrong)


async def test_the_gate_closes_at_a_ceiling_and_counts_a_job_once() -> None:
    gate = OpenGate(Limits(max_tokens=25), ONE_CALL)
    assert await gate.begin("a", ONE_CALL) == 1
    assert await gate.begin("a", ONE_CALL) == 2, "its worker was lost"
    assert (await gate.state()).usage["calls"] == 2
    assert await gate.admit(1)
    await gate.spend("a", ONE_CALL)
    assert not await gate.admit(1)
    assert (await gate.state()).closed == "max_tokens=25 is reached: raise it to go on."
    await gate.settle("a", {**ONE_CALL, "calls": 2})
    assert (await gate.state()).usage["calls"] == 3
    await gate.close("another reason")
    assert (await gate.state()).closed == "max_tokens=25 is reached: raise it to go on."


async def test_the_gate_tells_calls_of_ended_jobs_from_those_of_jobs_under_way() -> None:
    gate = OpenGate(Limits(), ONE_CALL)
    for thread in ("a", "a", "b", "a"):
        await gate.spend(thread, no_usage())
    await gate.settle("a", {**ONE_CALL, "calls": 9})
    await gate.settle("never begun", no_usage())
    state = await gate.state()
    assert (state.calls, state.calls_under_way) == (3, 1)


async def test_who_waits_for_a_rate_is_let_go_when_the_gate_closes() -> None:
    gate = OpenGate(Limits(requests_per_minute=1), no_usage())
    assert await gate.admit(0)
    waiting = asyncio.ensure_future(gate.admit(0))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await gate.close("enough")
    assert not await asyncio.wait_for(waiting, 5)


async def test_a_call_larger_than_a_seconds_tokens_is_let_through() -> None:
    gate = OpenGate(Limits(tokens_per_minute=600_000), no_usage())
    assert await asyncio.wait_for(gate.admit(12_000), 5)


class _Weighing(OpenGate):
    """A gate that notes the size of each call and lets none through."""

    def __init__(self) -> None:
        super().__init__(Limits(), no_usage())
        self.sizes: list[int] = []

    async def admit(self, tokens: int) -> bool:
        self.sizes.append(tokens)
        return False


async def test_a_calls_size_is_all_that_it_sends_and_the_most_it_may_reply() -> None:
    gate = _Weighing()
    reader = GatedReader(ScriptedReader(), gate, paced=True)
    shown: dict[str, Any] = {"question": "q", "heads": ["h" * 20, "h" * 300], "count": len}
    update = UpdateRequest(head=0, chunk="c" * 4000, head_tokens=50_000, recalled=["r" * 600_000], **shown)
    with pytest.raises(BatchStoppedError):
        await reader.aupdate(update)
    with pytest.raises(BatchStoppedError):
        await reader.aanswer(AnswerRequest(answer_tokens=50_000, recalled=["r" * 600_000], **shown))
    assert gate.sizes == [654_321, 650_321]


# Progress.


def progress(**values: Any) -> Progress:
    given = {"total": 100, "before": 20, "failed_before": 0, "ended": 0, "failed": 0, "usage": no_usage()}
    return Progress(**{**given, "cost": 0.0, "seconds": 60.0, **values})


def test_the_time_left_goes_by_calls_and_not_by_jobs_that_have_ended() -> None:
    """When the first of eight jobs ends, the others have read as much: seven eighths of the calls count."""
    first = progress(ended=1, calls=10, calls_under_way=70)
    assert first.left * 10 - 70 == 720
    assert first.seconds_left == pytest.approx(60 * 720 / 80)
    later = progress(ended=1, calls=10, calls_under_way=76, seconds=64.5)
    assert later.seconds_left is not None
    assert first.seconds_left is not None
    assert later.seconds_left < first.seconds_left, "it does not rise before the next one ends"


def test_no_time_is_told_before_a_job_with_calls_has_ended() -> None:
    assert progress(calls_under_way=50).seconds_left is None
    assert progress(ended=3, failed=3, calls_under_way=50).seconds_left is None


def test_a_last_job_longer_than_the_others_still_has_a_call_to_make() -> None:
    assert progress(ended=79, calls=79, calls_under_way=41).seconds_left == pytest.approx(0.5)


def test_a_batch_that_is_stopping_says_so_until_its_last_call_has_ended() -> None:
    stopping = progress(ended=4, calls=40, calls_under_way=9, stopped="interrupted")
    assert progress_line(stopping) == "24 of 100 documents, 0 tokens, stopping after the calls under way"
    assert progress_line(stopping, ended=True) == "24 of 100 documents, 0 tokens, in 1 min 00 s"
    assert "stopping" not in progress_line(progress(ended=80, calls=800, stopped="max_tokens is reached"))


# Checkpoints.


def test_where_checkpoints_may_be() -> None:
    with pytest.raises(SettingsError, match=r"checkpoints=mysql://\*\*\*@db/x is not allowed") as raised:
        open_checkpoints("mysql://ada:secret@db/x", 1)
    assert "secret" not in str(raised.value)


def test_a_password_does_not_show(tmp_path: Path) -> None:
    work = Work("extractive", {}, tmp_path, "postgresql://ada:secret@db/x", 1)
    assert "secret" not in repr(work)


def test_what_a_failing_store_raises_is_told_from_a_failing_job() -> None:
    import sqlite3

    import psycopg

    assert is_store_failure(sqlite3.OperationalError("disk is full"))
    assert is_store_failure(psycopg.OperationalError("gone"))
    assert not is_store_failure(ReaderError("The reader failed."))
    assert not is_store_failure(OSError("no such file"))
