"""Many threads on LangGraph's server, in PostgreSQL, and a kill: `python -m tests.soak.server_batch`.

Another server, which knows nothing but the database, goes on with the threads.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx
import psycopg
from langgraph_sdk.errors import LangGraphError

from examples.server.batch import AT_ONCE, run_all
from tests.integration.batch_jobs import write_jobs
from tests.integration.conftest import document
from tests.integration.langgraph_server import starting, wait_until_up
from tests.integration.model_server import ModelServer
from tests.postgres import postgres_server

JOBS, CHUNKS = 24, 4
IN_POSTGRES = {"checkpointer": {"path": "./graphs/postgres.py:checkpointer"}}


def main() -> None:
    """Kill the first server in the middle, let the second come to the end, and look at what came out."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mhm-soak-") as given:
        folder = Path(given)
        text = document(CHUNKS, size=20_000)
        jobs = [{"id": n, "document": text, "question": f"Question {n}?"} for n in range(JOBS)]
        write_jobs(folder / "jobs.jsonl", jobs)
        with ModelServer(latency=0.2) as model, postgres_server() as address:
            for name in ("first", "second"):
                _serve(folder, name, model, address)
            with psycopg.connect(address) as connection:
                threads = connection.execute("SELECT count(DISTINCT thread_id) FROM checkpoints").fetchone()
            calls = Counter(asked.prompt for asked in model.journal)
        rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert sorted(int(row["id"]) for row in rows) == list(range(JOBS)), "each job has one row"
    assert {row["step"] for row in rows} == {CHUNKS}, "each document was read once"
    assert threads == (JOBS,), "in PostgreSQL"
    assert len(calls) == JOBS * (CHUNKS + 1)
    repeated = calls.total() - len(calls)
    assert repeated <= AT_ONCE, "a call for each thread under way at most"
    print(
        f"server killed: {JOBS} jobs, each once; {repeated} of {len(calls)} calls repeated, {AT_ONCE} "
        f"threads at once, {time.monotonic() - started:.0f} s"
    )


def _serve(folder: Path, name: str, model: ModelServer, address: str) -> None:
    """A server of its own folder: it has no memory of the one before."""
    variables = {"MHM_MODEL": "openai:test", "MHM_BASE_URL": model.url, "MHM_CHECKPOINTS": address}
    (folder / name).mkdir()
    with starting(folder / name, IN_POSTGRES, **variables) as (url, process, log):
        wait_until_up(url, process, log)
        work = run_all(folder / "jobs.jsonl", folder / "results.jsonl", url)
        asyncio.run(_killing(work, process, model) if name == "first" else work)


async def _killing(work: Awaitable[None], process: subprocess.Popen[bytes], model: ModelServer) -> None:
    """Kill the server in the middle of the work, which then fails."""
    running: asyncio.Future[Any] = asyncio.ensure_future(work)
    while len(model.journal) < JOBS * CHUNKS // 2:
        assert not running.done(), "it ended before it was killed"
        await asyncio.sleep(0.01)
    process.kill()
    try:
        with warnings.catch_warnings(action="ignore"):  # the client says that it connects again
            await running
    except (httpx.HTTPError, LangGraphError):
        return
    raise AssertionError("the work went on without a server")


if __name__ == "__main__":
    main()
