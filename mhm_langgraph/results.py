"""What a node writes: pure functions from a choice or a reply to the state's changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from mhm_langgraph.errors import SettingsError, shown
from mhm_langgraph.readers import Reply
from mhm_langgraph.readers.gates import Gate, Gates
from mhm_langgraph.recall import archived
from mhm_langgraph.selection import Choice, Turn
from mhm_langgraph.state import Head, HeadRelease, HeadWrite, Reading, add_usage
from mhm_langgraph.tokens import TokenCounter
from mhm_langgraph.views import ReadState, StepState

__all__ = [
    "FINISHED",
    "checked_choice",
    "checked_reply",
    "ended",
    "head_write",
    "heeded",
    "overwritten",
    "selected",
]

FINISHED: dict[str, Any] = {"question": None, "source": None, "span": None}
"""What was the run's own is cleared, or the next run on the thread would inherit it."""


def ended(state: ReadState) -> dict[str, Any]:
    """The change at the text's end, or where the reading is left off: no chunk, and no document any more."""
    document = {"document": None} if state.get("document") else {}
    last_round = {"round": None} if state.get("round") else {}
    return {"span": None, **document, **last_round, **(FINISHED if state.get("question") is None else {})}


def checked_choice(choice: object, turn: Turn) -> Choice:
    """Hold a selector of the user's own to its protocol.

    Raises:
        SettingsError: It returned something else, or a head that is taken in this round.
    """
    if not isinstance(choice, Choice):
        raise SettingsError(f"The selector returned {shown(choice)}; return Choice(index of the head).")
    if choice.head in turn.taken:
        raise SettingsError(
            f"The selector chose head {choice.head} twice in a round of parallel_heads: it must choose one "
            f"of turn.free, here {turn.free}."
        )
    return choice


def selected(state: StepState, choices: Sequence[Choice]) -> dict[str, Any]:
    """The change that a selector's choices make: one, or one for each chunk of a round.

    Args:
        state: The step.
        choices: What was chosen.

    Returns:
        The change.
    """
    usage = state["usage"]
    for choice in choices:
        usage = add_usage(usage, choice.usage)
    cost = {"usage": usage} if any(choice.usage["calls"] for choice in choices) else {}
    heads = [choice.head for choice in choices]
    if not (places := state.get("round")):
        return {"heads": {"select": heads[0]}, **cost}
    placed = [{**place, "head": head} for place, head in zip(places, heads, strict=True)]
    return {"heads": {"select": heads}, "round": placed, **cost}


def heeded(reply: Reply, gates: Gates) -> Reply:
    """A reply without what it says of gates that are off; "skip" leaves no text.

    Args:
        reply: What the reader gave back.
        gates: The gates that are on.

    Returns:
        The reply.

    Raises:
        SettingsError: It names a gate that there is not.
    """
    if reply.gate not in get_args(Gate):
        raise SettingsError(f"Reply.gate={shown(reply.gate)} is not allowed: it is '', 'skip' or 'exit'.")
    if reply.gate == "skip":
        return replace(reply, text="") if gates.update else replace(reply, gate="")
    return reply if gates.exit or not reply.gate else replace(reply, gate="")


def head_write(state: StepState, head: int, reply: Reply, count: TokenCounter) -> HeadWrite | HeadRelease:
    """The write of a head's turn. An empty reply leaves the head, and the rotation goes on.

    Args:
        state: The step.
        head: Index of the head.
        reply: What the reader gave back.
        count: The token counter.

    Returns:
        The write. Where a gate left no text, the head's turn is given back.
    """
    if reply.gate and not reply.text:
        return HeadRelease(release=head)
    reading: Reading = state["source"]
    write = HeadWrite(head=head, step=state["step"])
    if reply.text:
        write |= {
            "text": reply.text,
            "tokens": count(reply.text),
            "span": list(state["span"]),
            "source": reading["names"][reading["index"]],
        }
        if reply.unsupported is not None and not reply.rejected:
            write["unsupported"] = list(reply.unsupported)
    return write


def overwritten(write: HeadWrite | HeadRelease, heads: Sequence[Head]) -> dict[str, Any]:
    """A node's changes by a write, what it overwrites with them, for the archive.

    Args:
        write: The write of a head's turn.
        heads: The memory as it is before.

    Returns:
        The write to the heads, naming what is overwritten, and to the archive; the write alone where nothing
        is lost.
    """
    if "text" not in write:
        return {"heads": write}
    written = cast(HeadWrite, write)
    before = heads[written["head"]]
    if before["text"] in ("", written["text"]):
        return {"heads": write}
    key, entry = archived(before, written["head"])
    return {"heads": {**written, "archived": key}, "archive": {key: entry}}


def checked_reply(reply: object, reader: object, method: str) -> Reply:
    """Hold a reader of the user's own to its protocol; to return the text alone is the likeliest slip.

    Args:
        reply: What it returned.
        reader: The reader.
        method: The method that returned it.

    Returns:
        The reply.

    Raises:
        SettingsError: It is no `Reply` with text.
    """
    if not isinstance(reply, Reply) or not isinstance(reply.text, str):
        raise SettingsError(
            f"{type(reader).__name__}.{method} returned {shown(reply)}; a Reply is needed, as in "
            "Reply(text='...')."
        )
    return reply
