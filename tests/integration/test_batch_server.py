"""The server way: examples/server/batch.py against LangGraph's server (tests/soak kills one)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from examples.server.batch import run_all
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
