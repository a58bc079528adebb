"""Recall as the loop uses it: where the archive is in this run, and what of it is shown again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.config import get_config
from langgraph.runtime import get_runtime
from langgraph.store.base import BaseStore

from mhm_langgraph.recall.archive import Entry, lineage
from mhm_langgraph.recall.choice import Recalled, choose
from mhm_langgraph.recall.ranking import Ranking, bm25_scores
from mhm_langgraph.recall.stores import aload, asave, load, save
from mhm_langgraph.settings import Settings
from mhm_langgraph.tokens import TokenCounter

__all__ = ["Recall"]


@dataclass(frozen=True)
class Recall:
    """The archive of a run: in the store where there is one and the thread has a name, else in its state.

    Args:
        rank: How texts are ranked.
    """

    rank: Ranking = bm25_scores

    def find(
        self,
        state: Mapping[str, Any],
        settings: Settings,
        count: TokenCounter,
        *,
        updates: bool = False,
    ) -> list[Recalled] | None:
        """The overwritten texts to show with this state's heads.

        Args:
            state: A node's state.
            settings: The settings in force.
            count: The token counter.
            updates: Whether they are for an update.

        Returns:
            The texts, the best first; None where recall is off, or there is no question.
        """
        if not _wanted(state, settings, updates):
            return None
        kept = load(*place) if (place := _place()) else {}
        return self._chosen(state, kept, settings, count)

    async def afind(
        self,
        state: Mapping[str, Any],
        settings: Settings,
        count: TokenCounter,
        *,
        updates: bool = False,
    ) -> list[Recalled] | None:
        """As `find`, async; ranking is done in a thread."""
        if not _wanted(state, settings, updates):
            return None
        kept = await aload(*place) if (place := _place()) else {}
        return await asyncio.to_thread(self._chosen, state, kept, settings, count)

    def keep(self, update: dict[str, Any]) -> dict[str, Any]:
        """Put what a step has overwritten into the store, where there is one.

        Args:
            update: What a node is about to return.

        Returns:
            What is left to be kept in the state.
        """
        if "archive" not in update or not (place := _place()):
            return update
        save(*place, update["archive"])
        return {key: value for key, value in update.items() if key != "archive"}

    async def akeep(self, update: dict[str, Any]) -> dict[str, Any]:
        """As `keep`, async."""
        if "archive" not in update or not (place := _place()):
            return update
        await asave(*place, update["archive"])
        return {key: value for key, value in update.items() if key != "archive"}

    def _chosen(
        self,
        state: Mapping[str, Any],
        kept: Mapping[str, Entry],
        settings: Settings,
        count: TokenCounter,
    ) -> list[Recalled]:
        # Both places: a thread may have begun without a store.
        archive = {**(state.get("archive") or {}), **kept}
        heads: Sequence[Mapping[str, Any]] = state["heads"]
        return choose(
            state["question"],
            [head["text"] for head in heads],
            lineage(heads, archive),
            number=settings.recall,
            tokens=settings.recall_tokens,
            count=count,
            rank=self.rank,
        )


def _wanted(state: Mapping[str, Any], settings: Settings, updates: bool) -> bool:
    asked = state.get("question") is not None
    return settings.recall > 0 and asked and (settings.recall_updates or not updates)


def _place() -> tuple[BaseStore, str] | None:
    """The store and the thread's id."""
    store = get_runtime().store
    thread_id = get_config().get("configurable", {}).get("thread_id")
    return (store, str(thread_id)) if store is not None and thread_id is not None else None
