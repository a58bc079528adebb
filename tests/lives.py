"""Lives of memories made by hand, for tests that need no graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mhm_langgraph.inspect import Run, Timeline, Update
from mhm_langgraph.state import empty_heads

__all__ = ["life"]


def life(
    *writes: tuple[int, str | None], heads: int = 2, runs: Sequence[Run] | None = None, **options: Any
) -> Timeline:
    """A timeline of writes `(head, text)`; None is an empty reply.

    Step i reads `[10 * i, 10 * i + 10]`.
    """
    memory = empty_heads(heads)
    updates = []
    for step, (head, text) in enumerate(writes):
        before, kept = memory[head]["text"], text is None
        after = before if text is None else text
        memory[head] |= {"text": after, "updated_at": step, "tokens": len(after) // 4}  # type: ignore[typeddict-item]  # keys are Head's
        if not kept:
            memory[head] |= {"span": [10 * step, 10 * step + 10], "source": options.get("source")}  # type: ignore[typeddict-item]  # keys are Head's
        updates.append(
            Update(
                step=step,
                head=head,
                run=0,
                span=[10 * step, 10 * step + 10],
                source=options.get("source"),
                before=before,
                after=after,
                tokens_before=len(before) // 4,
                tokens=len(after) // 4,
                kept=kept,
                by_hand=False,
                at="2026-01-02T03:04:05.678+00:00",
                checkpoint_id=f"checkpoint-{step}",
            )
        )
    told = Run("Who?", "Ahab.", (options.get("source"),), 0, len(writes), finished=True)
    return Timeline(
        thread_id=options.get("thread", "whales"),
        checkpoint_ns="",
        checkpoint_id="tip",
        heads=tuple(memory),
        steps=len(writes),
        updates=tuple(updates),
        runs=(told,) if runs is None else tuple(runs),
    )
