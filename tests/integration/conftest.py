"""What the integration tests share: documents, and checkpointers that live on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from mhm_langgraph.testing import ScriptedReader
from tests.integration.langgraph_server import Server, two_servers
from tests.postgres import postgres_server


def document(chunks: int, *, size: int = 40) -> str:
    """A text of `chunks` chunks at chunk_tokens=10: each paragraph fills one."""
    return "".join(f"Paragraph {number:04d} ".ljust(size - 2, "x") + "\n\n" for number in range(chunks))


def noting_reader() -> ScriptedReader:
    """A reader whose heads say what they were written from, and keep what they held."""

    def update(request: Any) -> str:
        noted = f"[{request.step}:{request.span[0]}-{request.span[1]}]"
        return request.heads[request.head] + noted

    return ScriptedReader(update=update, answer=lambda request: " | ".join(request.heads))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server that this test process has started by itself."""
    with postgres_server() as address:
        yield address


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """`langgraph dev` twice: with nothing configured; with a chat model and a folder of files."""
    with two_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture
def database(tmp_path: Path) -> Callable[[], Any]:
    """Opens the same SQLite file anew, as another process would."""

    @contextmanager
    def opened() -> Iterator[SqliteSaver]:
        with SqliteSaver.from_conn_string(str(tmp_path / "memory.sqlite")) as saver:
            yield saver

    return opened
