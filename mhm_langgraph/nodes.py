"""The four nodes of the loop: thin, over pure functions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from langgraph.errors import GraphBubbleUp
from langgraph.managed import RemainingSteps
from langgraph.runtime import get_runtime
from typing_extensions import TypedDict

from mhm_langgraph.errors import MHMError, ReaderError, SettingsError, shown
from mhm_langgraph.events import answered, head_updated, tell
from mhm_langgraph.readers import AnswerRequest, Load, Patience, Prompts, Reader, Reply, UpdateRequest
from mhm_langgraph.readers.causes import classify, safe_cause, told
from mhm_langgraph.readers.prompts import PRESETS
from mhm_langgraph.reading import current_chunk, next_chunk, opener_with, start_reading
from mhm_langgraph.selection import Choice, HeadSelector, Turn, named_selector
from mhm_langgraph.settings import Settings
from mhm_langgraph.sources import Budget, Chunk, Opener
from mhm_langgraph.state import (
    Head,
    HeadWrite,
    Reading,
    Usage,
    add_usage,
    empty_heads,
    no_usage,
    selected_head,
)
from mhm_langgraph.tokens import TokenCounter

__all__ = ["AnswerState", "Loop", "ReadState", "StepState"]

Result = TypeVar("Result")
_SUPERSTEPS_A_STEP = 3


class ReadState(TypedDict, total=False):
    """What read_chunk and the way on from it look at."""

    question: str | None
    document: dict[str, str]
    source: Any
    span: list[int] | None
    heads: list[Head]
    step: int
    remaining_steps: RemainingSteps


class StepState(TypedDict, total=False):
    """What select_head and update_head look at."""

    question: str | None
    document: dict[str, str]
    source: Any
    span: list[int]
    heads: list[Head]
    step: int
    usage: Usage


class AnswerState(TypedDict, total=False):
    """What answer looks at."""

    question: str
    heads: list[Head]
    step: int
    usage: Usage


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
    """

    settings: Settings
    reader: Reader
    open_source: Opener
    count: TokenCounter
    selector: HeadSelector | None = None
    prompts: Prompts | None = None

    def read_chunk(self, state: ReadState) -> dict[str, Any]:
        """Move on to the next chunk; at a run's first turn, open its sources first."""
        settings = self._settings()
        begins = not isinstance(state.get("source"), dict)  # the source is still as it was given
        update = self._begin(state, settings) if begins else {}
        reading: Reading = update.get("source") or state["source"]
        open_named = opener_with(state.get("document"), self.open_source)
        reading, chunk = next_chunk(reading, open_named, Budget(settings.chunk_tokens, self.count))
        if begins and chunk is not None:
            _check_supersteps(reading, chunk, state.get("remaining_steps"))
        update |= {"source": reading, "span": [chunk.start, chunk.end] if chunk else None}
        if chunk is None and state.get("document"):
            update["document"] = None
        if chunk is None and state.get("question") is None:
            update |= _FINISHED
        return update

    def select_head(self, state: StepState) -> dict[str, Any]:
        """Choose the head to rewrite, before anything is generated."""
        turn = self._turn(state)
        return _selected(state, self._wrap(state, lambda: self._selector().select(turn)))

    async def aselect_head(self, state: StepState) -> dict[str, Any]:
        """As `select_head`, async."""
        turn = self._turn(state)
        return _selected(state, await self._awrap(state, self._selector().aselect(turn)))

    def update_head(self, state: StepState) -> dict[str, Any]:
        """Rewrite the selected head from the question, all heads and the chunk."""
        request = self._update_request(state)
        reply = self._wrap(state, lambda: self.reader.update(request))
        return self._updated(state, request, reply)

    async def aupdate_head(self, state: StepState) -> dict[str, Any]:
        """As `update_head`, async. The source is read in a thread: it may block."""
        request = await asyncio.to_thread(self._update_request, state)
        reply = await self._awrap(state, self.reader.aupdate(request))
        return self._updated(state, request, reply)

    def answer(self, state: AnswerState) -> dict[str, Any]:
        """Answer the question from all heads."""
        request = self._answer_request(state)
        return self._answered(state, self._wrap(state, lambda: self.reader.answer(request)))

    async def aanswer(self, state: AnswerState) -> dict[str, Any]:
        """As `answer`, async."""
        request = self._answer_request(state)
        return self._answered(state, await self._awrap(state, self.reader.aanswer(request)))

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
            patience=_patience(settings),
        )

    def _begin(self, state: ReadState, settings: Settings) -> dict[str, Any]:
        """A run's start: what was the last run's own goes, the thread's memory stays."""
        heads = state.get("heads") or []
        if heads and len(heads) != settings.heads:
            raise SettingsError(
                f"heads={settings.heads} is not allowed here: this thread's memory has {len(heads)} "
                "heads. Use that number, or another thread."
            )
        names = _names(state)
        reading = start_reading(names, opener_with(state.get("document"), self.open_source))
        self.reader.check(
            Load(
                question=state.get("question"),
                heads=settings.heads,
                head_tokens=settings.head_tokens,
                chunk_tokens=settings.chunk_tokens if names else 0,
                answer_tokens=settings.answer_tokens,
                prompts=self._prompts(settings),
                count=self.count,
            )
        )
        memory = {} if heads else {"heads": empty_heads(settings.heads)}
        step = state.get("step") or 0
        return {"source": reading, "step": step, "answer": None, "usage": no_usage(), **memory}

    def _turn(self, state: StepState) -> Turn:
        return Turn(
            heads=state["heads"],
            step=state["step"],
            question=state.get("question"),
            span=state["span"],
            read=lambda: self._chunk_text(state),
        )

    def _chunk_text(self, state: StepState) -> str:
        """The chunk, read again: it is never in state."""
        open_named = opener_with(state.get("document"), self.open_source)
        return current_chunk(state["source"], state["span"], open_named, self.count).text

    def _update_request(self, state: StepState) -> UpdateRequest:
        settings = self._settings()
        return UpdateRequest(
            question=state.get("question"),
            heads=[head["text"] for head in state["heads"]],
            head=selected_head(state["heads"]),
            chunk=self._chunk_text(state),
            head_tokens=settings.head_tokens,
            step=state["step"],
            span=state["span"],
            prompts=self._prompts(settings),
            count=self.count,
            patience=_patience(settings),
        )

    def _updated(self, state: StepState, request: UpdateRequest, reply: Reply) -> dict[str, Any]:
        """Write the head and tell of it. An empty reply leaves the head, and the rotation goes on."""
        self._check_reply(reply, "update")
        reading: Reading = state["source"]
        write = HeadWrite(head=request.head, step=state["step"])
        if reply.text:
            write |= {
                "text": reply.text,
                "tokens": self.count(reply.text),
                "span": list(state["span"]),
                "source": reading["names"][reading["index"]],
            }
        usage = add_usage(state["usage"], reply.usage)
        before = state["heads"][request.head]
        tell(head_updated(request, reply, write, before, reading, usage))
        return {"heads": write, "step": state["step"] + 1, "usage": usage}

    def _answer_request(self, state: AnswerState) -> AnswerRequest:
        settings = self._settings()
        return AnswerRequest(
            question=state["question"],
            heads=[head["text"] for head in state["heads"]],
            answer_tokens=settings.answer_tokens,
            stream=settings.stream_answer,
            prompts=self._prompts(settings),
            count=self.count,
            patience=_patience(settings),
        )

    def _answered(self, state: AnswerState, reply: Reply) -> dict[str, Any]:
        self._check_reply(reply, "answer")
        usage = add_usage(state["usage"], reply.usage)
        tell(answered(reply, state["step"], self.reader.description, usage))
        return {"answer": reply.text, "usage": usage, **_FINISHED}

    def _check_reply(self, reply: object, method: str) -> None:
        """Hold a reader of the user's own to its protocol; to return the text alone is the likeliest slip."""
        if not isinstance(reply, Reply) or not isinstance(reply.text, str):
            raise SettingsError(
                f"{type(self.reader).__name__}.{method} returned {shown(reply)}; a Reply is needed, as in "
                "Reply(text='...')."
            )

    def _wrap(self, state: Any, call: Callable[[], Result]) -> Result:
        """What a reader or selector raises becomes a ReaderError with step and span."""
        try:
            return call()
        except (MHMError, GraphBubbleUp):
            raise
        except Exception as error:
            failure = error
        # Raised out here, where the failure does not hang on to it as its context.
        raise self._reader_error(state, failure) from safe_cause(failure)

    async def _awrap(self, state: Any, call: Awaitable[Result]) -> Result:
        """As `_wrap`, async."""
        try:
            return await call
        except (MHMError, GraphBubbleUp):
            raise
        except Exception as error:
            failure = error
        raise self._reader_error(state, failure) from safe_cause(failure)

    def _reader_error(self, state: Any, error: Exception) -> ReaderError:
        """What happened where, and what to do about it."""
        step, span = state.get("step"), state.get("span")
        where = f"at step {step}, chunk {span}" if span else "while answering"
        advice = classify(error).advice.format(**self._settings().model_dump())
        return ReaderError(
            f"The reader failed {where}: {told(error)}. {advice}{' ' * bool(advice)}What was read before is "
            "kept: with a checkpointer, invoke(None, config) goes on from here.",
            step=step,
            span=span,
        )


_FINISHED: dict[str, Any] = {"question": None, "source": None, "span": None}
"""What was the run's own is cleared, or the next run on the thread would inherit it."""


def _check_supersteps(reading: Reading, first: Chunk, remaining: int | None) -> None:
    """Refuse at once what LangGraph's recursion limit would stop in the middle.

    The graph raises that limit by itself; this is for whoever compiled its builder anew. The first chunk
    tells how much a step reads, in the source's own units; later ones may be a quarter smaller.
    """
    if remaining is None or reading["total"] is None:
        return
    steps = -(-reading["total"] * 4 // ((first.end - first.start) * 3))
    needed = _SUPERSTEPS_A_STEP * steps + 2
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


def _selected(state: StepState, choice: Choice) -> dict[str, Any]:
    if not isinstance(choice, Choice):
        raise SettingsError(f"The selector returned {shown(choice)}; return Choice(index of the head).")
    cost = {"usage": add_usage(state["usage"], choice.usage)} if choice.usage["calls"] else {}
    return {"heads": {"select": choice.head}, **cost}


def _patience(settings: Settings) -> Patience:
    return Patience(call_timeout=settings.call_timeout, max_retries=settings.max_retries)
