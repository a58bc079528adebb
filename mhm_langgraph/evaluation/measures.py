"""What a trajectory comes to: capture, retention, accuracy, cost. Pure functions, no model needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mhm_langgraph.evaluation.matching import (
    exact_match,
    f1,
    final_answer,
    found,
    is_verdict,
    says,
    says_words,
)
from mhm_langgraph.evaluation.records import Trajectory

__all__ = ["Score", "capture_step", "captured", "correct", "held", "loss_step", "retained", "score"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one trajectory comes to.

    Args:
        sample: The sample's id.
        task: Its task.
        variant: Its variant.
        length: Tokens that were asked for.
        method: The method.
        run: Which of the repeated runs.
        error: Why the run failed; a failed one is counted and has no other measure.
        steps: Turns of the memory.
        tracked: Whether capture and retention are measured: not without memory, nor for yes/no answers.
        captured_at: The first step after which a gold answer is in memory; None if it never is.
        lost_at: The step after which it is gone for good; None if it is held at the end or never was.
        kept: Turns from its capture until it is gone for good, or until the end; None if never captured.
        retained: Whether it is in the final memory.
        reachable: Whether it is there or in what was recalled for the answer.
        correct: Whether the final answer says it (a substring, as the paper counts).
        correct_words: The same, in whole words.
        f1: HotpotQA's F1 of the final answer.
        exact: HotpotQA's exact match of it.
        input_tokens: Tokens of all prompts.
        output_tokens: Tokens of all replies.
        calls: Model calls.
        seconds: Wall time.
    """

    sample: str
    task: str
    variant: str
    length: int
    method: str
    run: int
    error: str | None
    steps: int
    tracked: bool
    captured_at: int | None
    lost_at: int | None
    kept: int | None
    retained: bool
    reachable: bool
    correct: bool
    correct_words: bool
    f1: float
    exact: bool
    input_tokens: int
    output_tokens: int
    calls: int
    seconds: float

    @property
    def captured(self) -> bool:
        """Whether a gold answer was in memory at least once."""
        return self.captured_at is not None


def held(trajectory: Trajectory) -> list[bool]:
    """For each turn, whether the gold answer is in memory after it.

    A head is searched when its text changes only. With several needed answers each may be in another head.

    Args:
        trajectory: The trajectory.

    Returns:
        A value a turn.

    Example:
        >>> from mhm_langgraph.evaluation import Update
        >>> held(Trajectory(
        ...     sample="1", task="needle", length=4096, tokens=4090, question="Which code?",
        ...     answers=("7319",), method="memagent", heads=1, answer="7319",
        ...     updates=(Update(step=0, head=0, span=(0, 9), text="The code is 7319."),
        ...              Update(step=1, head=0, span=(9, 18), text=None),
        ...              Update(step=2, head=0, span=(18, 27), text="Nothing of use."))))
        [True, True, False]
    """
    needed = all if trajectory.all_needed else any
    heads = [[False] * len(trajectory.answers)] * trajectory.heads
    result: list[bool] = []
    for update in trajectory.updates:
        changed = update.text is not None
        if update.text is not None:
            heads[update.head] = found(update.text, trajectory.answers)
        result.append(needed(map(any, zip(*heads, strict=True))) if changed or not result else result[-1])
    return result


def capture_step(trajectory: Trajectory) -> int | None:
    """The first step after which the gold answer is in memory; None if it never is."""
    return next((u.step for u, has in zip(trajectory.updates, held(trajectory), strict=True) if has), None)


def loss_step(trajectory: Trajectory) -> int | None:
    """The step after which the gold answer is gone for good; None if it is held at the end or never was."""
    gone = _gone(held(trajectory))
    return None if gone is None else trajectory.updates[gone].step


def captured(trajectory: Trajectory) -> bool:
    """Whether the gold answer was in memory at least once."""
    return any(held(trajectory))


def retained(trajectory: Trajectory) -> bool:
    """Whether the gold answer is in the final memory."""
    return held(trajectory)[-1:] == [True]


def correct(trajectory: Trajectory) -> bool:
    """Whether the final answer is right, as the paper counts: see `says`."""
    return says(final_answer(trajectory.answer or ""), trajectory.answers, all_needed=trajectory.all_needed)


def _gone(has: Sequence[bool]) -> int | None:
    """The turn at which what was held is lost for the last time; None where there is no such turn."""
    last = max((turn for turn, value in enumerate(has) if value), default=None)
    return None if last is None or last == len(has) - 1 else last + 1


def score(trajectory: Trajectory) -> Score:
    """All measures of one trajectory.

    Args:
        trajectory: The trajectory.

    Returns:
        Its measures. Of a failed run nothing but its cost is told.
    """
    failed = trajectory.error is not None
    tracked = not failed and trajectory.heads > 0 and not is_verdict(trajectory.answers)
    has = held(trajectory) if tracked else []
    first = has.index(True) if any(has) else None
    gone = _gone(has)
    end = len(has) - 1 if gone is None else gone
    reply = "" if failed else final_answer(trajectory.answer or "")
    answers, all_needed = trajectory.answers, trajectory.all_needed
    return Score(
        sample=trajectory.sample,
        task=trajectory.task,
        variant=trajectory.variant,
        length=trajectory.length,
        method=trajectory.method,
        run=trajectory.run,
        error=trajectory.error,
        steps=len(trajectory.updates),
        tracked=tracked,
        captured_at=None if first is None else trajectory.updates[first].step,
        lost_at=None if gone is None else trajectory.updates[gone].step,
        kept=None if first is None else end - first,
        retained=has[-1:] == [True],
        reachable=tracked and _reachable(trajectory),
        correct=not failed and says(reply, answers, all_needed=all_needed),
        correct_words=not failed and says_words(reply, answers, all_needed=all_needed),
        f1=0.0 if failed else f1(reply, answers, all_needed=all_needed),
        exact=not failed and exact_match(reply, answers, all_needed=all_needed),
        input_tokens=trajectory.usage["input_tokens"],
        output_tokens=trajectory.usage["output_tokens"],
        calls=trajectory.usage["calls"],
        seconds=trajectory.seconds,
    )


def _reachable(trajectory: Trajectory) -> bool:
    """Whether the gold answer is in the final memory and what was recalled, taken together."""
    memory: Sequence[str] = ()
    for memory in trajectory.memories():  # noqa: B007  # the last is wanted
        pass
    shown = [found(text, trajectory.answers) for text in (*memory, *trajectory.recalled)]
    return (all if trajectory.all_needed else any)(map(any, zip(*shown, strict=True)))
