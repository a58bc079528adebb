"""What each node sees of the state: no more than it needs, so that no trace carries the rest."""

from __future__ import annotations

from typing import Any

from langgraph.managed import RemainingSteps
from typing_extensions import TypedDict

from mhm_langgraph.recall.archive import Entry
from mhm_langgraph.state import Exited, Head, Place, Usage

__all__ = ["AnswerState", "ReadState", "StepState"]


class ReadState(TypedDict, total=False):
    """What read_chunk and the way on from it look at."""

    question: str | None
    document: dict[str, str]
    source: Any
    span: list[int] | None
    heads: list[Head]
    step: int
    round: list[Place] | None
    exited: Exited | None
    remaining_steps: RemainingSteps


class StepState(TypedDict, total=False):
    """What select_head and update_head look at."""

    question: str | None
    document: dict[str, str]
    source: Any
    span: list[int]
    round: list[Place] | None
    heads: list[Head]
    archive: dict[str, Entry]
    step: int
    usage: Usage


class AnswerState(TypedDict, total=False):
    """What answer looks at."""

    question: str
    heads: list[Head]
    archive: dict[str, Entry]
    step: int
    usage: Usage
    exited: Exited | None
