"""What a reader, or code of the builder's, raises becomes a ReaderError: where, and what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from langgraph.errors import GraphBubbleUp

from mhm_langgraph.errors import MHMError, ReaderError
from mhm_langgraph.readers.causes import classify, safe_cause, told
from mhm_langgraph.settings import Settings

__all__ = ["aguarded", "guarded"]

Result = TypeVar("Result")


def guarded(state: Any, settings: Settings, call: Callable[[], Result], who: str = "reader") -> Result:
    """Make a call to the reader, the selector, the recall or the grounding rule.

    Args:
        state: Its `step` and `span` say where the run stands.
        settings: The settings in force, for the advice.
        call: The call.
        who: What is called, for the message.

    Returns:
        What it returned.

    Raises:
        MHMError: As raised, or a `ReaderError` in place of what else was raised.
    """
    try:
        return call()
    except (MHMError, GraphBubbleUp):
        raise
    except Exception as error:
        failure = error
    # Raised out here, where the failure does not hang on to it as its context.
    raise _reader_error(state, settings, failure, who) from safe_cause(failure)


async def aguarded(state: Any, settings: Settings, call: Awaitable[Result], who: str = "reader") -> Result:
    """As `guarded`, async."""
    try:
        return await call
    except (MHMError, GraphBubbleUp):
        raise
    except Exception as error:
        failure = error
    raise _reader_error(state, settings, failure, who) from safe_cause(failure)


def _reader_error(state: Any, settings: Settings, error: Exception, who: str) -> ReaderError:
    """What happened where, and what to do about it."""
    step, span = state.get("step"), state.get("span")
    where = f"at step {step}, chunk {span}" if span else "while answering"
    advice = classify(error).advice.format(**settings.model_dump())
    reason = f"The {who} failed {where}: {told(error)}. {advice}".rstrip()
    return ReaderError(
        f"{reason} What was read before is kept: with a checkpointer, invoke(None, config) goes on from "
        "here.",
        step=step,
        span=span,
        reason=reason,
    )
