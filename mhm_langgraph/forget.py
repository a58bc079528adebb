"""Forget a thread kept in a SQLite file, so that its text is out of the file as well."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from mhm_langgraph.errors import SettingsError
from mhm_langgraph.recall import forget_archive

__all__ = ["forget_thread", "sqlite_saver"]

_PATIENCE_SECONDS = 1.0
"""How long to wait for somebody else who uses the file."""


def forget_thread(database: str | Path, thread: str) -> int:
    """Delete a thread from a SQLite file of checkpoints, and give its space back.

    On any checkpointer `checkpointer.delete_thread(thread)` deletes a thread's rows. In a SQLite file
    their bytes stay, and can be read, until VACUUM writes the file anew: that is done here. Nobody else
    may be using the file meanwhile, and as much space again must be free on the disk. What the thread's
    memory has overwritten goes too, where it is in its checkpoints or in a store in the same file; from
    another store take it with `mhm_langgraph.recall.forget_archive`.

    Args:
        database: The file.
        thread: The thread's id.

    Returns:
        By how many bytes the file has shrunk.

    Raises:
        SettingsError: There is no such file or thread, or somebody else uses the file.
    """
    path = Path(database)
    if not path.is_file():
        raise SettingsError(f"{path} is not there: name the file that the threads are kept in.")
    before = _size(path)
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS, check_same_thread=False)) as connection:
            # Alone from the start, or the rows would go and the space would not.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            _delete(connection, path, thread)
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        raise SettingsError(
            f"{path} can not be cleaned now ({error}): end whatever else uses it, then try again."
        ) from error
    except sqlite3.DatabaseError as error:
        raise SettingsError(f"{path} is not a SQLite file: {error}.") from error
    return before - _size(path)


def _sqlite_store() -> Any:
    from langgraph.store.sqlite import SqliteStore

    return SqliteStore


def _delete(connection: sqlite3.Connection, path: Path, thread: str) -> None:
    """Delete the rows, those of subgraphs too, as the checkpointer does."""
    found = connection.execute("SELECT name FROM sqlite_master WHERE name = 'checkpoints'").fetchone()
    query = "SELECT 1 FROM checkpoints WHERE thread_id = ? LIMIT 1"
    if found is None or connection.execute(query, (thread,)).fetchone() is None:
        raise SettingsError(f"{path} holds no thread {thread!r}.")
    sqlite_saver()(connection).delete_thread(thread)
    if connection.execute("SELECT name FROM sqlite_master WHERE name = 'store'").fetchone():
        connection.commit()
        connection.isolation_level = None  # the store begins and ends its transactions itself
        forget_archive(_sqlite_store()(connection), thread)


def _size(path: Path) -> int:
    """Bytes of the file and its write-ahead log."""
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def sqlite_saver() -> Any:
    """The class SqliteSaver, of the extra `sqlite`.

    Raises:
        SettingsError: The extra is not installed.
    """
    try:
        from langgraph.checkpoint.sqlite import SqliteSaver
    except ModuleNotFoundError as error:
        raise SettingsError(
            'SQLite files of threads need their extra: pip install "mhm-langgraph[sqlite]"'
        ) from error
    return SqliteSaver
