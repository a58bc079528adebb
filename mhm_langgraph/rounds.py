"""Rounds: several chunks read into as many heads at the same time (`parallel_heads`).

Each update of a round is a LangGraph task inside the node `update_head`: its result is stored as soon as
it is there, so that a resume makes the missing ones only. Sends would do that too, but not as well: each
would store the memory once more as its input, and in an async graph one that fails takes its running
siblings with it (LangGraph cancels them), where here the round waits for them before it fails.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable, Mapping, Sequence
from threading import BoundedSemaphore, Lock
from typing import Any

from langgraph.config import get_config
from langgraph.func import task

from mhm_langgraph.errors import SettingsError
from mhm_langgraph.events import tell
from mhm_langgraph.retention import AUTO_HEADS, LEAST_HEAD_TOKENS
from mhm_langgraph.settings import Settings
from mhm_langgraph.sources import Chunk
from mhm_langgraph.state import Exited, Place, Reading, add_usage, no_usage, only_selected
from mhm_langgraph.views import StepState

__all__ = [
    "SPARE",
    "Progress",
    "arun_round",
    "check_width",
    "joined",
    "places_of",
    "run_round",
    "turn_states",
    "width_of",
]

SPARE = 2
"""What LangGraph counts to `max_concurrency` beside a round's updates: their node, and a stream's waiter."""

Change = dict[str, Any]
"""What one update writes to the state, as the node of a sequential loop returns it."""


def check_width(settings: Settings) -> None:
    """Refuse more parallel heads than there are.

    Args:
        settings: The settings; with heads auto, what matters is the most that the memory can be split into.

    Raises:
        SettingsError: Says how many are allowed.
    """
    heads, most = settings.heads, 0
    if heads == "auto":
        most = max(n for n in AUTO_HEADS if n == 1 or n * LEAST_HEAD_TOKENS <= settings.memory_tokens)
    else:
        most = heads
    if settings.parallel_heads > most:
        raise SettingsError(
            f"parallel_heads={settings.parallel_heads} is not allowed: with heads={heads!r} it is 1 to "
            f"{most}, since a round rewrites a head for each of its chunks."
        )


def width_of(settings: Settings, heads: int) -> int:
    """How many chunks a round reads; heads auto may have come to fewer heads than asked for."""
    return min(settings.parallel_heads, heads)


def places_of(read: Sequence[tuple[Reading, Chunk]]) -> list[Place]:
    """Where the chunks of a round lie: enough to read each again.

    Args:
        read: The chunks, each with where the run stood after it.

    Returns:
        Plain values, no text.
    """
    return [
        Place(
            span=[chunk.start, chunk.end],
            index=reading["index"],
            before=reading["before"],
            fingerprint=reading["fingerprint"].partition("\n")[0],
        )
        for reading, chunk in read
    ]


def turn_states(state: StepState) -> list[StepState]:
    """The round as so many steps, each as a loop of one chunk a step would see it.

    Args:
        state: The step; where there is no round, it is its own only turn.

    Returns:
        For each chunk a state with its step, span and source, and with its own head selected alone. All
        see the memory as it stood at the round's start, and cost nothing yet.
    """
    if not state.get("round"):
        return [state]
    return [
        {
            **state,
            "step": state["step"] + number,
            "span": place["span"],
            "source": {
                **state["source"],
                "index": place["index"],
                "before": place["before"],
                "cursor": place["span"][1],
                "fingerprint": place["fingerprint"],
            },
            "heads": only_selected(state["heads"], place["head"]) if "head" in place else state["heads"],
            "usage": no_usage(),
        }
        for number, place in enumerate(state["round"] or [])
    ]


class Progress:
    """Makes the events of a round, which come in any order, tell of the whole run.

    Args:
        state: The round.
    """

    def __init__(self, state: StepState) -> None:
        first = turn_states(state)[0]
        self._read = first["source"]["before"] + first["span"][0]
        self._usage = state["usage"]
        self._lock = Lock()

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event, its `read` and `usage` those of the run so far: they never go back.

        Args:
            event: What happened, with the usage of this update alone.
        """
        with self._lock:
            self._read += event["span"][1] - event["span"][0]
            self._usage = add_usage(self._usage, event["usage"])
            tell({**event, "read": self._read, "usage": self._usage})


def joined(state: StepState, changes: Sequence[Mapping[str, Any]]) -> Change:
    """The changes of a round as one.

    Args:
        state: The round.
        changes: What each update writes, in the order of the chunks.

    Returns:
        The writes in that order, whatever came first in time, and the sums.
    """
    usage = state["usage"]
    for change in changes:
        usage = add_usage(usage, change["usage"])
    whole: Change = {"heads": [change["heads"] for change in changes]}
    if archive := {key: text for change in changes for key, text in change.get("archive", {}).items()}:
        whole["archive"] = archive
    whole |= {"step": state["step"] + len(changes), "usage": usage}
    if any("exited" in change for change in changes):
        last = turn_states(state)[-1]
        read = last["source"]["before"] + last["span"][1]
        whole["exited"] = Exited(read=read, total=state["source"]["total"])
    return whole


def run_round(updates: Sequence[Callable[[], Change]]) -> list[Change]:
    """Run the updates of a round at the same time, as many as the run's `max_concurrency` allows.

    Args:
        updates: What to run; those that an earlier run has finished are not run again.

    Returns:
        What they return, in their order.

    Raises:
        Exception: The first in their order that was raised, after all have ended.
    """
    gate = BoundedSemaphore(_most_at_once(len(updates)))

    def rewrite_head(number: int) -> Change:
        with gate:
            return updates[number]()

    start = task(rewrite_head)
    futures = [start(number) for number in range(len(updates))]
    concurrent.futures.wait(futures)
    return [future.result() for future in futures]


async def arun_round(updates: Sequence[Callable[[], Awaitable[Change]]]) -> list[Change]:
    """As `run_round`, async."""
    gate = asyncio.BoundedSemaphore(_most_at_once(len(updates)))

    async def rewrite_head(number: int) -> Change:
        async with gate:
            return await updates[number]()

    start = task(rewrite_head)
    futures = [start(number) for number in range(len(updates))]
    ended = await asyncio.gather(*futures, return_exceptions=True)
    for end in ended:
        if isinstance(end, BaseException):
            raise end
    return ended  # type: ignore[return-value]  # the exceptions among them have been raised


def _most_at_once(updates: int) -> int:
    """How many of a round's updates may run at once.

    Raises:
        SettingsError: LangGraph would wait for ever: somebody compiled the graph's builder anew.
    """
    limit = get_config().get("max_concurrency")
    if limit is None:
        return updates
    if limit <= SPARE:
        raise SettingsError(
            f"max_concurrency={limit} leaves no room for parallel_heads: allow {SPARE + 1} or more, or use "
            "the graph as create_mhm_agent returned it, which makes room."
        )
    return min(updates, limit - SPARE)
