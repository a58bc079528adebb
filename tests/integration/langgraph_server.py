"""LangGraph's own server, `langgraph dev`, as a process of its own: one without and one with a model."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from langgraph_sdk import get_sync_client

from tests.integration.model_server import ModelServer

ROOT = Path(__file__).parents[2]
SAILS = "".join(f"Ahab saw sail number {number:04d}.".ljust(38) + "\n\n" for number in range(7))
"""Seven chunks at chunk_tokens=10, each with a sentence that the extractive reader keeps."""

CARELESS = """from mhm_langgraph import create_mhm_agent

graph = create_mhm_agent("extractive")
"""
"""A graph whose builder has not thought of who may name a file."""


@dataclass
class Server:
    """A running server: its address, its client, its log, and what the model behind it was asked."""

    url: str
    client: Any
    log: Path
    model: ModelServer

    def run(
        self, given: Any, thread: str | None = None, assistant: str = "document_qa", **options: Any
    ) -> Any:
        """A run's output; what went wrong in it is raised with the server's words."""
        return self.client.runs.wait(thread or self.thread(), assistant, input=given, **options)

    def stream(self, given: Any, thread: str | None = None, **options: Any) -> list[tuple[str, Any]]:
        parts = self.client.runs.stream(thread or self.thread(), "document_qa", input=given, **options)
        return [(part.event, part.data) for part in parts if part.event != "metadata"]

    @property
    def assistant(self) -> str:
        """Id of the assistant that comes with the graph."""
        found = self.client.assistants.search(metadata={"created_by": "system"}, graph_id="document_qa")
        return str(found[0]["assistant_id"])

    def thread(self) -> str:
        return str(self.client.threads.create()["thread_id"])

    def history(self, thread: str) -> list[Any]:
        return list(self.client.threads.get_history(thread, limit=100))


@contextmanager
def starting(
    folder: Path, extra: Mapping[str, Any] | None = None, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """`langgraph dev` on a copy of what it loads (it keeps its files beside it), and one graph more.

    `extra` is added to its langgraph.json.
    """
    shutil.copytree(ROOT / "graphs", folder / "graphs")
    (folder / "graphs" / "careless.py").write_text(CARELESS)
    config = json.loads((ROOT / "langgraph.json").read_text())
    config["graphs"]["careless"] = "./graphs/careless.py:graph"
    (folder / "langgraph.json").write_text(json.dumps({**config, **(extra or {})}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    nowhere = "http://127.0.0.1:9"  # nothing listens there: the server has no way out
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    offline = {"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "NO_PROXY": "127.0.0.1"}
    command = [
        Path(sys.executable).with_name("langgraph"),
        "dev",
        "--no-browser",
        "--no-reload",
        "--port",
        port,
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # our own server
            command,
            cwd=folder,
            env={**kept, **offline, "LANGGRAPH_CLI_NO_ANALYTICS": "1", **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}", process, folder / "log"
    finally:
        process.kill()
        process.wait()


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/ok").json()["ok"]:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@contextmanager
def two_servers(folder: Path) -> Iterator[list[Server]]:
    """Two servers, started at once: one with nothing configured, one with a model and a folder."""
    books, bare, configured = (folder / name for name in ("books", "bare", "configured"))
    for path in (books, bare, configured):
        path.mkdir()
    (books / "sails.txt").write_text(SAILS)
    with ExitStack() as stack:
        model = stack.enter_context(ModelServer())
        variables = {"MHM_MODEL": "openai:test", "MHM_BASE_URL": model.url, "MHM_SOURCES": str(books)}
        started = [
            stack.enter_context(starting(bare)),
            stack.enter_context(starting(configured, **variables)),
        ]
        running = []
        for url, process, log in started:
            wait_until_up(url, process, log)
            client = stack.enter_context(get_sync_client(url=url, api_key=None))
            running.append(Server(url, client, log, model))
        yield running
