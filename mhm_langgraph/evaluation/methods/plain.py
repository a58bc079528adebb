"""The methods without a memory: the whole context in one prompt, and the question alone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from langchain_core.messages import BaseMessage

from mhm_langgraph import SettingsError
from mhm_langgraph.evaluation.methods.base import Outcome, Settings, Trial, chat_reader, trajectory
from mhm_langgraph.evaluation.methods.prompts import CLOSED_BOOK, SHIELD, WHOLE
from mhm_langgraph.evaluation.records import Sample, Trajectory
from mhm_langgraph.readers import ChatReader
from mhm_langgraph.text import character_end, token_prefix
from mhm_langgraph.tokens import TokenCounter

__all__ = ["ClosedBook", "WholeContext", "cut_in_the_middle"]

_TEMPLATE_TOKENS = 64  # what a chat template adds to a prompt, by estimate
_LEAST_CONTEXT = 256  # tokens; a window that leaves less for the text is a mistake


@dataclass(frozen=True)
class WholeContext:
    """`llm`: one prompt with the whole context, cut in the middle where the window is too small for it.

    Args:
        name: What it is called, its settings included.
        settings: `window` and `answer_tokens`, where the name says so.
    """

    name: str
    settings: Settings = field(default_factory=dict)

    def check(self, trial: Trial) -> None:
        """As `Method.check`."""
        reader = chat_reader(self.name, trial, "whose window it fills")
        window, answer = self._window(reader, trial), self._answer_tokens(trial)
        if window - answer < _LEAST_CONTEXT:
            raise SettingsError(
                f"window={window} is not allowed for method {self.name!r}: the answer alone may take "
                f"{answer} tokens. Give a larger one, or lower answer_tokens."
            )

    async def run(self, sample: Sample, trial: Trial) -> Trajectory:
        """As `Method.run`."""
        began = time.perf_counter()
        reader = chat_reader(self.name, trial, "whose window it fills")
        answer = self._answer_tokens(trial)
        rest = sum(trial.count(message.text) for message in _messages(sample.question, "", trial))
        room = self._window(reader, trial) - answer - rest - _TEMPLATE_TOKENS
        context = cut_in_the_middle(sample.context, max(1, room), trial.count)
        reply = await reader.aask(
            _messages(sample.question, context, trial),
            limit=answer,
            name="answer from the whole context",
            count=trial.count,
            patience=trial.patience,
        )
        return trajectory(sample, self.name, trial.run, Outcome(answer=reply.text, usage=reply.usage), began)

    def _window(self, reader: ChatReader, trial: Trial) -> int:
        window = self.settings.get("window") or trial.window or reader.window
        if not isinstance(window, int):
            raise SettingsError(
                f"method {self.name!r} needs the size of the model's context window, which the model does "
                "not tell: give window (mhm bench --window TOKENS)."
            )
        return window

    def _answer_tokens(self, trial: Trial) -> int:
        tokens: int = self.settings.get("answer_tokens", trial.answer_tokens)
        return tokens


@dataclass(frozen=True)
class ClosedBook:
    """`closed-book`: the question alone, which shows what the model knows by heart.

    Args:
        name: What it is called, its settings included.
        settings: `answer_tokens`, where the name says so.
    """

    name: str
    settings: Settings = field(default_factory=dict)

    def check(self, trial: Trial) -> None:
        """As `Method.check`."""
        chat_reader(self.name, trial, "whose own knowledge it asks for")

    async def run(self, sample: Sample, trial: Trial) -> Trajectory:
        """As `Method.run`."""
        began = time.perf_counter()
        reply = await chat_reader(self.name, trial, "whose own knowledge it asks for").aask(
            CLOSED_BOOK.format_messages(question=SHIELD.shield(sample.question)),
            limit=self.settings.get("answer_tokens", trial.answer_tokens),
            name="answer by heart",
            count=trial.count,
            patience=trial.patience,
        )
        return trajectory(sample, self.name, trial.run, Outcome(answer=reply.text, usage=reply.usage), began)


def cut_in_the_middle(text: str, tokens: int, count: TokenCounter) -> str:
    r"""The beginning and the end of a text that is too long, half of the room each.

    Args:
        text: Any text.
        tokens: Room for it, at least 1.
        count: The token counter.

    Returns:
        The text itself where it fits.

    Example:
        >>> cut_in_the_middle("abcdefghij", 4, len)
        'ab\n\nij'
    """
    if count(text) <= tokens:
        return text
    half = max(1, tokens // 2)
    first = text[: character_end(text, token_prefix(text, half, count))]
    last = token_prefix(text[::-1], half, lambda piece: count(piece[::-1]))
    return f"{first}{_GAP}{text[len(text) - last :]}"


_GAP = "\n\n"


def _messages(question: str, context: str, trial: Trial) -> list[BaseMessage]:
    return WHOLE[trial.preset or "standard"].format_messages(
        question=SHIELD.shield(question), memory=SHIELD.shield(context)
    )
