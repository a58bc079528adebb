"""What goes in and out of `mhm ask`: sources, the database, the result."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from mhm_langgraph import SettingsError, Source, SourceError
from mhm_langgraph.cli.checks import STDIN, Asked
from mhm_langgraph.display import printable
from mhm_langgraph.forget import sqlite_saver
from mhm_langgraph.sources import Files, InlineSource

__all__ = ["checkpointer", "graph_input", "opener", "print_result"]


@contextmanager
def checkpointer(db: str | None) -> Iterator[Any]:
    """The SQLite checkpointer, None where nothing is to be kept."""
    if db is None:
        yield None
        return
    saver_class = sqlite_saver()
    try:
        connection = sqlite3.connect(db, check_same_thread=False)  # the saver has a lock of its own
    except sqlite3.Error as error:
        raise SettingsError(f"--db {db} can not be opened: {error}.") from error
    with closing(connection):
        saver = saver_class(connection)
        try:
            saver.setup()
        except sqlite3.Error as error:
            raise SettingsError(f"--db {db} can not be used: {error}.") from error
        yield saver


def opener(sources: Sequence[str]) -> Callable[[str], Source] | None:
    """Opens files, and standard input where it is one of several sources; None opens files."""
    if STDIN not in sources or len(sources) == 1:
        return None
    stdin, files = InlineSource(_read_stdin(), name="standard input"), Files()
    return lambda name: stdin if name == STDIN else files(name)


def graph_input(asked: Asked) -> dict[str, Any]:
    """The graph's input. Standard input alone is a document, so that a thread keeps it for a resume."""
    if list(asked.sources) == [STDIN]:
        return {"question": asked.question, "document": _read_stdin()}
    return {"question": asked.question, "source": list(asked.sources) or None}


def _read_stdin() -> str:
    """Standard input as text."""
    if sys.stdin.isatty():
        print("mhm: reading standard input; Ctrl-D ends it.", file=sys.stderr)
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"standard input is not UTF-8 text (byte {error.start}): save it to a file, whose encoding is "
            "detected."
        ) from error
    if not text:
        raise SourceError("standard input is empty: pipe some text into it, or name a file.")
    return text


def print_result(out: Mapping[str, Any], *, as_json: bool) -> None:
    """The answer, or all of the result as JSON, on standard output."""
    if as_json:
        # What was not read is told where there is such: off, the document is what it was.
        found = {key: out.get(key) for key in ("answer", "heads", "usage", "step")}
        print(json.dumps(found | ({"exited": out["exited"]} if out.get("exited") else {}), indent=2))
    elif out.get("answer") is not None:
        print(printable(out["answer"]))
