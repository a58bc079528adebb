"""What the evaluation hands on: a sample that a task has built, and the trajectory of a method on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from mhm_langgraph import Usage

__all__ = ["Sample", "Trajectory", "Update"]

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question over one context.

    Args:
        id: Unique in its task, length and seed.
        task: Name of the task, such as `needle`.
        variant: Which of the task's kinds it is, such as `qa1` or `multi-key`; empty where it has one.
        length: Tokens that were asked for.
        tokens: Tokens that the context has, by the counter it was built with.
        question: The question.
        context: The text to read.
        answers: Gold answers, each as good as the others.
        all_needed: Whether every one of them is needed instead (a question with several values).
        evidence: `(start, end)` in characters of each passage of the context that the answer stands on.
    """

    id: str
    task: str
    variant: str = ""
    length: int
    tokens: int
    question: str
    context: str
    answers: tuple[str, ...]
    all_needed: bool = False
    evidence: tuple[Span, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Update:
    """One turn of a method's memory.

    Args:
        step: The step, counted from 0.
        head: Index of the head whose turn it was.
        span: `(start, end)` in characters of the chunk.
        text: The head's new text; None where it kept what it held.
    """

    step: int
    head: int
    span: Span
    text: str | None


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """What one method did on one sample: enough to compute every measure without the model.

    Args:
        sample: The sample's id.
        task: Its task.
        variant: Its variant.
        length: Tokens that were asked for.
        tokens: Tokens that its context has.
        question: Its question.
        answers: Its gold answers.
        all_needed: Whether all of them are needed.
        evidence: Where they stand in the context, in characters.
        method: The method, as it was named to the runner.
        run: Which of the repeated runs it is, from 0.
        heads: Number of heads; 0 for a method without memory.
        updates: Its turns in the order of their steps.
        recalled: Texts from outside the final memory that were shown at the answer.
        answer: The final answer; None where the run failed.
        usage: What its model calls cost.
        seconds: Wall time.
        error: Why it failed; None where it did not. A failed run is counted, never scored.

    Example:
        >>> one = Trajectory(
        ...     sample="1", task="needle", length=4096, tokens=4090, question="Which code?",
        ...     answers=("7319",), method="mhm-lru", run=0, heads=2, answer="7319",
        ...     updates=(Update(step=0, head=0, span=(0, 9), text="The code is 7319."),
        ...              Update(step=1, head=1, span=(9, 18), text=None)))
        >>> list(one.memories())
        [('The code is 7319.', ''), ('The code is 7319.', '')]
        >>> Trajectory.from_json(one.to_json()) == one
        True
    """

    sample: str
    task: str
    variant: str = ""
    length: int
    tokens: int
    question: str
    answers: tuple[str, ...]
    all_needed: bool = False
    evidence: tuple[Span, ...] = ()
    method: str
    run: int = 0
    heads: int
    updates: tuple[Update, ...] = ()
    recalled: tuple[str, ...] = ()
    answer: str | None = None
    usage: Usage = field(default_factory=lambda: Usage(input_tokens=0, output_tokens=0, calls=0))
    seconds: float = 0.0
    error: str | None = None

    def memories(self) -> Iterator[tuple[str, ...]]:
        """The texts of all heads after each turn."""
        heads = [""] * self.heads
        for update in self.updates:
            if update.text is not None:
                heads[update.head] = update.text
            yield tuple(heads)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Trajectory:
        """The trajectory that a line of JSON holds."""
        record: dict[str, Any] = json.loads(line)
        record["updates"] = tuple(
            Update(**{**update, "span": tuple(update["span"])}) for update in record["updates"]
        )
        for name in ("answers", "recalled"):
            record[name] = tuple(record[name])
        record["evidence"] = tuple((start, end) for start, end in record["evidence"])
        return cls(**record)
