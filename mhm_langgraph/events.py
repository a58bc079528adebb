"""What a run tells of itself: progress events, and the same facts on a trace's run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.config import get_stream_writer
from langsmith import get_current_run_tree

from mhm_langgraph.readers.base import Reply, UpdateRequest
from mhm_langgraph.recall import Recalled
from mhm_langgraph.state import Exited, Head, HeadRelease, HeadWrite, Reading, Usage

__all__ = ["answered", "head_updated", "tell"]


def head_updated(
    request: UpdateRequest,
    reply: Reply,
    write: HeadWrite | HeadRelease,
    head: Head,
    reading: Reading,
    usage: Usage,
    recalled: Sequence[Recalled] | None = None,
) -> dict[str, Any]:
    """The event after a head's turn.

    Args:
        request: What the reader was asked.
        reply: What it gave back.
        write: What was written.
        head: The head as it was before.
        reading: Where the run stands in its sources.
        usage: What the run has cost so far.
        recalled: What was shown again of what heads held before; None where nothing is to be.

    Returns:
        Plain values. `read` and `total` are in the source's own units, sizes in tokens. `unsupported` is
        there where writes are checked: sentences that the text did not support.
    """
    gated = {"gated": reply.gate or None} if request.gates else {}
    return {
        "type": "head_updated",
        "step": request.step,
        "head": request.head,
        "span": list(request.span),
        "source": reading["names"][reading["index"]],
        "read": reading["before"] + request.span[1],
        "total": reading["total"],
        "chunk_tokens": request.count(request.chunk),
        "head_tokens_before": head["tokens"],
        "head_tokens": write.get("tokens", head["tokens"]),
        "cut": reply.cut,
        "empty": not reply.text and not reply.gate,
        "retried": reply.retried,
        "retries": reply.retries,
        "usage": usage,
        **({} if reply.unsupported is None else {"unsupported": list(reply.unsupported)}),
        **({} if recalled is None else {"recalled": list(recalled)}),
        **gated,
    }


def answered(
    reply: Reply,
    step: int,
    reader: str,
    usage: Usage,
    exited: Exited | None = None,
    recalled: Sequence[Recalled] | None = None,
) -> dict[str, Any]:
    """The event after the answer.

    Args:
        reply: What the reader gave back.
        step: How many steps the thread has taken.
        reader: What the reader says it is.
        usage: What the run has cost.
        exited: Where the exit gate ended the reading.
        recalled: What was shown again of what heads held before; None where recall is off.

    Returns:
        Plain values; `exited`, `read` and `total` only where the text was not read to its end,
        `recalled` only with recall.
    """
    return {
        "type": "answered",
        "step": step,
        "answer": reply.text,
        "cut": reply.cut,
        "empty": not reply.text,
        "retried": reply.retried,
        "retries": reply.retries,
        "reader": reader,
        "usage": usage,
        **({"exited": True, **exited} if exited else {}),
        **({} if recalled is None else {"recalled": list(recalled)}),
    }


def tell(event: dict[str, Any]) -> None:
    """Send an event to whoever streams, and put its facts on the node's run where it is traced.

    Args:
        event: The event. Its head, where it has one, becomes a tag, so that a reviewer can filter a
            head's life: `mhm:head:2`.
    """
    get_stream_writer()(event)
    if (run := get_current_run_tree()) is None:
        return
    facts = {key: value for key, value in event.items() if key not in ("type", "answer", "usage")}
    if "recalled" in facts:  # their texts stand in the prompt, which the model's own run shows
        facts["recalled"] = [{**found, "text": len(found["text"])} for found in facts["recalled"]]
    run.add_metadata({f"mhm_{key}": value for key, value in facts.items()})
    run.add_tags(["mhm", *([f"mhm:head:{event['head']}"] if "head" in event else [])])
