"""memory_timeline: from the checkpoints of a branch to its updates and runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from mhm_langgraph.inspect.branch import Branch, Moment, read_branch
from mhm_langgraph.inspect.model import Run, Timeline, Update
from mhm_langgraph.state import Head, empty_heads

__all__ = ["memory_timeline"]


def memory_timeline(
    checkpointer: BaseCheckpointSaver[Any],
    thread_id: str,
    *,
    checkpoint_id: str | None = None,
    checkpoint_ns: str | None = None,
) -> Timeline:
    """Tell the life of a thread's memory from its checkpoints.

    Follows the branch that leads to one checkpoint; other branches of a forked thread are left out. An
    async checkpointer is read from another thread: `await asyncio.to_thread(memory_timeline, saver, "1")`.

    Args:
        checkpointer: Any LangGraph checkpointer.
        thread_id: The thread.
        checkpoint_id: The checkpoint the branch leads to; None for the thread's newest.
        checkpoint_ns: Where in the thread the memory lies, as `memory_namespaces` tells; None for the
            thread's own memory or, where it has none, the newest memory in a subgraph.

    Returns:
        The updates, the runs and the memory at the end.

    Raises:
        SettingsError: There is no such thread or checkpoint, or no memory in it.

    Example:
        >>> from langgraph.checkpoint.memory import InMemorySaver
        >>> from mhm_langgraph import create_mhm_agent
        >>> from mhm_langgraph.testing import ScriptedReader
        >>> saver = InMemorySaver()
        >>> graph = create_mhm_agent(ScriptedReader(), heads=2, chunk_tokens=10, checkpointer=saver)
        >>> _ = graph.invoke({"document": "x" * 100}, {"configurable": {"thread_id": "whales"}})
        >>> for update in memory_timeline(saver, "whales").updates:
        ...     print(f"head {update.head}: {update.before!r} -> {update.after!r}")
        head 0: '' -> 'step 0 span [0, 40]'
        head 1: '' -> 'step 1 span [40, 80]'
        head 0: 'step 0 span [0, 40]' -> 'step 2 span [80, 100]'
    """
    branch = read_branch(checkpointer, thread_id, checkpoint_id, checkpoint_ns)
    runs, belongs = _runs(branch.moments)
    tip = branch.moments[-1]
    start = replace(tip, heads=(), step=0)
    updates: list[Update] = []
    skipped = 0
    for (before, after), run in zip(pairwise([start, *branch.moments]), belongs, strict=True):
        found = sorted(_updates(before, after, run, branch), key=lambda update: update.step)
        updates += found
        # Where all steps of a turn or a round are stored, one without an update was given back.
        if after.step - before.step == max(1, len(after.round)):
            skipped += after.step - before.step - len({each.step for each in found if not each.by_hand})
    return Timeline(
        thread_id=str(thread_id),
        checkpoint_ns=branch.checkpoint_ns,
        checkpoint_id=checkpoint_id or tip.checkpoint_id,
        heads=tip.heads,
        steps=tip.step,
        updates=tuple(updates),
        runs=tuple(runs),
        skipped=skipped,
    )


def _updates(before: Moment, after: Moment, run: int, branch: Branch) -> Iterator[Update]:
    """What happened to the heads from one checkpoint to the next: one turn, as a rule, or a round."""
    nothing = empty_heads(1)[0]
    for index, (old, new) in enumerate(zip_longest(before.heads, after.heads, fillvalue=nothing)):
        turn = new["updated_at"] != old["updated_at"]
        if not turn and new["text"] == old["text"]:
            continue
        by_hand = after.kind == "update" or not turn
        step = new["updated_at"] if turn else after.step - 1
        place = _place(old, new, after) if turn else (None, None)
        kept = not by_hand and _kept(old, new, branch.replies.get((step, index)))
        yield Update(
            step=step,
            head=index,
            run=run,
            span=place[0],
            source=place[1],
            before=old["text"],
            after=new["text"],
            tokens_before=old["tokens"],
            tokens=new["tokens"],
            kept=kept,
            by_hand=by_hand,
            at=after.at,
            checkpoint_id=after.checkpoint_id,
        )


def _place(old: Head, new: Head, after: Moment) -> tuple[list[int] | None, str | None]:
    """The chunk of a turn and its source. An empty reply leaves a head its span: the state tells then."""
    number = new["updated_at"] - (after.step - len(after.round))
    if after.names and 0 <= number < len(after.round):
        place = after.round[number]
        return place["span"], after.names[place["index"]]
    if after.names and after.span and after.step == new["updated_at"] + 1:
        return after.span, after.source
    written = (new["text"], new["span"], new["source"]) != (old["text"], old["span"], old["source"])
    return (new["span"], new["source"]) if written else (None, None)


def _kept(old: Head, new: Head, replied: bool | None) -> bool:
    """Whether a turn's reply was empty: its write tells, or, where that is not stored, the head."""
    if replied is not None:
        return not replied
    return (old["text"], old["span"], old["source"]) == (new["text"], new["span"], new["source"])


def _runs(moments: Sequence[Moment]) -> tuple[list[Run], list[int]]:
    """The runs, and for each checkpoint the index of its run."""
    runs: list[Run] = []
    belongs = []
    begun = False
    for moment in moments:
        opened = moment.kind == "input"
        # Under durability="exit" a run stores its last checkpoint only.
        unannounced = moment.kind == "loop" and (not runs or runs[-1].finished)
        if opened or unannounced:
            start = moment.step if opened else runs[-1].end if runs else 0
            runs.append(Run(None, None, (), start, moment.step, finished=False))
            begun = unannounced
        if runs and not opened:  # the checkpoint of an input still holds the last run's values
            begun = begun or moment.names is not None
            runs[-1] = _told(runs[-1], moment, begun=begun)
        belongs.append(len(runs) - 1)
    return runs, belongs


def _told(run: Run, moment: Moment, *, begun: bool) -> Run:
    """The run, with what a checkpoint tells of it."""
    if run.finished:
        return run
    done = begun and moment.names is None
    return replace(
        run,
        question=run.question if moment.question is None else moment.question,
        answer=moment.answer if done else None,
        sources=moment.names or run.sources,
        end=moment.step,
        finished=done,
    )
