"""The server way: examples/server/batch.py against LangGraph's server (tests/soak kills one)."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from examples.server.batch import AT_ONCE, run_all
from tests.integration.batch_jobs import write_jobs
from tests.integration.conftest import document
from tests.integration.langgraph_server import Server


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.xdist_group("server")
def test_many_threads_at_once_on_the_server(servers: list[Server], tmp_path: Path) -> None:
    """Each job has a row, and none has two where the program is started again."""
    jobs, results = tmp_path / "jobs.jsonl", tmp_path / "results.jsonl"
    given = [
        {"id": n, "document": f"Ahab hid {n} coins. {document(3)}", "question": "Who hid coins?"}
        for n in range(20)
    ]
    write_jobs(jobs, given[:12])
    asyncio.run(run_all(jobs, results, servers[0].url))
    write_jobs(jobs, given)
    asyncio.run(run_all(jobs, results, servers[0].url))
    rows = {row["id"]: row for row in map(json.loads, results.read_text().splitlines())}
    assert len(results.read_text().splitlines()) == len(rows) == 20
    for number in range(20):
        assert rows[str(number)]["answer"] == f"“Ahab hid {number} coins.”"
        assert rows[str(number)]["step"] == 1


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.xdist_group("server")
def test_a_job_that_fails_on_the_server_is_told_and_the_others_go_on(
    servers: list[Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More of them than are under way at once; they have no row, so that the next start tries again."""
    jobs, results = tmp_path / "jobs.jsonl", tmp_path / "results.jsonl"
    bad = [{"id": f"bad-{n}", "source": "missing.txt", "question": "?"} for n in range(AT_ONCE + 1)]
    good = {"id": "good", "document": "Ahab hid a coin.", "question": "Who hid a coin?"}
    write_jobs(jobs, [*bad, good])
    for _ in range(2):
        asyncio.run(run_all(jobs, results, servers[0].url))
        assert [json.loads(line)["id"] for line in results.read_text().splitlines()] == ["good"]
        said = capsys.readouterr().err
        for job in bad:
            assert re.search(f"^{job['id']}: SourceError: .*missing.txt", said, re.MULTILINE)
