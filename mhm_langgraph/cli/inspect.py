"""`mhm inspect --db FILE`. The result goes to standard output or to a file, all else to standard error."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mhm_langgraph.cli.ask import FAILED, INTERRUPTED, MISTAKE, fail
from mhm_langgraph.display import one_line
from mhm_langgraph.errors import MHMError, SettingsError
from mhm_langgraph.forget import sqlite_saver
from mhm_langgraph.inspect.model import Timeline
from mhm_langgraph.inspect.page import memory_page
from mhm_langgraph.inspect.phrases import find_phrase
from mhm_langgraph.inspect.timeline import memory_timeline
from mhm_langgraph.inspect.view import memory_view

__all__ = ["inspect_command"]

_LOOKED_THROUGH = 2000  # checkpoints, for the names of threads
_NAMED = 5  # threads


@dataclass(frozen=True)
class Asked:
    """What `mhm inspect` was asked to show.

    Args:
        db: The SQLite file.
        thread: The thread.
        checkpoint: The checkpoint the branch leads to, None for the newest.
        namespace: Where in the thread the memory lies, None to find it.
        step: The step to show, None for the whole life.
        phrase: What to look for.
        html: The file to write the page to.
        json: Whether to print JSON.
    """

    db: str
    thread: str
    checkpoint: str | None
    namespace: str | None
    step: int | None
    phrase: str | None
    html: str | None
    json: bool


def inspect_command(
    db: Annotated[str, typer.Option(metavar="FILE", help="SQLite file that keeps threads.")],
    thread: Annotated[str, typer.Option(metavar="ID", help="The memory to look at.")] = "default",
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page to step through it in a browser.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    step: Annotated[int | None, typer.Option(metavar="N", help="Show this step in full.")] = None,
    find: Annotated[
        str | None, typer.Option(metavar="PHRASE", help="Tell when a phrase entered and left each head.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="ID", help="End at this checkpoint, as of another branch.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(metavar="NS", help="Where the memory lies in a host's thread.")
    ] = None,
) -> int:
    """Show the life of a thread's memory: which head was written when, from which chunk, and what changed.

    Follows the branch that leads to the newest checkpoint. The file is only read.
    """
    return _reported(Asked(db, thread, checkpoint, namespace, step, find, html, as_json))


def _reported(asked: Asked) -> int:
    """Show it; what goes wrong becomes one line and an exit code."""
    try:
        return _run(asked)
    except MHMError as error:
        return fail(MISTAKE, str(error))
    except sqlite3.Error as error:
        return fail(FAILED, f"--db {asked.db} failed: {error}.")
    except BrokenPipeError:  # nobody reads standard output any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return fail(INTERRUPTED, "stopped.")


def _run(asked: Asked) -> int:
    """Read, then print or write."""
    _check_target(asked)
    timeline = _timeline(asked)
    position = None if asked.step is None else timeline.position(asked.step)
    if asked.html is not None:
        _write_page(timeline, asked.html, position)
    if asked.json:
        print(json.dumps(_plain(timeline, position, asked.phrase), indent=2))
    elif asked.html is None:
        # Not left to rich: FORCE_COLOR would have it send control codes into a file.
        terminal = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        console = Console(highlight=False, force_terminal=terminal, no_color=not terminal or None)
        console.print(memory_view(timeline, position=position, phrase=asked.phrase))
    sys.stdout.flush()
    return 0


def _check_target(asked: Asked) -> None:
    """Refuse to write the page over the memory itself."""
    if asked.html is not None and Path(asked.html).resolve() == Path(asked.db).resolve():
        raise SettingsError(f"--html {asked.html} is the database: name another file.")


def _timeline(asked: Asked) -> Timeline:
    with _checkpointer(asked.db) as saver:
        try:
            timeline = memory_timeline(
                saver, asked.thread, checkpoint_id=asked.checkpoint, checkpoint_ns=asked.namespace
            )
        except SettingsError as error:
            raise SettingsError(f"{error} {_threads(saver, asked)}") from error
    if asked.namespace is None and timeline.checkpoint_ns:
        print(f"mhm: the memory in {one_line(timeline.checkpoint_ns)} is shown.", file=sys.stderr)
    return timeline


def _threads(saver: Any, asked: Asked) -> str:
    """The names of the threads written last, for who has named none of them."""
    found = islice(saver.list(None), _LOOKED_THROUGH)
    names = list(dict.fromkeys(str(each.config["configurable"]["thread_id"]) for each in found))
    others = [name for name in names if name != asked.thread][:_NAMED]
    if asked.thread in names or not others:
        return ""
    return f"--db {asked.db} has --thread {', '.join(others)}{', ...' if len(names) > _NAMED else '.'}"


@contextmanager
def _checkpointer(db: str) -> Iterator[Any]:
    """The SQLite checkpointer, for reading only."""
    saver_class = sqlite_saver()
    if not Path(db).is_file():
        raise SettingsError(f"--db {db} does not exist: name the file that was given to mhm ask --db.")
    # check_same_thread: the saver has a lock of its own.
    with closing(sqlite3.connect(_address(Path(db)), uri=True, check_same_thread=False)) as connection:
        try:
            connection.execute("PRAGMA query_only = ON")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        except sqlite3.Error as error:
            raise SettingsError(f"--db {db} can not be read: {error}.") from error
        if "checkpoints" not in tables:  # the saver would make it
            raise SettingsError(f"--db {db} holds no threads: name the file that was given to mhm ask --db.")
        yield saver_class(connection)


def _address(db: Path) -> str:
    """The file, for reading beside whoever writes it.

    Opened as read-only, SQLite would leave its -wal and -shm files behind, or fail where it can not make
    them; where it can not, nobody else is writing either.
    """
    path = db.resolve()
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return f"{path.as_uri()}?{'mode=rw' if writable else 'immutable=1'}"


def _write_page(timeline: Timeline, path: str, position: int | None) -> None:
    page = memory_page(timeline, start=position)
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--html {path} can not be written: {error.strerror}.") from error
    count = len(timeline.updates)
    print(f"Wrote {path}: {count:,} update{'' if count == 1 else 's'}, {len(page):,} bytes.", file=sys.stderr)


def _plain(timeline: Timeline, position: int | None, phrase: str | None) -> dict[str, Any]:
    """The result as JSON; of one step, its update and the heads just after it."""
    if position is None:
        told = timeline.as_dict()
    else:
        update = timeline.updates[position]
        told = {"update": update.as_dict(), "heads": timeline.heads_after(position)}
    if phrase is not None:
        told["sightings"] = [
            {"step": found.update.step, "head": found.update.head, "entered": found.entered}
            for found in find_phrase(timeline, phrase)
        ]
    return told
