"""The checkpoints of one branch of a thread, read from any checkpointer through its public methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from mhm_langgraph.errors import SettingsError
from mhm_langgraph.state import Head, Place

__all__ = ["Branch", "Moment", "memory_namespaces", "read_branch"]

# Everything read here lies in plain channels, which a checkpoint holds whole. get_state_history would
# also replay the document's delta channel, at each checkpoint anew: a tenth of a second each at step 1000.


@dataclass(frozen=True)
class Moment:
    """What one checkpoint tells. Two with the same content are equal, whatever their ids.

    Args:
        checkpoint_id: Its id.
        at: When it was made, as an ISO 8601 time.
        kind: What made it: `"input"`, `"loop"`, `"update"` (by hand) or `"fork"`.
        heads: The memory, no head marked as selected.
        step: The step count.
        span: `[start, end]` of the chunk being read.
        names: The sources of the run being read, None where no run is under way.
        source: The one among them that the chunk comes from.
        question: The question of the run.
        answer: The last answer.
        round: The chunks of the round being read, where it reads several at once.
    """

    checkpoint_id: str = field(compare=False)
    at: str = field(compare=False)
    kind: str
    heads: tuple[Head, ...]
    step: int
    span: list[int] | None
    names: tuple[str | None, ...] | None
    source: str | None
    question: str | None
    answer: str | None
    round: tuple[Place, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Branch:
    """The checkpoints from a thread's start to one of them.

    Args:
        checkpoint_ns: Where in the thread they lie.
        moments: The checkpoints, oldest first; of several in a row with the same content, the first.
        replies: For each turn `(step, head)` whose write is stored, whether the reply held text.
    """

    checkpoint_ns: str
    moments: tuple[Moment, ...]
    replies: dict[tuple[int, int], bool]


def read_branch(
    checkpointer: BaseCheckpointSaver[Any],
    thread_id: str,
    checkpoint_id: str | None = None,
    checkpoint_ns: str | None = None,
) -> Branch:
    """Read a branch of a thread, from its newest checkpoint back to its first.

    Goes from a checkpoint to its parent, so other branches are neither read nor mixed in. Of texts that
    stayed, one copy is held: what it takes grows with the updates, not with the checkpoints.

    Args:
        checkpointer: Any LangGraph checkpointer.
        thread_id: The thread.
        checkpoint_id: The checkpoint to end at, None for the newest.
        checkpoint_ns: The namespace; None for the thread's own memory or, where it has none, the newest
            one in a subgraph.

    Returns:
        The branch.

    Raises:
        SettingsError: There is no such checkpoint, or no memory in it.
    """
    found = _tip(checkpointer, thread_id, checkpoint_id, checkpoint_ns)
    namespace = found.config["configurable"].get("checkpoint_ns", "")
    moments: list[Moment] = []
    replies: dict[tuple[int, int], bool] = {}
    parent: CheckpointTuple | None = found
    while parent is not None:
        moment = _moment(parent, moments[-1] if moments else None)
        if moments and moments[-1] == moment:
            moments.pop()  # nothing changed from this checkpoint to the next: the first one stands
        moments.append(moment)
        replies |= _replies(parent)
        parent = checkpointer.get_tuple(parent.parent_config) if parent.parent_config else None
    return Branch(namespace, tuple(reversed(moments)), replies)


def memory_namespaces(checkpointer: BaseCheckpointSaver[Any], thread_id: str) -> list[str]:
    """Where in a thread memories lie: `""` is the thread's own, others belong to subgraphs.

    A memory inside a host graph has a namespace such as `"memory"` (compiled with `checkpointer=True`)
    or `"memory:ID"`, one for each run of the host (inherited checkpointer). Reads every checkpoint.

    Args:
        checkpointer: Any LangGraph checkpointer.
        thread_id: The thread.

    Returns:
        The namespaces, the one written last first.
    """
    newest: dict[str, str] = {}
    for found in checkpointer.list(_config(thread_id)):
        if _is_memory(found):
            namespace = found.config["configurable"].get("checkpoint_ns", "")
            newest[namespace] = max(newest.get(namespace, ""), found.checkpoint["id"])
    return sorted(newest, key=lambda namespace: newest[namespace], reverse=True)


def _tip(
    checkpointer: BaseCheckpointSaver[Any],
    thread_id: str,
    checkpoint_id: str | None,
    checkpoint_ns: str | None,
) -> CheckpointTuple:
    """The checkpoint the branch leads to."""
    found = checkpointer.get_tuple(_config(thread_id, checkpoint_ns or "", checkpoint_id))
    if checkpoint_ns is None and (found is None or not _is_memory(found)):
        inner = [name for name in memory_namespaces(checkpointer, thread_id) if name]
        tuples = (checkpointer.get_tuple(_config(thread_id, name, checkpoint_id)) for name in inner)
        found = next((inside for inside in tuples if inside is not None), found)
    if found is None:
        at = f" at checkpoint {checkpoint_id!r}" if checkpoint_id else ""
        where = f" in namespace {checkpoint_ns!r}" if checkpoint_ns else ""
        raise SettingsError(f"There is nothing of thread {thread_id!r}{where}{at} in this checkpointer.")
    if not _is_memory(found):
        raise SettingsError(f"Thread {thread_id!r} holds no memory yet: nothing has been read into it.")
    return found


def _config(
    thread_id: str, checkpoint_ns: str | None = None, checkpoint_id: str | None = None
) -> RunnableConfig:
    given = {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns, "checkpoint_id": checkpoint_id}
    return {"configurable": {key: value for key, value in given.items() if value is not None}}


def _is_memory(found: CheckpointTuple) -> bool:
    """Whether it is a checkpoint of the loop; a host's own state may hold heads too, but no span."""
    values = found.checkpoint["channel_values"]
    heads = values.get("heads")
    return (
        "span" in values
        and isinstance(heads, list)
        and bool(heads)
        and all(isinstance(head, dict) and {"text", "updated_at"} <= head.keys() for head in heads)
    )


def _moment(found: CheckpointTuple, newer: Moment | None) -> Moment:
    values = found.checkpoint["channel_values"]
    given = values.get("source")  # a name as it was given, until the run has begun
    reading = given if isinstance(given, Mapping) else None
    names = tuple(reading["names"]) if reading else None
    return Moment(
        checkpoint_id=found.checkpoint["id"],
        at=found.checkpoint["ts"],
        kind=str(found.metadata.get("source")),
        heads=_heads(values.get("heads") or [], newer.heads if newer else ()),
        step=values.get("step") or 0,
        span=values.get("span"),
        names=names,
        source=names[reading["index"]] if reading and names and reading["index"] < len(names) else None,
        question=values.get("question"),
        answer=values.get("answer"),
        round=tuple(values.get("round") or ()),
    )


def _heads(heads: Sequence[Head], newer: Sequence[Head]) -> tuple[Head, ...]:
    """The heads, each the very object of the newer checkpoint where they are equal."""
    plain = [Head(**{**head, "selected": False}) for head in heads]
    known = [*newer, *[None] * len(plain)]
    return tuple(other if other == head else head for head, other in zip(plain, known, strict=False))


def _replies(found: CheckpointTuple) -> dict[tuple[int, int], bool]:
    """The turns that were written after this checkpoint, and whether their replies held text."""
    written = [write for _, channel, write in found.pending_writes or [] if channel == "heads"]
    several = (write if isinstance(write, list) else [write] for write in written)
    return {
        (write["step"], write["head"]): "text" in write
        for write in chain.from_iterable(several)
        if isinstance(write, dict) and {"step", "head"} <= write.keys()
    }
