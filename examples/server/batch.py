"""Many documents on a LangGraph server, a thread each.

    python examples/server/batch.py JOBS RESULTS URL

Start it again after a kill, of this program or of the server: rows that are written stay, and threads that
were under way go on in the middle of their documents. A job that fails is told on standard error; it has no
row, so the next start tries it again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from mhm_langgraph.batch import Job, read_jobs

GRAPH, AT_ONCE = "document_qa", 16


async def run_job(client: LangGraphClient, job: Job) -> dict[str, Any] | None:
    """Begin a job's thread, or go on with it; None where it fails. A server calls threads by UUIDs."""
    thread = str(uuid5(NAMESPACE_URL, job.thread))
    # With its graph: a server that has lost its threads, and not their checkpoints, could not read these.
    await client.threads.create(thread_id=thread, graph_id=GRAPH, if_exists="do_nothing")
    state = await client.threads.get_state(thread)
    values: Any = state["values"] or {}
    if state["tasks"] or not values:
        given = None if state["tasks"] else job.given
        values = await client.runs.wait(thread, GRAPH, input=given, raise_error=False)
        if failure := values.get("__error__"):
            print(f"{job.id}: {failure['error']}: {failure['message']}", file=sys.stderr)
            return None
    return {"id": job.id, **{name: values[name] for name in ("answer", "heads", "usage", "step")}}


def jobs_left(jobs: Path, results: Path) -> Iterator[Job]:
    """The jobs without a row, one at a time."""
    lines = results.read_text().splitlines() if results.exists() else []
    written = {json.loads(line)["id"] for line in lines}
    return (job for job in read_jobs(jobs) if job.id not in written)


async def run_all(jobs: Path, results: Path, url: str) -> None:
    """Keep so many jobs under way; write each row as it comes."""
    left = jobs_left(jobs, results)

    async def worker() -> None:
        for job in left:
            if (row := await run_job(client, job)) is not None:
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")

    async with get_client(url=url, api_key=None) as client:
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(run_all(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
