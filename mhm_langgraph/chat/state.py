"""The memory of a conversation as state: what it holds, and the one reducer through which it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from langgraph.channels import DeltaChannel
from langgraph.graph import MessagesState
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from mhm_langgraph.errors import HeadError, shown
from mhm_langgraph.recall import Entry, keep_entries
from mhm_langgraph.state import Head, HeadWrite, Usage, add_usage, empty_heads, no_usage, write_heads

__all__ = ["Archive", "ChatMemory", "MemoryState", "MemoryWrite", "new_memory", "write_memory"]


@with_config(ConfigDict(use_attribute_docstrings=True))
class ChatMemory(TypedDict, total=False):
    """What is kept of a conversation beyond the messages still shown. Empty before the first reading."""

    heads: list[Head]
    """The heads. A span counts messages, in the order of their reading."""
    step: int
    """How many chunks were read: the number of the next step."""
    read: int
    """How many messages were read: the number of the next one."""
    usage: Usage
    """What memory work has cost over the life of the thread, apart from the agent's own calls."""
    seen: list[str]
    """Ids of messages that were read and are still in the state: the model is not shown them."""
    mark: str | None
    """Id of the newest message at the last reading."""


@with_config(ConfigDict(strict=True, extra="forbid"))
class MemoryWrite(TypedDict, total=False):
    """A reading: turns of heads, in order, and what goes with them."""

    heads: Annotated[int, Field(ge=1, le=1024)]
    """How many heads a memory is begun with."""
    turns: list[HeadWrite]
    """What was written."""
    read: Annotated[int, Field(ge=0)]
    """How many messages were read."""
    usage: Usage
    """What it cost."""
    seen: list[str]
    """Ids of messages that were read, of this and earlier readings, and are still in the state."""
    mark: str | None
    """Id of the newest message."""


def new_memory(heads: int) -> ChatMemory:
    """A memory that holds nothing yet."""
    return ChatMemory(heads=empty_heads(heads), step=0, read=0, usage=no_usage(), seen=[], mark=None)


def write_memory(memory: ChatMemory, write: MemoryWrite) -> ChatMemory:
    """The reducer of a conversation's memory: every turn selects one head and writes it, as in `write_heads`.

    Args:
        memory: The memory; empty before a thread's first reading.
        write: A reading.

    Returns:
        A new memory; heads that had no turn are the same objects.

    Raises:
        HeadError: The write is none, of whatever shape, or a turn is not the next step's.

    Example:
        >>> turn = {"head": 0, "step": 0, "text": "#0: The user lives in Lisbon.", "tokens": 8}
        >>> memory = write_memory({}, {"heads": 2, "turns": [turn], "read": 2})
        >>> [head["text"] for head in memory["heads"]], memory["step"], memory["read"]
        (['#0: The user lives in Lisbon.', ''], 1, 2)
    """
    write = _valid(write)
    held = memory if memory.get("heads") else new_memory(write.get("heads", 0))
    turns = write.get("turns", [])
    if [turn["step"] for turn in turns] != list(range(held["step"], held["step"] + len(turns))):
        raise HeadError(f"The next step of this memory is {held['step']}; the turns are {_steps(turns)}.")
    heads = held["heads"]
    for turn in turns:
        heads = write_heads(write_heads(heads, {"select": turn["head"]}), turn)
    return ChatMemory(
        heads=heads,
        step=held["step"] + len(turns),
        read=held["read"] + write.get("read", 0),
        usage=add_usage(held["usage"], write.get("usage", no_usage())),
        seen=write.get("seen", held["seen"]),
        mark=write.get("mark", held["mark"]),
    )


_WRITE = TypeAdapter(MemoryWrite)


def _valid(write: Any) -> MemoryWrite:
    """A write of the right shape: one of another would break the memory, or the next reading."""
    try:
        return _WRITE.validate_python(write)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the write"
        raise HeadError(
            f"The memory can not take {shown(write)}: {where}: {first['msg']}. It takes what MemoryNode "
            "writes. To set it by hand, wrap the whole of it in langgraph.types.Overwrite."
        ) from None


def _steps(turns: Sequence[Any]) -> str:
    return ", ".join(str(turn["step"]) for turn in turns)


# A delta channel stores an entry once; the heads tell what belongs to them, as in MHMState.
Archive = Annotated[dict[str, Entry], DeltaChannel(keep_entries, dict, snapshot_frequency=1_000_000_000)]
"""The channel of overwritten texts, for recall."""


class MemoryState(MessagesState):
    """The state of a chat graph with a memory: `messages`, and the memory apart from them.

    Build the graph with `input_schema=MessagesState`: else whoever may send it input may write the memory.

    Example:
        >>> from langgraph.graph import MessagesState, StateGraph
        >>> list(StateGraph(MemoryState, input_schema=MessagesState).channels)
        ['messages', 'chat_memory', 'chat_archive']
    """

    chat_memory: Annotated[ChatMemory, write_memory]
    """What is kept of the messages that are no longer shown."""
    chat_archive: Archive
    """With recall: what heads held and lost, by key."""
