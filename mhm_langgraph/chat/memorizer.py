"""The engine: what of a conversation is read now, into which head, and what is written. Sync and async."""

from __future__ import annotations

import logging
from collections import ChainMap
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.errors import GraphBubbleUp

from mhm_langgraph.chat.messages import Portion, portions, readable
from mhm_langgraph.chat.prompts import memory_text, resolve_chat_prompts
from mhm_langgraph.chat.sizes import (
    Counters,
    Keep,
    Trigger,
    kept_from,
    prompt_tokens,
    resolve_counters,
    resolve_keep,
    resolve_trigger,
)
from mhm_langgraph.chat.state import ChatMemory, MemoryWrite, new_memory, write_memory
from mhm_langgraph.errors import ReaderError, SettingsError, shown
from mhm_langgraph.events import head_updated
from mhm_langgraph.readers import Load, Prompts, Reader, Reply, UpdateRequest, resolve_reader
from mhm_langgraph.readers.causes import classify, told
from mhm_langgraph.recall import Entry, Ranking, Recalled, archived, choose, lineage, resolve_ranking
from mhm_langgraph.requests import patience
from mhm_langgraph.results import checked_reply
from mhm_langgraph.selection import Turn, lru
from mhm_langgraph.settings import Settings
from mhm_langgraph.state import HeadWrite, Reading, Usage, add_usage, no_usage

__all__ = ["Memorized", "Memorizer", "create_memorizer", "unseen"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Memorized:
    """What came of a reading.

    Args:
        read: The messages that are in memory now, and need not be shown any more.
        write: What is to be written to the memory, None where nothing is.
        archive: What heads held and lost, by key; none unless recall is on.
        events: What happened, as plain values.
    """

    read: tuple[BaseMessage, ...] = ()
    write: MemoryWrite | None = None
    archive: Mapping[str, Entry] = field(default_factory=dict)
    events: tuple[dict[str, Any], ...] = ()


@dataclass
class _Done:
    """What a reading has come to so far. `sure` is what stands whatever comes after it."""

    memory: ChatMemory
    turns: list[HeadWrite] = field(default_factory=list)
    read: list[BaseMessage] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    lost: list[dict[str, Entry]] = field(default_factory=list)
    usage: Usage = field(default_factory=no_usage)
    sure: int = 0


@dataclass(frozen=True, kw_only=True)
class Memorizer:
    """Reads messages into heads; made by `create_memorizer`.

    Args:
        settings: Sizes and patience, as for `create_mhm_agent`.
        heads: How many heads a new memory gets.
        reader: The reader.
        prompts: The prompts.
        trigger: When to read.
        keep: How much stays unread.
        pin_first: Whether the user's first message stays.
        counters: The token counters.
        rank: How overwritten texts are ranked, with recall.
    """

    settings: Settings
    heads: int
    reader: Reader
    prompts: Prompts
    trigger: Trigger
    keep: Keep
    pin_first: bool
    counters: Counters
    rank: Ranking

    def shown(self, messages: Sequence[BaseMessage], memory: ChatMemory, archive: Mapping[str, Entry]) -> str:
        """The memory as a part of the system message, with what is recalled for the user's last message."""
        question = next((said.text for said in reversed(messages) if isinstance(said, HumanMessage)), "")
        recalled: list[Recalled] = []
        if self.settings.recall and archive and question:
            recalled = choose(
                question,
                [head["text"] for head in memory["heads"]],
                lineage(memory["heads"], archive),
                number=self.settings.recall,
                tokens=self.settings.recall_tokens,
                count=self.counters.text,
                rank=self.rank,
            )
        return memory_text(memory, self.prompts, recalled=[found["text"] for found in recalled])

    def read(self, messages: Sequence[BaseMessage], memory: ChatMemory) -> Memorized:
        """Read what is to be read now, if anything. Whatever the model does, it returns."""
        turns = self._turns(messages, memory)
        try:
            request = next(turns)
            while True:
                try:
                    reply = self.reader.update(request)
                except (GraphBubbleUp, SettingsError):
                    raise
                except Exception as error:
                    request = turns.throw(error)
                else:
                    request = turns.send(checked_reply(reply, self.reader, "update"))
        except StopIteration as stop:
            result: Memorized = stop.value
            return result

    async def aread(self, messages: Sequence[BaseMessage], memory: ChatMemory) -> Memorized:
        """As `read`, async."""
        turns = self._turns(messages, memory)
        try:
            request = next(turns)
            while True:
                try:
                    reply = await self.reader.aupdate(request)
                except (GraphBubbleUp, SettingsError):
                    raise
                except Exception as error:
                    request = turns.throw(error)
                else:
                    request = turns.send(checked_reply(reply, self.reader, "update"))
        except StopIteration as stop:
            result: Memorized = stop.value
            return result

    def _turns(
        self, messages: Sequence[BaseMessage], given: ChatMemory
    ) -> Generator[UpdateRequest, Reply, Memorized]:
        """A reading: asks for one update after the other, until the conversation is small enough.

        What a failure or an empty reply leaves half read is not written, and stays in the conversation.
        """
        done = _Done(given if given.get("heads") else new_memory(self.heads))
        for portion in self._due(messages, done.memory):
            request = self._request(portion, done.memory)
            try:
                reply = yield request
                failure = "" if reply.text else "the model's reply held no text"
            except Exception as error:
                reply, failure = Reply(text=""), self._reason(error)
            done.usage = add_usage(done.usage, reply.usage)
            if failure:
                return self._result(messages, given, done, self._failed(request, failure, done))
            self._write(portion, request, reply, done)
            if portion.messages and not self._still_due(messages, done):
                break
        return self._result(messages, given, done)

    def _due(self, messages: Sequence[BaseMessage], memory: ChatMemory) -> Sequence[Portion]:
        """The chunks that may be read now, oldest first; none where the trigger does not fire."""
        tokens = self._tokens(messages, memory)
        if not self.trigger.fires(tokens, len(messages)):
            return ()
        sizes = [self.counters.messages([message]) for message in messages]
        runs = readable(messages, kept_from(sizes, self.keep), pin_first=self.pin_first)
        indices = [index for run in runs for index in run]
        due = sum(sizes[index] for index in indices)
        # What stays may be too large by itself. A call at every turn would not change that: wait for a
        # head's worth.
        stuck = self.trigger.fires(tokens - due, len(messages) - len(indices))
        if not indices or (stuck and due < self.settings.head_tokens):
            return ()
        texts = [[messages[index] for index in run] for run in runs]
        limit, count = self.settings.chunk_tokens, self.counters.text
        return list(portions(texts, memory["read"], limit, count))

    def _still_due(self, messages: Sequence[BaseMessage], done: _Done) -> bool:
        """Whether the conversation would still be too large without what was read."""
        tokens = self._tokens(messages, done.memory) - self.counters.messages(done.read)
        return self.trigger.fires(tokens, len(messages) - len(done.read))

    def _tokens(self, messages: Sequence[BaseMessage], memory: ChatMemory) -> int:
        """Size of the prompt: the messages and the heads, or what the model has reported."""
        heads = sum(head["tokens"] for head in memory["heads"])
        return prompt_tokens(messages, self.counters.messages, heads, memory["mark"])

    def _request(self, portion: Portion, memory: ChatMemory) -> UpdateRequest:
        turn = Turn(memory["heads"], memory["step"], None, portion.span, lambda: portion.text)
        settings = self.settings
        return UpdateRequest(
            question=None,
            heads=[head["text"] for head in memory["heads"]],
            head=lru(turn),
            chunk=portion.text,
            head_tokens=settings.head_tokens,
            step=memory["step"],
            span=portion.span,
            prompts=self.prompts,
            count=self.counters.text,
            patience=patience(settings),
        )

    def _write(self, portion: Portion, request: UpdateRequest, reply: Reply, done: _Done) -> None:
        """One head's turn."""
        before = done.memory["heads"][request.head]
        turn = HeadWrite(
            head=request.head,
            step=request.step,
            text=reply.text,
            tokens=self.counters.text(reply.text),
            span=portion.span,
            source=None,
        )
        lost = dict([archived(before, request.head)] if self.settings.recall and before["text"] else [])
        if lost:
            turn["archived"] = next(iter(lost))
        done.memory = write_memory(done.memory, MemoryWrite(turns=[turn], read=len(portion.messages)))
        done.turns.append(turn)
        done.lost.append(lost)
        done.read.extend(portion.messages)
        usage = add_usage(done.memory["usage"], done.usage)
        done.events.append(head_updated(request, reply, turn, before, _READING, usage))
        if portion.messages:
            done.sure = len(done.turns)

    def _result(
        self, messages: Sequence[BaseMessage], given: ChatMemory, done: _Done, *failed: dict[str, Any]
    ) -> Memorized:
        """What is written, and what may go."""
        if not done.turns and not failed:
            return Memorized()
        write = MemoryWrite(heads=len(done.memory["heads"]), usage=done.usage)
        if done.sure:
            write |= MemoryWrite(turns=done.turns[: done.sure], read=len(done.read), mark=messages[-1].id)
        return Memorized(
            read=tuple(done.read),
            write=write,
            archive=dict(ChainMap(*done.lost[: done.sure])),
            events=(*done.events[: done.sure], *failed),
        )

    def _failed(self, request: UpdateRequest, reason: str, done: _Done) -> dict[str, Any]:
        """The event of a reading that came to nothing; the messages stay, and the next turn tries again."""
        logger.warning("Messages %s were not read into memory and stay: %s", list(request.span), reason)
        return {
            "type": "memory_failed",
            "step": request.step,
            "head": request.head,
            "span": list(request.span),
            "reason": reason,
            "usage": add_usage(done.memory["usage"], done.usage),
        }

    def _reason(self, error: Exception) -> str:
        if isinstance(error, ReaderError):
            return str(error)
        advice = classify(error).advice.format(**self.settings.model_dump())
        return f"{told(error)}. {advice}".strip()


_READING = Reading(names=[None], index=0, cursor=0, chunk_tokens=0, fingerprint="", before=0, total=None)
"""A conversation is no source: it has no name and no end."""


def create_memorizer(
    model: Any,
    *,
    heads: int = 4,
    head_tokens: int = 512,
    chunk_tokens: int = 8000,
    trigger: Any = ("tokens", 8000),
    keep: Any = ("messages", 20),
    pin_first: bool = False,
    recall: int = 0,
    recall_tokens: int = 1024,
    recall_ranking: Any = "bm25",
    prompts: Any = None,
    token_counter: Any = None,
    base_url: str | None = None,
    call_timeout: float = 60.0,
    max_retries: int = 1,
) -> Memorizer:
    """Check the settings and bind them. What they mean stands at `MultiHeadMemoryMiddleware`.

    Raises:
        SettingsError: A setting is wrong; the message names it, its value and what is allowed.
        BudgetError: The prompt of a reading can not fit the model's window.
    """
    if not isinstance(heads, int):  # also "auto", which is for texts
        raise SettingsError(
            f"heads={shown(heads)} is not allowed: give a number, since nobody knows how long a conversation "
            "will be."
        )
    settings = Settings.checked(
        {
            "heads": heads,
            "head_tokens": head_tokens,
            "chunk_tokens": chunk_tokens,
            "recall": recall,
            "recall_tokens": recall_tokens,
            "call_timeout": call_timeout,
            "max_retries": max_retries,
        }
    )
    reader = resolve_reader(model, base_url, settings.call_timeout)
    chosen = resolve_chat_prompts(prompts, getattr(reader, "preset", None))
    counters = resolve_counters(token_counter, getattr(reader, "model", None))
    window = getattr(reader, "window", None)
    reader.check(
        Load(
            question=None,
            heads=heads,
            head_tokens=head_tokens,
            chunk_tokens=chunk_tokens,
            answer_tokens=settings.answer_tokens,
            prompts=chosen,
            count=counters.text,
        )
    )
    return Memorizer(
        settings=settings,
        heads=heads,
        reader=reader,
        prompts=chosen,
        trigger=resolve_trigger(trigger, window),
        keep=resolve_keep(keep, window),
        pin_first=pin_first,
        counters=counters,
        rank=resolve_ranking(recall_ranking),
    )


def unseen(messages: Sequence[Any], memory: ChatMemory | None) -> list[Any]:
    """The messages that are not in memory yet: those that the model is shown."""
    seen = set(memory.get("seen", ())) if memory else set()
    return [message for message in messages if message.id not in seen]
