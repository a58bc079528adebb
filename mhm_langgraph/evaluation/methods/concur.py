"""mhm-concur: the head is selected and written in one model call (the paper's ablation MHM-Concur)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from langchain_core.messages import BaseMessage

from mhm_langgraph import Choice, HeadSelector, Reply, SettingsError, Turn
from mhm_langgraph.evaluation.methods.base import AsyncReader, Parts, Settings, Trial, words
from mhm_langgraph.evaluation.methods.prompts import CONCUR, SHIELD, between, without
from mhm_langgraph.readers import AnswerRequest, ChatReader, Load, UpdateRequest
from mhm_langgraph.readers.replies import clean, head_number, without_reasoning
from mhm_langgraph.selection import lru
from mhm_langgraph.state import no_usage
from mhm_langgraph.text import trim

__all__ = ["ConcurReader", "concur_parts"]

_NUMBER_TOKENS = 64  # room for the number and the tags
_LABEL = 40  # characters at the start of a reply without tags, where a number may stand


def concur_parts(name: str, trial: Trial, settings: Settings) -> Parts:
    """Reader and selector of one sample, which are one object.

    A reader that is no chat model writes nothing but what it is asked for: with it, the head is picked by
    relevance first, as the extractive reader does without a call.

    Raises:
        SettingsError: A chat model is to use prompts that can not ask for a number.
    """
    if not isinstance(trial.reader, ChatReader):
        return trial.reader, "relevance"
    if trial.preset != "standard":
        raise SettingsError(
            f"method {name!r} needs prompts='standard': no other prompts ask for a head's number and its "
            "text at once. Leave it out."
        )
    if "head_tokens" not in settings:
        raise SettingsError(f"method {name!r} needs a number of heads, not heads={settings.get('heads')}.")
    concur = ConcurReader(trial.reader, settings["head_tokens"], trial)
    return concur, concur


class ConcurReader(AsyncReader, HeadSelector):
    """Chooses a head and writes its text in one call: the selector calls, the reader hands the text on.

    Args:
        reader: The chat model's reader.
        head_tokens: Size of a head, in tokens.
        trial: What there is to work with.
    """

    description = "mhm-concur"

    def __init__(self, reader: ChatReader, head_tokens: int, trial: Trial) -> None:
        self._reader, self._head_tokens, self._trial = reader, head_tokens, trial
        self._written = Reply(text="")

    async def aselect(self, turn: Turn) -> Choice:
        """Choose and write. A reply that names no head falls back to the least recently updated one."""
        chunk = await asyncio.to_thread(turn.read)
        heads = [head["text"] for head in turn.heads]
        reply = await self._reader.aask(
            self._messages(turn.question or "", heads, chunk),
            limit=self._head_tokens + _NUMBER_TOKENS,
            name=f"choose and rewrite a head at step {turn.step}",
            read=lambda text: without_reasoning(text).strip(),
            count=self._trial.count,
            patience=self._trial.patience,
        )
        named = between("number", reply.text)
        head = head_number(reply.text[:_LABEL] if named is None else named, len(heads))
        head = lru(turn) if head is None else head
        found = between("text", reply.text)
        text = clean(without("number", reply.text) if found is None else found, head)
        kept = trim(text, self._head_tokens, self._trial.count)
        self._written = replace(reply, text=kept, cut=reply.cut or kept != text, usage=no_usage())
        return Choice(head, reply.usage)

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """Hand on what was written with the choice; its cost is counted there."""
        return self._written

    async def aanswer(self, request: AnswerRequest) -> Reply:
        """Answer from all heads, as `Reader.aanswer`."""
        return await self._reader.aanswer(request)

    def check(self, load: Load) -> None:
        """As `Reader.check`."""
        self._reader.check(load)

    def select(self, turn: Turn) -> Choice:
        """Not to be had."""
        raise SettingsError(f"{self.description} runs async only: use astream.")

    def _messages(self, question: str, heads: Sequence[str], chunk: str) -> list[BaseMessage]:
        return CONCUR.format_messages(
            question=SHIELD.shield(question),
            heads=SHIELD.labelled(heads),
            chunk=SHIELD.shield(chunk),
            head_count=len(heads),
            last_index=len(heads) - 1,
            head_tokens=self._head_tokens,
            head_words=words(self._head_tokens),
        )
