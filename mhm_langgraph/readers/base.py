"""The reader protocol: what turns (question, heads, chunk) into new head text, and into an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from mhm_langgraph.errors import SettingsError
from mhm_langgraph.readers.gates import NO_GATES, Gate, Gates
from mhm_langgraph.readers.prompts import STANDARD, Prompts
from mhm_langgraph.state import Usage, no_usage
from mhm_langgraph.tokens import TokenCounter, utf8_tokens

__all__ = ["AnswerRequest", "Load", "Patience", "Pick", "PickRequest", "Reader", "Reply", "UpdateRequest"]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """What a reader is to put up with from its model.

    Args:
        call_timeout: Seconds that a call may take.
        max_retries: How often a call that failed is made again.
        turn: Awaited before each call of an async graph, those made again included: who paces many runs
            together waits there. None is no wait.
    """

    call_timeout: float = 300.0
    max_retries: int = 5
    turn: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, kw_only=True)
class UpdateRequest:
    """Rewrite one head.

    Args:
        question: What is asked; None where the text is only read.
        heads: Texts of all heads.
        head: Index of the one to rewrite.
        chunk: The text of this step.
        head_tokens: Size of a head, in tokens.
        recalled: Texts that heads held before and that are shown again; none unless recall is on.
        step: The step, counted from 0 over the life of the thread.
        span: `[start, end]` of the chunk in the source's own units.
        prompts: The prompts in force.
        count: The token counter.
        patience: What to put up with from the model.
        gates: What the reader may say instead of, or beside, the head's new text.
    """

    question: str | None
    heads: Sequence[str]
    head: int
    chunk: str
    head_tokens: int
    recalled: Sequence[str] = ()
    step: int = 0
    span: Sequence[int] = (0, 0)
    prompts: Prompts = STANDARD
    count: TokenCounter = utf8_tokens
    patience: Patience = Patience()
    gates: Gates = NO_GATES


@dataclass(frozen=True, kw_only=True)
class AnswerRequest:
    """Answer from memory.

    Args:
        question: What is asked.
        heads: Texts of all heads.
        answer_tokens: Greatest size of the answer, in tokens.
        recalled: Texts that heads held before and that are shown again; none unless recall is on.
        stream: Whether its tokens may reach the `messages` stream of the graph.
        prompts: The prompts in force.
        count: The token counter.
        patience: What to put up with from the model.
    """

    question: str
    heads: Sequence[str]
    answer_tokens: int
    recalled: Sequence[str] = ()
    stream: bool = False
    prompts: Prompts = STANDARD
    count: TokenCounter = utf8_tokens
    patience: Patience = Patience()


@dataclass(frozen=True, kw_only=True)
class PickRequest:
    """Pick the head to rewrite (for the relevance selector).

    Args:
        question: What is asked; None where the text is only read.
        heads: Texts of all heads.
        chunk: The text of this step.
        step: The step, counted from 0 over the life of the thread.
        span: `[start, end]` of the chunk in the source's own units.
        prompts: The prompts in force.
        patience: What to put up with from the model.
    """

    question: str | None
    heads: Sequence[str]
    chunk: str
    step: int = 0
    span: Sequence[int] = (0, 0)
    prompts: Prompts = STANDARD
    patience: Patience = Patience()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a reader gives back.

    Args:
        text: New head text, or the answer; empty where there was none.
        usage: What it cost in model calls.
        cut: Whether the reply was cut by a limit, the model's or the head's.
        retried: Whether an empty reply was asked for once more.
        retries: How many calls failed and were made again. They are not in `usage`.
        unsupported: Sentences that the grounding check found unsupported; None where there was no check.
        rejected: Whether those sentences have been taken out of `text`.
        gate: "skip" where the chunk holds nothing for the question: the head stays, and its turn is not
            used up. "exit" where memory suffices: the rest of the text is not read; `text`, if any, is the
            head's new text. What the request's gates do not allow is not heeded.
    """

    text: str
    usage: Usage = field(default_factory=no_usage)
    cut: bool = False
    retried: bool = False
    retries: int = 0
    unsupported: Sequence[str] | None = None
    rejected: bool = False
    gate: Gate = ""


@dataclass(frozen=True, kw_only=True)
class Pick:
    """The head a reader picked.

    Args:
        head: Its index; None where the reply named none.
        usage: What it cost in model calls.
    """

    head: int | None
    usage: Usage = field(default_factory=no_usage)


@dataclass(frozen=True, kw_only=True)
class Load:
    """The largest prompts a run will make, for the check before the first call.

    Args:
        question: What is asked; None where the text is only read.
        heads: Number of heads.
        head_tokens: Size of a head, in tokens.
        chunk_tokens: Size of a chunk, in tokens; 0 where nothing is read.
        answer_tokens: Greatest size of the answer, in tokens.
        recalled: How many overwritten texts may be shown with the answer; 0 where recall is off.
        recall_tokens: Size of them together, in tokens.
        recall_updates: Whether they are shown with updates too.
        prompts: The prompts in force.
        count: The token counter.
        gates: The gates that are on.
    """

    question: str | None
    heads: int
    head_tokens: int
    chunk_tokens: int
    answer_tokens: int
    recalled: int = 0
    recall_tokens: int = 0
    recall_updates: bool = False
    prompts: Prompts = STANDARD
    count: TokenCounter = utf8_tokens
    gates: Gates = NO_GATES


@runtime_checkable
class Reader(Protocol):
    """What updates a head and answers. Implement `update` and `answer`; subclass to inherit the rest.

    Example:
        >>> class FirstWords(Reader):
        ...     def update(self, request):
        ...         return Reply(text=request.chunk[:20])
        ...     def answer(self, request):
        ...         return Reply(text=" ".join(request.heads))
        >>> FirstWords().answer(AnswerRequest(question="?", heads=["a", "b"], answer_tokens=9)).text
        'a b'
    """

    description: str = ""
    """What this reader is, in a few words, for people who watch a run."""

    def update(self, request: UpdateRequest) -> Reply:
        """New text for one head; an empty text leaves the head as it is."""
        ...

    def answer(self, request: AnswerRequest) -> Reply:
        """An answer from memory."""
        ...

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """As `update`, in an async graph; by default in a thread."""
        return await asyncio.to_thread(self.update, request)

    async def aanswer(self, request: AnswerRequest) -> Reply:
        """As `answer`, in an async graph; by default in a thread."""
        return await asyncio.to_thread(self.answer, request)

    def pick(self, request: PickRequest) -> Pick:
        """The head closest to the chunk, for the relevance selector."""
        raise SettingsError(
            f"selector='relevance' needs a reader that can pick a head; {type(self).__name__} has no "
            "pick method. Use 'lru', or give it one."
        )

    async def apick(self, request: PickRequest) -> Pick:
        """As `pick`, in an async graph; by default in a thread."""
        return await asyncio.to_thread(self.pick, request)

    def check(self, load: Load) -> None:
        """Called before the first call of a run; by default everything fits.

        Raises:
            BudgetError: The largest prompt does not fit the model's window.
        """
        return
