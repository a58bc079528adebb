"""A conversation's memory for graphs of one's own: a function, and a node over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from langchain_core.messages import AnyMessage, BaseMessage, RemoveMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig

from mhm_langgraph.chat.memorizer import Memorized, Memorizer, create_memorizer, unseen
from mhm_langgraph.chat.prompts import with_memory
from mhm_langgraph.chat.state import ChatMemory, MemoryWrite, write_memory
from mhm_langgraph.errors import SettingsError, shown
from mhm_langgraph.events import tell
from mhm_langgraph.recall import Entry

__all__ = ["MemorizedMessages", "MemoryNode", "amemorize_messages", "memorize_messages", "state_update"]


@dataclass(frozen=True, kw_only=True)
class MemorizedMessages:
    """What `memorize_messages` gives back.

    Args:
        messages: What the model is to be given: the messages that are not in memory, and the memory as
            the last part of the system message.
        memory: The memory: keep it in the state, and pass it the next time.
        removed: For those who do not keep what was read: these take it out of a `messages` channel.
        events: What happened: `head_updated` and `memory_failed`, as plain values.
    """

    messages: list[AnyMessage]
    memory: ChatMemory
    removed: list[RemoveMessage]
    events: tuple[dict[str, Any], ...] = ()


def memorize_messages(
    messages: Sequence[AnyMessage], memory: ChatMemory | None = None, *, model: Any, **settings: Any
) -> MemorizedMessages:
    """Read the oldest messages into a memory of heads, if the conversation has grown too long.

    The pure form of `MemoryNode`, in the manner of langmem's `summarize_messages`. Messages that are in
    memory already may be passed again: they are known by their ids and not read twice.

    Args:
        messages: The whole conversation; every message has an id, as a `messages` channel gives it.
        memory: What an earlier call gave back; None at first.
        model: What reads, as for `create_mhm_agent`.
        **settings: Further settings of `MultiHeadMemoryMiddleware`.

    Returns:
        What the model is to be given, and the memory.

    Raises:
        SettingsError: A setting is wrong, or a message has no id.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> talk = [HumanMessage(f"My room is number {n}.", id=str(n)) for n in range(40)]
        >>> size = {"trigger": ("messages", 30), "keep": ("messages", 3)}
        >>> result = memorize_messages(talk, model="extractive", **size)
        >>> len(result.messages), result.memory["read"], result.messages[0].type
        (4, 37, 'system')
        >>> len(memorize_messages(talk, result.memory, model="extractive", **size).messages)
        4
    """
    memorizer = _without_recall(model, settings)
    known: ChatMemory = memory or {}
    return _result(messages, known, memorizer.read(unseen(_with_ids(messages), known), known), memorizer)


async def amemorize_messages(
    messages: Sequence[AnyMessage], memory: ChatMemory | None = None, *, model: Any, **settings: Any
) -> MemorizedMessages:
    """As `memorize_messages`, async."""
    memorizer = _without_recall(model, settings)
    known: ChatMemory = memory or {}
    done = await memorizer.aread(unseen(_with_ids(messages), known), known)
    return _result(messages, known, done, memorizer)


def _without_recall(model: Any, settings: dict[str, Any]) -> Memorizer:
    if settings.get("recall"):
        raise SettingsError(
            f"recall={shown(settings['recall'])} is not allowed here: it needs a state that keeps what heads "
            "have lost. Use MemoryNode, or the middleware."
        )
    return create_memorizer(model, **settings)


def _result(
    messages: Sequence[AnyMessage], memory: ChatMemory, done: Memorized, memorizer: Memorizer
) -> MemorizedMessages:
    update = state_update(messages, memory, done, keep_history=True)
    after = write_memory(memory, update["memory"]) if "memory" in update else memory
    return MemorizedMessages(
        messages=shown_messages(messages, after, memorizer),
        memory=after,
        removed=[RemoveMessage(id=str(message.id)) for message in done.read],
        events=done.events,
    )


def state_update(
    messages: Sequence[BaseMessage], memory: ChatMemory, done: Memorized, *, keep_history: bool
) -> dict[str, Any]:
    """A reading as one update of a state: what is in memory and what leaves the messages go together.

    Args:
        messages: All messages of the state.
        memory: The memory before.
        done: The reading.
        keep_history: Whether messages that were read stay in the state.

    Returns:
        `memory`, the write to it, `messages`, their removal, and `archive`; none where nothing was read.
    """
    if done.write is None:
        return {}
    write: MemoryWrite = {**done.write}
    lost = {"archive": done.archive} if done.archive else {}
    if not done.read:
        return {"memory": write}
    if not keep_history:
        gone = [RemoveMessage(id=str(message.id)) for message in done.read]
        return {"memory": write, "messages": gone, **lost}
    still_there = {message.id for message in messages}
    seen = [*memory.get("seen", []), *(str(message.id) for message in done.read)]
    return {"memory": {**write, "seen": [name for name in seen if name in still_there]}, **lost}


def shown_messages(
    messages: Sequence[AnyMessage],
    memory: ChatMemory,
    memorizer: Memorizer,
    archive: Mapping[str, Entry] = MappingProxyType({}),
) -> list[AnyMessage]:
    """What the model is given: the memory in the system message, and the messages not in it."""
    rest = unseen(messages, memory)
    own = rest.pop(0) if rest and isinstance(rest[0], SystemMessage) else None
    system = with_memory(own, memorizer.shown(rest, memory, archive))
    return [*([system] if system else []), *rest]


def _with_ids(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    for message in messages:
        if message.id is None:
            raise SettingsError(
                f"The message {shown(message.text)} has no id, by which it is known whether it was read: "
                "keep messages in a channel with add_messages, as MessagesState does."
            )
    return messages


class MemoryNode(Runnable[Any, dict[str, Any]]):
    """A node that reads the oldest messages into a memory of heads, if the conversation is too long.

    Put it before the node that calls the model. By default it takes the messages that it has read out of
    the state, and the model's node shows the memory with `with_memory`. With `output_messages_key` it
    leaves the messages alone and writes what the model is to be given under that key, as langmem's
    `SummarizationNode` does. What is read and what it is read into change in one update of the state.

    Args:
        model: What reads, as for `create_mhm_agent`.
        messages_key: Where the conversation is in the state.
        memory_key: Where the memory is in the state; its channel has the reducer `write_memory`.
        archive_key: With recall: where overwritten texts are in the state, as in `MemoryState`.
        output_messages_key: Where to write what the model is to be given; None: nowhere.
        name: The node's name in a trace.
        **settings: Further settings of `MultiHeadMemoryMiddleware`.

    Raises:
        SettingsError: A setting is wrong.

    Example:
        >>> from langgraph.graph import START, MessagesState, StateGraph
        >>> from mhm_langgraph.chat import MemoryState
        >>> builder = StateGraph(MemoryState, input_schema=MessagesState)
        >>> memory = MemoryNode("extractive", trigger=("messages", 4), keep=("messages", 1))
        >>> _ = builder.add_node("memory", memory)
        >>> _ = builder.add_edge(START, "memory")
        >>> talk = [("user", "I live in Lisbon."), ("ai", "Lisbon it is."), ("user", "I moved to Porto."),
        ...         ("ai", "Porto it is."), ("user", "Where do I live?")]
        >>> state = builder.compile().invoke({"messages": talk})
        >>> [message.text for message in state["messages"]], state["chat_memory"]["read"]
        (['Where do I live?'], 4)
    """

    def __init__(
        self,
        model: Any,
        *,
        messages_key: str = "messages",
        memory_key: str = "chat_memory",
        archive_key: str = "chat_archive",
        output_messages_key: str | None = None,
        name: str = "memory",
        **settings: Any,
    ) -> None:
        if output_messages_key == messages_key:
            raise SettingsError(
                f"output_messages_key={shown(output_messages_key)} is not allowed: it is the key of the "
                "conversation itself. Leave it out, and what was read is removed from the conversation."
            )
        self.name = name
        self._messages_key, self._memory_key = messages_key, memory_key
        self._archive_key, self._output_key = archive_key, output_messages_key
        self._memorizer = create_memorizer(model, **settings)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Read what is to be read now, if anything."""
        state = input if isinstance(input, Mapping) else vars(input)
        messages, memory = self._given(state)
        return self._update(state, self._memorizer.read(unseen(messages, memory), memory))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """As `invoke`, async."""
        state = input if isinstance(input, Mapping) else vars(input)
        messages, memory = self._given(state)
        return self._update(state, await self._memorizer.aread(unseen(messages, memory), memory))

    def shown(self, state: Any) -> str:
        """The memory as a part of the system message, for `with_memory`, with what is recalled.

        Args:
            state: The state, in a node after this one.

        Returns:
            The part; empty where nothing is in memory.
        """
        held = state if isinstance(state, Mapping) else vars(state)
        messages, memory = self._given(held)
        return self._memorizer.shown(unseen(messages, memory), memory, held.get(self._archive_key) or {})

    def _given(self, state: Mapping[str, Any]) -> tuple[Sequence[AnyMessage], ChatMemory]:
        return _with_ids(state.get(self._messages_key) or []), state.get(self._memory_key) or ChatMemory()

    def _update(self, state: Mapping[str, Any], done: Memorized) -> dict[str, Any]:
        for event in done.events:
            tell(event)
        messages, memory = self._given(state)
        update = state_update(messages, memory, done, keep_history=self._output_key is not None)
        named = {"memory": self._memory_key, "messages": self._messages_key, "archive": self._archive_key}
        written = {named[key]: value for key, value in update.items()}
        if self._output_key is not None:
            after = write_memory(memory, update["memory"]) if update else memory
            archive = {**(state.get(self._archive_key) or {}), **done.archive}
            written[self._output_key] = shown_messages(messages, after, self._memorizer, archive)
        return written
