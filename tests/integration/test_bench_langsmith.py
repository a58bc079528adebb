"""`mhm bench --langsmith`: what the real client sends to a server on loopback."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mhm_langgraph import cli
from mhm_langgraph.evaluation import open_task
from mhm_langgraph.evaluation.folder import read_trajectories
from tests.integration.langsmith_server import LangSmithServer

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.enable_socket]

BASE = [
    "bench",
    "needle",
    "--lengths",
    "2K",
    "--memory-tokens",
    "200",
    "--chunk-tokens",
    "500",
    "--langsmith",
]
Bench = Callable[..., tuple[int, str]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LangSmithServer]:
    account = LangSmithServer()
    with account.running() as url:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "not-a-key")
        yield account


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Bench:
    monkeypatch.chdir(tmp_path)

    def run(*args: str, out: str = "out") -> tuple[int, str]:
        code = cli.main([*BASE, "--out", out, *args])
        return code, capsys.readouterr().err

    return run


def test_samples_become_a_dataset_and_runs_experiments_on_it(
    server: LangSmithServer, bench: Bench, tmp_path: Path
) -> None:
    code, said = bench("--samples", "3", "--runs", "2")
    assert code == 0, said
    assert "Uploaded to LangSmith: 12 runs, in 2 experiments in all." in said
    (dataset,) = server.datasets.values()
    samples = list(open_task("needle", length="2K", samples=3))
    shown = {e["metadata"]["sample"]: e for e in server.examples.values() if e["dataset_id"] == dataset["id"]}
    assert shown.keys() == {sample.id for sample in samples}
    for sample in samples:
        example = shown[sample.id]
        assert example["inputs"] == {"question": sample.question, "context": sample.context}
        assert example["outputs"] == {"answers": list(sample.answers), "all_needed": sample.all_needed}
        assert example["metadata"]["evidence"] == [list(span) for span in sample.evidence]
    names = {project["name"].partition(" ")[0]: project for project in server.projects.values()}
    assert names.keys() == {"mhm-lru", "memagent"}
    assert {project["reference_dataset_id"] for project in names.values()} == {dataset["id"]}
    metadata = names["mhm-lru"]["extra"]["metadata"]
    assert (metadata["model"], metadata["memory_tokens"], metadata["method"]) == (
        "extractive",
        200,
        "mhm-lru",
    )
    assert Counter(run["session_name"] for run in server.runs.values()) == {
        project["name"]: 6 for project in names.values()
    }
    assert Counter(run["reference_example_id"] for run in server.runs.values()) == dict.fromkeys(
        server.examples, 4
    )


def test_a_run_shows_its_answer_every_turn_and_its_measures(
    server: LangSmithServer, bench: Bench, tmp_path: Path
) -> None:
    assert bench("--samples", "1", "--methods", "mhm-lru")[0] == 0
    (one,) = read_trajectories(tmp_path / "out")
    ((id_, run),) = server.runs.items()
    assert run["outputs"]["answer"] == one.answer
    assert [turn["text"] for turn in run["outputs"]["updates"]] == [update.text for update in one.updates]
    assert "context" not in run["inputs"]
    told = {feedback["key"]: feedback["score"] for feedback in server.feedback}
    assert told == {"accuracy": 1.0, "f1": told["f1"], "mcr": 1.0, "mrr": 1.0}
    assert 0 <= told["f1"] <= 1
    (project,) = server.projects
    assert {(feedback["run_id"], feedback["session_id"]) for feedback in server.feedback} == {(id_, project)}


def test_a_second_start_uploads_what_is_new_and_nothing_twice(server: LangSmithServer, bench: Bench) -> None:
    for asked, runs in ((["--samples", "1"], 2), (["--samples", "1"], 2), (["--samples", "2"], 4)):
        code, said = bench(*asked)
        assert code == 0, said
        assert (len(server.datasets), len(server.projects), len(server.runs)) == (1, 2, runs)
    assert len(server.examples) == 2


def test_another_bench_on_the_same_samples_uses_the_dataset_again(
    server: LangSmithServer, bench: Bench
) -> None:
    assert bench("--samples", "2", "--methods", "memagent")[0] == 0
    assert bench("--samples", "2", "--methods", "memagent", out="other")[0] == 0
    assert (len(server.datasets), len(server.examples), len(server.projects)) == (1, 2, 2)
    assert bench("--samples", "2", "--methods", "memagent", "--seed", "1", out="third")[0] == 0
    assert len(server.datasets) == 2


@pytest.mark.parametrize("path", ["/datasets", "/runs/multipart"])
def test_what_langsmith_refuses_is_told_and_tried_again(
    server: LangSmithServer, bench: Bench, tmp_path: Path, path: str
) -> None:
    server.refuses = {path}
    code, said = bench("--samples", "1", "--methods", "memagent")
    assert code == 1
    assert "LangSmith did not take the upload" in said
    assert "The same command tries again; the results are in out." in said
    assert len(list(read_trajectories(tmp_path / "out"))) == 1
    server.refuses = set()
    assert bench("--samples", "1", "--methods", "memagent")[0] == 0
    assert len(server.runs) == 1
    record = json.loads((tmp_path / "out" / "langsmith.json").read_text())
    assert record["uploaded"] == [[2048, "0000-single", "memagent", 0]]


def test_without_a_key_nothing_begins(bench: Bench, tmp_path: Path) -> None:
    code, said = bench()
    assert code == 2
    assert said == "mhm: --langsmith needs a key: set LANGSMITH_API_KEY, or leave it out.\n"
    assert not (tmp_path / "out").exists()
