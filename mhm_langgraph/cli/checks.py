"""What `mhm ask` was asked to do, and what of it can not work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from typer import BadParameter

from mhm_langgraph import SettingsError
from mhm_langgraph.errors import shown

__all__ = ["STDIN", "Asked", "check_request", "check_thread", "number_of_heads"]

STDIN = "-"


@dataclass(frozen=True)
class Asked:
    """What `mhm ask` was asked to do.

    Args:
        sources: Files, and `-` for standard input.
        question: The question, None to read only.
        settings: What `create_mhm_agent` is to be called with.
        db: The SQLite file that keeps threads, None to keep nothing.
        thread: Name of the thread, None for `default`.
        resume: Whether to go on with a run that was stopped.
        json: Whether to print JSON.
        verbose: Whether to print a line an event.
    """

    sources: Sequence[str]
    question: str | None
    settings: dict[str, Any]
    db: str | None
    thread: str | None
    resume: bool
    json: bool
    verbose: bool

    @property
    def config(self) -> RunnableConfig:
        """The thread, as LangGraph takes it."""
        return {"configurable": {"thread_id": self.thread or "default"}} if self.db else {}


def number_of_heads(text: str) -> int | str:
    """What `--heads` means: a number, or `auto`."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise BadParameter(f"{shown(text)} is neither a whole number nor auto.") from None


def check_request(asked: Asked) -> None:
    """Refuse what can not work, before anything is read or written."""
    if asked.db is None and (asked.resume or asked.thread):
        option = "--resume" if asked.resume else f"--thread {asked.thread}"
        raise SettingsError(f"{option} needs --db FILE: without it nothing is kept between runs.")
    if not asked.sources and not asked.resume:
        if asked.question is None:
            raise SettingsError("there is nothing to do: name a SOURCE, ask a question with -q, or both.")
        if asked.db is None:
            raise SettingsError(
                "a question alone is answered from a thread's memory: name a SOURCE, or add --db FILE."
            )
    if asked.sources.count(STDIN) > 1:
        raise SettingsError("- is given twice: standard input can be read only once.")
    if asked.db is None:
        return
    if STDIN in asked.sources and len(asked.sources) > 1:
        raise SettingsError(
            "- can not be mixed with files under --db, as such a run could not be resumed: read - alone, "
            "or save it to a file."
        )
    if not Path(asked.db).exists() and (asked.resume or not asked.sources):
        raise SettingsError(f"--db {asked.db} does not exist: name a SOURCE to begin a memory in it.")


def check_thread(asked: Asked, values: Mapping[str, Any], *, unfinished: bool) -> None:
    """Refuse what the thread can not do as it stands: its values, and whether its last run broke off."""
    thread = f"thread {asked.thread or 'default'} of {asked.db}"
    if asked.resume:
        if not unfinished:
            raise SettingsError(f"{thread} has nothing to resume: leave --resume out.")
        _check_same(asked, values)
        return
    # A run that failed before it began, at a misspelt path say, has read nothing that could be lost.
    if unfinished and isinstance(values.get("source"), dict):
        raise SettingsError(
            f"the last run on {thread} was stopped: go on with it by --resume, or use another --thread."
        )
    if not asked.sources and not values.get("heads"):
        raise SettingsError(f"{thread} has no memory yet: name a SOURCE to read into it.")


def _check_same(asked: Asked, values: Mapping[str, Any]) -> None:
    """What is given along with --resume must be what was stopped: it would be ignored."""
    question, names = values.get("question"), _source_names(values)
    if question is None and not names:  # stopped so early that the state holds nothing of it yet
        return
    if asked.question is not None and asked.question != question:
        raise SettingsError(
            f"--resume goes on with the question {shown(question)}, not {shown(asked.question)}: ask that "
            "one when it is done."
        )
    if asked.sources and names and list(asked.sources) != names:
        raise SettingsError(
            f"--resume goes on with {' '.join(names) or 'no SOURCE'}, not {' '.join(asked.sources)}: read "
            "that when it is done."
        )


def _source_names(values: Mapping[str, Any]) -> list[str]:
    """The sources of a run that broke off, as they were given on the command line."""
    source = values.get("source")
    names = source["names"] if isinstance(source, dict) else source or []
    return [STDIN if name is None else name for name in names]
