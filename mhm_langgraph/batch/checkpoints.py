"""Where unfinished jobs are kept: a SQLite file a job in a folder, or one PostgreSQL for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from mhm_langgraph import SettingsError
from mhm_langgraph.errors import redact

__all__ = ["Checkpoints", "is_store_failure", "open_checkpoints"]

_WAIT_FOR_LOCK = 30.0
"""Seconds: a worker that was given up may still hold its job's file for as long as it lives."""
_MOST_CONNECTIONS = 4  # of a process to PostgreSQL: a call of seconds leaves each idle nearly all the time
_STORES = ("sqlite3", "aiosqlite", "psycopg", "psycopg_pool")


class Checkpoints(Protocol):
    """A store of threads, used by many jobs at once."""

    def opened(self, thread: str) -> AbstractAsyncContextManager[Any]:
        """A checkpointer for one job's thread."""
        ...

    async def forget(self, thread: str) -> None:
        """Delete a thread; one that is not there is forgotten already."""
        ...

    async def prepare(self) -> None:
        """Set the store up, once, before any job."""
        ...

    def leftovers(self) -> set[str] | None:
        """Fingerprints of the threads that are kept; None where looking for them is not cheap."""
        ...

    async def aclose(self) -> None:
        """Give back what is open."""
        ...


def open_checkpoints(address: str | Path, concurrency: int) -> Checkpoints:
    """The store at an address.

    Args:
        address: `postgresql://...`, or a folder; several machines may share it.
        concurrency: How many jobs use it at once.

    Returns:
        The store; nothing is opened yet.

    Raises:
        SettingsError: It is no such address.
    """
    text = str(address)
    if text.startswith(("postgresql://", "postgres://")):
        return _Postgres(text, min(concurrency, _MOST_CONNECTIONS))
    if "://" in text:
        raise SettingsError(
            f"checkpoints={redact(text)} is not allowed: name a folder, or postgresql://USER@HOST/DATABASE."
        )
    return _SqliteFiles(Path(text))


def is_store_failure(error: BaseException) -> bool:
    """Whether it is the store that failed, not the job: every other job would fail too."""
    return any(kind.__module__.partition(".")[0] in _STORES for kind in type(error).__mro__)


class _SqliteFiles:
    """A file for each job while it lives: no job waits for another's writes, and to forget is to delete.

    The file is locked for whoever runs the job, so it does on a shared disk too, where SQLite can not share
    a file between machines: a job that is moved is opened once its old worker is gone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def prepare(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        _sqlite()

    @asynccontextmanager
    async def opened(self, thread: str) -> AsyncIterator[Any]:
        """As `Checkpoints.opened`."""
        aiosqlite, saver_class = _sqlite()
        path = self._path(thread)
        path.parent.mkdir(exist_ok=True)
        async with aiosqlite.connect(path, timeout=_WAIT_FOR_LOCK) as connection:
            # Before the journal is: then nothing is shared through memory, which other machines can not see.
            await connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            # A killed process loses nothing by it, a power cut the last steps of a job at most.
            await connection.execute("PRAGMA synchronous = NORMAL")
            saver = saver_class(connection)
            await saver.setup()
            yield saver

    async def forget(self, thread: str) -> None:
        """As `Checkpoints.forget`."""
        await asyncio.to_thread(_unlink, self._path(thread))

    def leftovers(self) -> set[str] | None:
        """As `Checkpoints.leftovers`."""
        return {path.stem for path in self._folder.glob("*/*.sqlite")}

    async def aclose(self) -> None:
        """Nothing is left open."""

    def _path(self, thread: str) -> Path:
        """In one of 256 folders, so that none of them gets long."""
        fingerprint = thread.rpartition(":")[2]
        return self._folder / fingerprint[:2] / f"{fingerprint}.sqlite"


def _unlink(path: Path) -> None:
    """Delete a database; the log of one that was killed first, so that none is left that nothing names."""
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _sqlite() -> tuple[Any, Any]:
    try:
        import aiosqlite
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    except ModuleNotFoundError as error:
        raise SettingsError('a batch needs its extra: pip install "mhm-langgraph[batch]"') from error
    return aiosqlite, AsyncSqliteSaver


class _Postgres:
    """One database for all workers; each process has a few connections, which its jobs take in turn."""

    def __init__(self, address: str, connections: int) -> None:
        self._address, self._connections = address, connections
        self._pool: Any = None
        self._lock = asyncio.Lock()

    async def prepare(self) -> None:
        """Make the tables."""
        async with self.opened("") as saver:
            await saver.setup()

    @asynccontextmanager
    async def opened(self, thread: str) -> AsyncIterator[Any]:
        """As `Checkpoints.opened`. A checkpointer has one lock, so each job has one of its own."""
        saver_class, pool = await self._opened_pool()
        yield saver_class(pool)

    async def forget(self, thread: str) -> None:
        """As `Checkpoints.forget`."""
        async with self.opened(thread) as saver:
            await saver.adelete_thread(thread)

    def leftovers(self) -> set[str] | None:
        """As `Checkpoints.leftovers`."""
        return None

    async def aclose(self) -> None:
        """Give the connections back."""
        if self._pool is not None:
            await self._pool.close()

    async def _opened_pool(self) -> tuple[Any, Any]:
        """The pool, opened in the event loop that uses it."""
        try:
            from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
            from psycopg.rows import dict_row
            from psycopg_pool import AsyncConnectionPool
        except ModuleNotFoundError as error:
            raise SettingsError(
                'PostgreSQL needs its extra: pip install "mhm-langgraph[postgres]"'
            ) from error
        async with self._lock:
            if self._pool is None:
                options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
                pool = AsyncConnectionPool(
                    self._address, min_size=1, max_size=self._connections, kwargs=options, open=False
                )
                await pool.open(wait=True, timeout=_WAIT_FOR_LOCK)
                self._pool = pool
        return AsyncPostgresSaver, self._pool
