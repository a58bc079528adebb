"""The four nodes of the loop: thin, over pure functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langgraph.runtime import get_runtime

from mhm_langgraph.errors import SettingsError
from mhm_langgraph.events import answered, head_updated, tell
from mhm_langgraph.failures import aguarded, guarded
from mhm_langgraph.grounding import GroundingRule, grounded
from mhm_langgraph.readers import Prompts, Reader, Reply, UpdateRequest
from mhm_langgraph.readers.prompts import PRESETS
from mhm_langgraph.reading import (
    Open,
    current_chunk,
    next_chunk,
    next_chunks,
    opener_with,
    start_reading,
    steps_of,
)
from mhm_langgraph.recall import Recalled
from mhm_langgraph.recall.bound import Recall
from mhm_langgraph.requests import answer_request, load_of, patience, turn_of, update_request
from mhm_langgraph.results import (
    FINISHED,
    checked_choice,
    checked_reply,
    ended,
    head_write,
    heeded,
    overwritten,
    selected,
)
from mhm_langgraph.retention import best_heads
from mhm_langgraph.rounds import (
    Progress,
    arun_round,
    check_width,
    joined,
    places_of,
    run_round,
    turn_states,
    width_of,
)
from mhm_langgraph.selection import Choice, HeadSelector, named_selector
from mhm_langgraph.settings import Settings
from mhm_langgraph.sources import Budget, Chunk, Opener, newly
from mhm_langgraph.state import Exited, Reading, add_usage, empty_heads, no_usage
from mhm_langgraph.tokens import TokenCounter, counting
from mhm_langgraph.views import AnswerState, ReadState, StepState

__all__ = ["Loop"]

Told = Callable[[dict[str, Any]], None]
"""Sends an event."""

_SUPERSTEPS_A_STEP = 3


@dataclass(frozen=True)
class Loop:
    """What the factory has bound, and the nodes over it.

    Args:
        settings: The factory's settings.
        reader: The reader.
        open_source: Opens sources by name.
        count: The token counter.
        selector: The user's own selector; None where the settings name one.
        prompts: The user's own prompts; None where the settings name them.
        rule: The user's own grounding rule; None where the settings name it.
        recall: The archive of overwritten texts, and how they are ranked.
    """

    settings: Settings
    reader: Reader
    open_source: Opener
    count: TokenCounter
    selector: HeadSelector | None = None
    prompts: Prompts | None = None
    rule: GroundingRule | None = None
    recall: Recall = field(default_factory=Recall)

    def read_chunk(self, state: ReadState) -> dict[str, Any]:
        """Move on to the next chunk; at a run's first turn, open its sources first."""
        settings = self._settings()
        begins = not isinstance(state.get("source"), dict)  # the source is still as it was given
        if state.get("exited") and not begins:
            return ended(state)
        update = self._begin(state, settings) if begins else {}
        reading: Reading = update.get("source") or state["source"]
        open_named = opener_with(state.get("document"), self.open_source)
        width = width_of(settings, len(update.get("heads") or state["heads"]))
        budget = Budget(settings.chunk_tokens, self.count, again=width)
        update["source"], read = next_chunks(reading, open_named, budget, width)
        if not read:
            return update | ended(state)
        if begins:
            _check_supersteps(*read[0], width, state.get("remaining_steps"))
        update["span"] = [read[-1][1].start, read[-1][1].end]
        if width > 1 or state.get("round"):
            update["round"] = places_of(read) if width > 1 else None
        return update

    def select_head(self, state: StepState) -> dict[str, Any]:
        """Choose the head to rewrite, or one for each chunk of a round, before anything is generated."""
        settings, selector = self._settings(), self._selector()
        choices: list[Choice] = []
        for turn_state in turn_states(state):
            turn = turn_of(turn_state, partial(self._chunk_text, turn_state), choices)
            choice = guarded(turn_state, settings, partial(selector.select, turn))
            choices.append(checked_choice(choice, turn))
        return selected(state, choices)

    async def aselect_head(self, state: StepState) -> dict[str, Any]:
        """As `select_head`, async."""
        settings, selector = self._settings(), self._selector()
        choices: list[Choice] = []
        for turn_state in turn_states(state):
            turn = turn_of(turn_state, partial(self._chunk_text, turn_state), choices)
            choice = await aguarded(turn_state, settings, selector.aselect(turn))
            choices.append(checked_choice(choice, turn))
        return selected(state, choices)

    def update_head(self, state: StepState) -> dict[str, Any]:
        """Rewrite the selected head, or those of a round, from the question, all heads and the chunk."""
        recalled = self._recalled(state, updates=True)
        turns = self._turns(state, recalled)
        if not state.get("round"):
            return self._update(*turns[0], recalled)
        told = Progress(state).tell
        return joined(state, run_round([partial(self._update, *turn, recalled, told) for turn in turns]))

    async def aupdate_head(self, state: StepState) -> dict[str, Any]:
        """As `update_head`, async. The source is read in a thread: it may block."""
        recalled = await self._arecalled(state, updates=True)
        turns = await asyncio.to_thread(self._turns, state, recalled)
        if not state.get("round"):
            return await self._aupdate(*turns[0], recalled)
        told = Progress(state).tell
        return joined(
            state, await arun_round([partial(self._aupdate, *turn, recalled, told) for turn in turns])
        )

    def answer(self, state: AnswerState) -> dict[str, Any]:
        """Answer the question from all heads."""
        settings = self._settings()
        recalled = self._recalled(state)
        request = answer_request(state, settings, self._prompts(settings), self.count, recalled)
        reply = guarded(state, settings, lambda: self.reader.answer(request))
        return self._answered(state, reply, recalled)

    async def aanswer(self, state: AnswerState) -> dict[str, Any]:
        """As `answer`, async."""
        settings = self._settings()
        recalled = await self._arecalled(state)
        request = answer_request(state, settings, self._prompts(settings), self.count, recalled)
        reply = await aguarded(state, settings, self.reader.aanswer(request))
        return self._answered(state, reply, recalled)

    def _settings(self) -> Settings:
        """The factory's settings, with what this run's context sets."""
        return self.settings.overridden_by(get_runtime().context)

    def _prompts(self, settings: Settings) -> Prompts:
        """The user's own prompts, unless this run's context names a preset."""
        if self.prompts is not None and "prompts" not in settings.model_fields_set:
            return self.prompts
        return PRESETS[settings.prompts]

    def _selector(self) -> HeadSelector:
        """The user's own selector, unless this run's context names one."""
        settings = self._settings()
        if self.selector is not None and "selector" not in settings.model_fields_set:
            return self.selector
        return named_selector(
            settings.selector,
            seed=settings.seed,
            reader=self.reader,
            prompts=self._prompts(settings),
            patience=patience(settings),
        )

    def _begin(self, state: ReadState, settings: Settings) -> dict[str, Any]:
        """A run's start: what was the last run's own goes, the thread's memory stays."""
        heads = state.get("heads") or []
        if heads and settings.heads not in ("auto", len(heads)):
            raise SettingsError(
                f"heads={settings.heads} is not allowed here: this thread's memory has {len(heads)} "
                "heads. Use that number, or another thread."
            )
        check_width(settings)
        names = _names(state)
        reading = start_reading(names, opener_with(state.get("document"), newly(self.open_source)))
        open_named = opener_with(state.get("document"), self.open_source)
        number = len(heads) or self._number_of_heads(settings, reading, open_named)
        prompts, question = self._prompts(settings), state.get("question")
        self.reader.check(load_of(question, number, settings, prompts, self.count, reads=bool(names)))
        memory = {} if heads else {"heads": empty_heads(number)}
        step = state.get("step") or 0
        exited = {"exited": None} if state.get("exited") else {}
        return {"source": reading, "step": step, "answer": None, "usage": no_usage(), **memory, **exited}

    def _number_of_heads(self, settings: Settings, reading: Reading, open_named: Open) -> int:
        """How many heads a new thread gets; for `auto` its first chunk is read once more than the others."""
        if settings.heads != "auto":
            return settings.heads
        _, first = next_chunk(reading, open_named, Budget(settings.chunk_tokens, self.count))
        return best_heads(steps_of(reading, first), settings.memory_tokens)

    def _recalled(self, state: Any, *, updates: bool = False) -> list[Recalled] | None:
        """What is shown again of what the heads held before."""
        settings = self._settings()
        find = partial(self.recall.find, state, settings, self.count, updates=updates)
        return guarded(state, settings, find, "recall")

    async def _arecalled(self, state: Any, *, updates: bool = False) -> list[Recalled] | None:
        """As `_recalled`, async."""
        settings = self._settings()
        found = self.recall.afind(state, settings, self.count, updates=updates)
        return await aguarded(state, settings, found, "recall")

    def _chunk_text(self, state: StepState) -> str:
        """The chunk, read again: it is never in state."""
        open_named = opener_with(state.get("document"), self.open_source)
        return current_chunk(state["source"], state["span"], open_named, self.count).text

    def _turns(
        self, state: StepState, recalled: Sequence[Recalled] | None
    ) -> list[tuple[StepState, UpdateRequest]]:
        """What the reader is asked at this step: once, or once for each chunk of a round."""
        settings = self._settings()
        prompts = self._prompts(settings)
        return [
            (turn, update_request(turn, self._chunk_text(turn), settings, prompts, self.count, recalled))
            for turn in turn_states(state)
        ]

    def _update(
        self, state: StepState, request: UpdateRequest, recalled: Sequence[Recalled] | None, told: Told = tell
    ) -> dict[str, Any]:
        """One update, from the request to what it writes."""
        reply = guarded(state, self._settings(), partial(self.reader.update, request))
        return self.recall.keep(self._updated(state, request, reply, recalled, told))

    async def _aupdate(
        self, state: StepState, request: UpdateRequest, recalled: Sequence[Recalled] | None, told: Told = tell
    ) -> dict[str, Any]:
        """As `_update`, async."""
        reply = await aguarded(state, self._settings(), self.reader.aupdate(request))
        updated = partial(self._updated, state, request, reply, recalled, told)
        checked = self._settings().grounding != "off"  # by a rule that may block, or take its time
        return await self.recall.akeep(
            await (asyncio.to_thread(updated) if checked else counting(self.count, updated))
        )

    def _updated(
        self,
        state: StepState,
        request: UpdateRequest,
        reply: Reply,
        recalled: Sequence[Recalled] | None,
        told: Told,
    ) -> dict[str, Any]:
        """Write the head and tell of it."""
        reply = heeded(checked_reply(reply, self.reader, "update"), request.gates)
        settings = self._settings()
        check = partial(grounded, request, reply, state["heads"], settings, self.rule, recalled)
        reply = guarded(state, settings, check, "grounding rule")
        write = head_write(state, request.head, reply, self.count)
        usage = add_usage(state["usage"], reply.usage)
        before = state["heads"][request.head]
        event = head_updated(request, reply, write, before, state["source"], usage, recalled)
        told(event)
        left = Exited(read=event["read"], total=event["total"])
        exited = {"exited": left} if reply.gate == "exit" else {}
        written = overwritten(write, state["heads"]) if settings.recall else {"heads": write}
        return {**written, "step": state["step"] + 1, "usage": usage, **exited}

    def _answered(
        self, state: AnswerState, reply: Reply, recalled: Sequence[Recalled] | None
    ) -> dict[str, Any]:
        reply = checked_reply(reply, self.reader, "answer")
        usage = add_usage(state["usage"], reply.usage)
        exited = state.get("exited")
        tell(answered(reply, state["step"], self.reader.description, usage, exited, recalled))
        return {"answer": reply.text, "usage": usage, **FINISHED}


def _check_supersteps(reading: Reading, first: Chunk, width: int, remaining: int | None) -> None:
    """Refuse at once what LangGraph's recursion limit would stop in the middle.

    The graph raises that limit by itself; this is for whoever compiled its builder anew. The first chunk
    tells how much a step reads, in the source's own units; later ones may be a quarter smaller.
    """
    if remaining is None or reading["total"] is None:
        return
    steps = -(-reading["total"] * 4 // ((first.end - first.start) * 3))
    needed = _SUPERSTEPS_A_STEP * -(-steps // width) + 2
    if needed > remaining:
        raise SettingsError(
            f"recursion_limit leaves {remaining} supersteps and this text needs up to {needed}: pass "
            f"config={{'recursion_limit': {needed + 1}}}, or use the graph as create_mhm_agent returned it, "
            "which needs none."
        )


def _names(state: ReadState) -> list[str | None]:
    """What a run is to read; None is the inline document."""
    source = state.get("source")
    if source is None:  # compiled anew from the builder, where nothing prepares the input
        return [None] if state.get("document") else []
    return [source] if isinstance(source, str) else list(source)
