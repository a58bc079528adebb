"""What the reader and the selector are asked: pure functions from state and settings to requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mhm_langgraph.readers import AnswerRequest, Load, Patience, Prompts, UpdateRequest
from mhm_langgraph.readers.gates import Gates
from mhm_langgraph.recall import Recalled
from mhm_langgraph.selection import Choice, Turn
from mhm_langgraph.settings import Settings
from mhm_langgraph.state import selected_head
from mhm_langgraph.tokens import TokenCounter
from mhm_langgraph.views import AnswerState, StepState

__all__ = ["answer_request", "gates_of", "load_of", "patience", "turn_of", "update_request"]


def turn_of(state: StepState, read: Callable[[], str], chosen: Sequence[Choice] = ()) -> Turn:
    """What the selector of this step may look at.

    Args:
        state: The step, or one of a round.
        read: Reads the chunk's text.
        chosen: What was chosen for the round's earlier chunks.

    Returns:
        The turn.
    """
    first = state["step"] - len(chosen)
    steps = {choice.head: first + number for number, choice in enumerate(chosen)}
    return Turn(
        heads=[
            {**head, "updated_at": steps[index]} if index in steps else head
            for index, head in enumerate(state["heads"])
        ],
        taken=frozenset(steps),
        step=state["step"],
        question=state.get("question"),
        span=state["span"],
        read=read,
    )


def update_request(
    state: StepState,
    chunk: str,
    settings: Settings,
    prompts: Prompts,
    count: TokenCounter,
    recalled: Sequence[Recalled] | None = None,
) -> UpdateRequest:
    """What the reader is asked at a step.

    Args:
        state: The step, its head selected.
        chunk: The chunk's text.
        settings: The settings in force.
        prompts: The prompts in force.
        count: The token counter.
        recalled: What is shown again of what heads held before, if anything is.

    Returns:
        The request.
    """
    return UpdateRequest(
        question=state.get("question"),
        heads=[head["text"] for head in state["heads"]],
        head=selected_head(state["heads"]),
        chunk=chunk,
        head_tokens=settings.sized(len(state["heads"])).head_tokens,
        recalled=[found["text"] for found in recalled or ()],
        step=state["step"],
        span=state["span"],
        prompts=prompts,
        count=count,
        patience=patience(settings),
        gates=gates_of(state.get("question"), settings),
    )


def answer_request(
    state: AnswerState,
    settings: Settings,
    prompts: Prompts,
    count: TokenCounter,
    recalled: Sequence[Recalled] | None = None,
) -> AnswerRequest:
    """What the reader is asked at the end.

    Args:
        state: The question and the memory.
        settings: The settings in force.
        prompts: The prompts in force.
        count: The token counter.
        recalled: What is shown again of what heads held before, if anything is.

    Returns:
        The request.
    """
    return AnswerRequest(
        question=state["question"],
        heads=[head["text"] for head in state["heads"]],
        answer_tokens=settings.answer_tokens,
        recalled=[found["text"] for found in recalled or ()],
        stream=settings.stream_answer,
        prompts=prompts,
        count=count,
        patience=patience(settings),
    )


def load_of(
    question: str | None,
    heads: int,
    settings: Settings,
    prompts: Prompts,
    count: TokenCounter,
    *,
    reads: bool,
) -> Load:
    """The largest prompts that a run will make.

    Args:
        question: What is asked; None where the text is only read.
        heads: How many heads the thread has.
        settings: The settings in force.
        prompts: The prompts in force.
        count: The token counter.
        reads: Whether there is a text to read.

    Returns:
        The load.
    """
    return Load(
        question=question,
        heads=heads,
        head_tokens=settings.sized(heads).head_tokens,
        chunk_tokens=settings.chunk_tokens if reads else 0,
        answer_tokens=settings.answer_tokens,
        recalled=settings.recall,
        recall_tokens=settings.recall_tokens if settings.recall else 0,
        recall_updates=settings.recall_updates and question is not None,
        prompts=prompts,
        count=count,
        gates=gates_of(question, settings),
    )


def gates_of(question: str | None, settings: Settings) -> Gates:
    """The gates that are on: none without a question, since both are about one."""
    if question is None:
        return Gates()
    return Gates(update=settings.update_gate, exit=settings.exit_gate)


def patience(settings: Settings) -> Patience:
    """What the reader is to put up with from its model."""
    return Patience(call_timeout=settings.call_timeout, max_retries=settings.max_retries)
