"""The models of the chat benchmark: one that listens, and one that takes notes by chance."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from pydantic import PrivateAttr

from benchmarks.chat_talk import Fact
from mhm_langgraph.retention import Rates
from mhm_langgraph.tokens import utf8_tokens

__all__ = ["Costs", "Listener", "SimulatedNotes"]

_SUMMARY = "Here is a summary of the conversation to date:"  # how SummarizationMiddleware begins it


class Listener(BaseChatModel):
    """The agent's model: it says the same each time, and remembers what it was shown last."""

    reply: str = "Thank you for telling me, I will keep that in mind."
    """What it says."""

    _shown: str = PrivateAttr(default="")
    _tokens: int = PrivateAttr(default=0)

    @property
    def shown(self) -> str:
        """The last prompt, as one text."""
        return self._shown

    @property
    def tokens(self) -> int:
        """Tokens of all prompts so far."""
        return self._tokens

    @property
    def _llm_type(self) -> str:
        return "listener"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self._shown = "\n".join(message.text for message in messages)
        self._tokens += utf8_tokens(self._shown)
        return _said(self.reply)


def _said(text: str, prompt: str | None = None) -> ChatResult:
    message = AIMessage(text)
    if prompt is not None:
        sent, received = utf8_tokens(prompt), utf8_tokens(text)
        message.usage_metadata = {
            "input_tokens": sent,
            "output_tokens": received,
            "total_tokens": sent + received,
        }
    return ChatResult(generations=[ChatGeneration(message=message)])


@dataclass
class Costs(BaseCallbackHandler):
    """What a model's calls cost, as it reports them: given to a model, it counts them all."""

    calls: int = 0
    tokens: int = 0

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Count one call."""
        self.calls += 1
        generation = response.generations[0][0]
        usage = generation.message.usage_metadata if isinstance(generation, ChatGeneration) else None  # type: ignore[attr-defined]
        self.tokens += usage["total_tokens"] if usage else 0


class SimulatedNotes(BaseChatModel):
    """Takes notes by chance: a simulation for both memories, not a language model.

    Asked to rewrite a summary or a head, it keeps, captures and copies each fact with the chances of
    `Rates`. A version that it captures takes the place of an older one in the same block. Of a version
    that another head has replaced it knows by the chance `notices`.

    Args:
        facts: What there is to be noted.
        rates: The chances.
        notices: Chance that an old version goes where another head holds a newer one.
        seed: Of all chances.
    """

    facts: Any
    rates: Any = Rates()
    notices: float = 0.0
    seed: str = ""
    max_tokens: int | None = None

    _calls: int = PrivateAttr(default=0)

    @property
    def _llm_type(self) -> str:
        return "simulated-notes"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        prompt = "\n".join(message.text for message in messages)
        own, others, new = _parts(prompt)
        lines = [line for fact in self.facts if (line := self._noted(fact, own, others, new))]
        self._calls += 1
        return _said("\n".join(lines) or "-", prompt)

    def _noted(self, fact: Fact, own: str, others: str, new: str) -> str | None:
        """What the block says of a fact after it was rewritten."""
        held, elsewhere, here = (_newest(fact, text) for text in (own, others, new))
        if held >= 0 and self._happens(fact, "forget", self.rates.forget):
            held = -1
        if 0 <= held < elsewhere and self._happens(fact, "notice", self.notices):
            held = -1
        if elsewhere > held and self._happens(fact, "copy", self.rates.copy):
            held = elsewhere
        if here > held and self._captures(fact, here):
            held = here
        return None if held < 0 else fact.statements[held].text

    def _happens(self, fact: Fact, what: str, chance: float) -> bool:
        return Random(f"{self.seed}:{self._calls}:{fact.key}:{what}").random() < chance  # noqa: S311

    def _captures(self, fact: Fact, version: int) -> bool:
        """The same luck for every memory: they differ in what they keep."""
        chance: float = self.rates.capture
        return Random(f"{self.seed}:{fact.key}:{version}").random() < chance  # noqa: S311


def _newest(fact: Fact, text: str) -> int:
    """Which version of a fact a text holds, the newest if several; -1 where none."""
    held: Iterable[int] = (number for number, said in enumerate(fact.statements) if said.text in text)
    return max(held, default=-1)


def _parts(prompt: str) -> tuple[str, str, str]:
    """The block to be rewritten, the other blocks, and what is new."""
    if number := re.search(r"Rewrite head (\d+)", prompt):
        heads = dict(re.findall(r"(?s)<head_(\d+)>\n(.*?)\n</head_\1>", prompt))
        own = heads.pop(number[1], "")
        (new,) = re.findall(r"(?s)<chunk>\n(.*)\n</chunk>", prompt)
        return own, "\n".join(heads.values()), new
    body = prompt.rpartition("Messages to summarize:")[2]
    messages = body.split("<message ")
    summaries = [text for text in messages if _SUMMARY in text]
    return "\n".join(summaries), "", "\n".join(text for text in messages if text not in summaries)
