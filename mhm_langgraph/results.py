"""What a node writes: pure functions from a choice or a reply to the state's changes."""

from __future__ import annotations

from typing import Any

from mhm_langgraph.errors import SettingsError, shown
from mhm_langgraph.readers import Reply
from mhm_langgraph.selection import Choice
from mhm_langgraph.state import HeadWrite, Reading, add_usage
from mhm_langgraph.tokens import TokenCounter
from mhm_langgraph.views import StepState

__all__ = ["FINISHED", "checked_reply", "head_write", "selected"]

FINISHED: dict[str, Any] = {"question": None, "source": None, "span": None}
"""What was the run's own is cleared, or the next run on the thread would inherit it."""


def selected(state: StepState, choice: Choice) -> dict[str, Any]:
    """The change that a selector's choice makes.

    Raises:
        SettingsError: The selector returned something else.
    """
    if not isinstance(choice, Choice):
        raise SettingsError(f"The selector returned {shown(choice)}; return Choice(index of the head).")
    cost = {"usage": add_usage(state["usage"], choice.usage)} if choice.usage["calls"] else {}
    return {"heads": {"select": choice.head}, **cost}


def head_write(state: StepState, head: int, reply: Reply, count: TokenCounter) -> HeadWrite:
    """The write of a head's turn. An empty reply leaves the head, and the rotation goes on.

    Args:
        state: The step.
        head: Index of the head.
        reply: What the reader gave back.
        count: The token counter.

    Returns:
        The write.
    """
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
