"""The life of a thread's memory, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mhm_langgraph.errors import SettingsError
from mhm_langgraph.inspect.changes import Change, compare
from mhm_langgraph.state import Head, empty_heads

__all__ = ["Run", "Timeline", "Update"]


@dataclass(frozen=True)
class Update:
    """One turn of a head, or an edit by hand.

    Args:
        step: The step of the turn; of an edit by hand, the last step before it, -1 = none.
        head: Index of the head.
        run: Index of the run it belongs to, -1 = none.
        span: `[start, end]` of the chunk, in the source's own units; None where it is not known.
        source: Name of the chunk's source, None for an inline document.
        before: The head's text before.
        after: The head's text after.
        tokens_before: Size of the text before, in tokens.
        tokens: Size of the text after, in tokens.
        kept: Whether the reply was empty, so that the head kept its text.
        by_hand: Whether `update_state` wrote it, not the loop.
        at: When, as an ISO 8601 time.
        checkpoint_id: The checkpoint that holds the memory just after it: fork from there.
    """

    step: int
    head: int
    run: int
    span: list[int] | None
    source: str | None
    before: str
    after: str
    tokens_before: int
    tokens: int
    kept: bool
    by_hand: bool
    at: str
    checkpoint_id: str

    @cached_property
    def change(self) -> Change:
        """What changed in words; worked out when it is first asked for."""
        return compare(self.before, self.after)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: every field, `added` and `removed` words, and `changed` from 0 to 1."""
        change = self.change
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return fields | {
            "added": change.added,
            "removed": change.removed,
            "changed": round(change.ratio, 4),
        }


@dataclass(frozen=True)
class Run:
    """One run on the thread.

    Args:
        question: What it asked, None where it only read or where that is not stored.
        answer: What it answered, None where it did not.
        sources: Names of what it read; None is an inline document.
        start: The thread's step count at its start.
        end: The step count at its end: its steps are `start` to `end - 1`.
        finished: Whether it came to its end.
    """

    question: str | None
    answer: str | None
    sources: tuple[str | None, ...]
    start: int
    end: int
    finished: bool


@dataclass(frozen=True)
class Timeline:
    """The life of a memory, along the branch that leads to one checkpoint.

    Args:
        thread_id: The thread.
        checkpoint_ns: Where in the thread: `""`, or the namespace of a subgraph.
        checkpoint_id: The checkpoint the branch leads to.
        heads: The memory at that checkpoint.
        steps: How many steps the thread had taken there.
        updates: What happened to the heads, in order.
        runs: The runs that did it, in order.
        skipped: Steps whose chunk held nothing for the question (`update_gate`): no head changed.
    """

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    heads: tuple[Head, ...]
    steps: int
    updates: tuple[Update, ...]
    runs: tuple[Run, ...]
    skipped: int = 0

    @property
    def missing(self) -> int:
        """Steps of which nothing is stored, as under `durability="exit"`."""
        return self.steps - self.skipped - len({one.step for one in self.updates if not one.by_hand})

    @property
    def sources(self) -> list[str | None]:
        """Names of what was read into the memory, in order; None is an inline document."""
        read = [update.source for update in self.updates if update.span]
        return list(dict.fromkeys([*(name for run in self.runs for name in run.sources), *read]))

    def position(self, step: int) -> int:
        """Index of the update of a step.

        Raises:
            SettingsError: The step is not on this branch.
        """
        turns = [index for index, update in enumerate(self.updates) if not update.by_hand]
        found = next((index for index in turns if self.updates[index].step == step), None)
        if found is None:
            allowed = (
                f"it has steps {self.updates[turns[0]].step} to {self.updates[turns[-1]].step}"
                + (f", {self.missing} of them not stored" if self.missing else "")
                if turns
                else "it has taken none"
            )
            raise SettingsError(f"step={step} is not a step of thread {self.thread_id!r}: {allowed}.")
        return found

    def heads_after(self, position: int) -> list[Head]:
        """The memory as it was just after `updates[position]`."""
        return replayed(self.updates[: position + 1], len(self.heads))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the texts before and after every update."""
        return {
            "thread": self.thread_id,
            "namespace": self.checkpoint_ns,
            "checkpoint_id": self.checkpoint_id,
            "steps": self.steps,
            "missing": self.missing,
            "skipped": self.skipped,
            "heads": list(self.heads),
            "runs": [{**vars(run), "sources": list(run.sources)} for run in self.runs],
            "updates": [update.as_dict() for update in self.updates],
        }


def replayed(updates: Sequence[Update], count: int) -> list[Head]:
    """The memory that updates leave behind.

    Args:
        updates: Updates in order, from the first.
        count: Number of heads.

    Returns:
        The heads.
    """
    heads = empty_heads(count)
    for update in updates:
        head = heads[update.head]
        if not update.by_hand:
            head["updated_at"] = update.step
        if not update.kept:
            head |= Head(
                text=update.after,
                tokens=update.tokens,
                span=update.span,
                source=update.source,
                updated_at=head["updated_at"],
                selected=False,
            )
    return heads
