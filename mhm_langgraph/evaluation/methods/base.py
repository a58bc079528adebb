"""What a method is, what it is given, and what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mhm_langgraph import Prompts, Reader, Reply, SettingsError, Usage
from mhm_langgraph.evaluation.records import Sample, Trajectory, Update
from mhm_langgraph.readers import AnswerRequest, ChatReader, Patience, UpdateRequest
from mhm_langgraph.tokens import TokenCounter, utf8_tokens

__all__ = [
    "AsyncReader",
    "Method",
    "Outcome",
    "Parts",
    "Settings",
    "Trial",
    "chat_reader",
    "trajectory",
    "words",
]

_WORDS_PER_TOKEN = 0.75


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a method is to work with: the same for all, so that they are compared at equal cost.

    Args:
        reader: The reader: a chat model's, or another.
        memory_tokens: Size of the whole memory, in tokens, however many heads share it.
        chunk_tokens: Size of the piece of text read at one step, in tokens.
        answer_tokens: Greatest size of the answer, in tokens.
        prompts: A preset's name, or prompts of one's own; None is what suits the reader.
        count: The token counter.
        run: Which of the repeated runs it is, from 0.
        seed: Seed of this run, for what a method leaves to chance.
        window: The model's context window in tokens, for the methods that fill it; None where the model
            tells it.
        patience: What to put up with from the model.
    """

    reader: Reader
    memory_tokens: int = 4096
    chunk_tokens: int = 5000
    answer_tokens: int = 1024
    prompts: str | Prompts | None = None
    count: TokenCounter = utf8_tokens
    run: int = 0
    seed: int = 0
    window: int | None = None
    patience: Patience = Patience()  # noqa: RUF009  # frozen

    @property
    def preset(self) -> str | None:
        """The name of the prompts; None where they are one's own."""
        named = self.prompts or getattr(self.reader, "preset", None) or "standard"
        return named if isinstance(named, str) else None


class Method(Protocol):
    """One way of answering a question over a context."""

    @property
    def name(self) -> str:
        """What it is called, its settings included."""
        ...

    def check(self, trial: Trial) -> None:
        """Refuse what can not work, before anything is read.

        Raises:
            SettingsError: A setting is wrong, or the method makes no sense with this reader.
        """
        ...

    async def run(self, sample: Sample, trial: Trial) -> Trajectory:
        """Answer the sample's question.

        Raises:
            MHMError: It could not be done.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a method's own work came to.

    Args:
        answer: The answer.
        usage: What its model calls cost.
        heads: Number of heads; 0 for a method without memory.
        updates: Its turns.
        recalled: Texts from outside the final memory that were shown at the answer.
    """

    answer: str
    usage: Usage
    heads: int = 0
    updates: Sequence[Update] = ()
    recalled: Sequence[str] = ()


def trajectory(
    sample: Sample, method: str, run: int, outcome: Outcome | None, began: float, error: str | None = None
) -> Trajectory:
    """The record of one method on one sample.

    Args:
        sample: The sample.
        method: The method's name.
        run: Which of the repeated runs it is.
        outcome: What it came to, None where it failed.
        began: When it began, on `time.perf_counter`'s clock.
        error: Why it failed.

    Returns:
        The trajectory.
    """
    shared = ("task", "variant", "length", "tokens", "question", "answers", "all_needed", "evidence")
    facts: dict[str, Any] = {name: getattr(sample, name) for name in shared}
    if outcome is not None:
        facts |= {
            "answer": outcome.answer,
            "usage": outcome.usage,
            "updates": tuple(outcome.updates),
            "recalled": tuple(outcome.recalled),
        }
    return Trajectory(
        sample=sample.id,
        method=method,
        run=run,
        heads=outcome.heads if outcome else 0,
        seconds=time.perf_counter() - began,
        error=error,
        **facts,
    )


def chat_reader(method: str, trial: Trial, why: str) -> ChatReader:
    """The trial's reader as a chat model's.

    Args:
        method: The method's name, for the error.
        trial: The trial.
        why: What the method needs a chat model for.

    Raises:
        SettingsError: It is none.
    """
    if isinstance(trial.reader, ChatReader):
        return trial.reader
    raise SettingsError(
        f"method {method!r} needs a chat model, {why}; this reader ({trial.reader.description}) is none. "
        "Leave the method out, or name a model such as 'openai:NAME'."
    )


class AsyncReader(Reader):
    """A reader that a method builds for one sample. It is run in async graphs only."""

    def update(self, request: UpdateRequest) -> Reply:
        """Not to be had."""
        raise SettingsError(f"{self.description} runs async only: use astream.")

    def answer(self, request: AnswerRequest) -> Reply:
        """Not to be had."""
        raise SettingsError(f"{self.description} runs async only: use astream.")


Settings = Mapping[str, Any]
"""Settings by name."""

Parts = tuple[Reader, Any]
"""A reader and a selector for one sample; a selector of None is the settings' own."""


def words(tokens: int) -> int:
    """About how many words a number of tokens is, as prompts say it."""
    return max(1, int(tokens * _WORDS_PER_TOKEN))
