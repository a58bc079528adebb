"""Calling a model again after a failure that passes by itself, sync and async.

Which failures these are stands in `causes`. The pauses double from half a second on, each with as much
again at random, so that many runs on one server do not come back at the same moment. A server that
names a time (Retry-After) gets at least that, within reason.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random_exponential,
)

from mhm_langgraph.readers.causes import chain, classify

__all__ = ["LONGEST_ASKED", "aattempt", "apause", "attempt", "pause", "pause_after", "retry_after"]

Result = TypeVar("Result")

LONGEST_ASKED = 60.0
"""The longest pause in seconds that a server can ask for: rate limits are mostly a minute's."""

_LONGEST_OWN = 30.0
_growing = wait_exponential(multiplier=0.5, max=_LONGEST_OWN)
_jitter = wait_random_exponential(multiplier=0.5, max=_LONGEST_OWN)


def pause(seconds: float) -> None:
    """Wait between two calls."""
    time.sleep(seconds)


async def apause(seconds: float) -> None:
    """As `pause`, async."""
    await asyncio.sleep(seconds)


def attempt(call: Callable[[], Result], max_retries: int) -> tuple[Result, int]:
    """Make a call, again after a failure that passes.

    Args:
        call: The call.
        max_retries: How often it is made again at most.

    Returns:
        What it returned, and how often it was made again.

    Raises:
        Exception: The last failure, as it was raised.

    Example:
        >>> attempt(lambda: "said", max_retries=5)
        ('said', 0)
    """
    retrying = Retrying(sleep=pause, **_policy(max_retries))
    return retrying(call), retrying.statistics["attempt_number"] - 1


async def aattempt(
    call: Callable[[], Awaitable[Result]],
    max_retries: int,
    call_timeout: float,
    turn: Callable[[], Awaitable[None]] | None = None,
) -> tuple[Result, int]:
    """As `attempt`, async.

    Args:
        call: The call.
        max_retries: How often it is made again at most.
        call_timeout: Seconds that each call may take.
        turn: Awaited before each call; its time is not the call's.

    Returns:
        What it returned, and how often it was made again.

    Raises:
        Exception: The last failure, as it was raised.
    """

    async def timed() -> Result:
        if turn is not None:
            await turn()
        limit = asyncio.timeout(call_timeout)
        try:
            async with limit:
                return await call()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"no reply within {call_timeout:g} seconds") from error

    retrying = AsyncRetrying(sleep=apause, **_policy(max_retries))
    return await retrying(timed), retrying.statistics["attempt_number"] - 1


def _policy(max_retries: int) -> dict[str, Any]:
    return {
        "retry": retry_if_exception(lambda error: classify(error).passes),
        "stop": stop_after_attempt(max_retries + 1),
        "wait": _wait,
        "retry_error_callback": _give_up,
    }


def _wait(state: RetryCallState) -> float:
    """The pause before the next call, in seconds."""
    error = state.outcome.exception() if state.outcome else None
    asked = retry_after(error, time.time()) if error else None
    return max(_growing(state), min(asked or 0.0, LONGEST_ASKED)) + _jitter(state)


def _give_up(state: RetryCallState) -> NoReturn:
    """Raise the last failure with a note of how often it was tried; failures.py puts it into the message."""
    error = state.outcome.exception() if state.outcome else None
    assert error is not None  # noqa: S101  # tenacity gives up on failures only
    note = f"It was tried {state.attempt_number} times."
    if state.attempt_number > 1 and note not in getattr(error, "__notes__", []):
        error.add_note(note)
    raise error


def retry_after(error: BaseException, now: float) -> float | None:
    """How long the server asks to wait, from the headers of its reply.

    Args:
        error: What the chat model raised.
        now: The time, in seconds since 1970.

    Returns:
        Seconds; None where it names none.
    """
    responses = (getattr(at, "response", None) for at in chain(error))
    headers = (getattr(response, "headers", None) for response in responses)
    return next((pause_after(given, now) for given in headers if isinstance(given, Mapping)), None)


def pause_after(headers: Mapping[str, str], now: float) -> float | None:
    """The pause that a reply's headers ask for: `Retry-After-Ms`, or `Retry-After` in seconds or as a date.

    Args:
        headers: The reply's headers.
        now: The time, in seconds since 1970.

    Returns:
        Seconds, 0 at least; None where they ask for none that can be understood.

    Example:
        >>> pause_after({"Retry-After": "1.5"}, now=0)
        1.5
        >>> pause_after({"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}, now=15)
        45.0
    """
    given = {str(name).lower(): str(value) for name, value in headers.items()}
    seconds = _number(given.get("retry-after-ms"), 1000)
    if seconds is None:
        seconds = _number(given.get("retry-after"), 1)
    if seconds is None:
        seconds = _date(given.get("retry-after"), now)
    return None if seconds is None else max(0.0, seconds)


def _number(text: str | None, divisor: int) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return None if math.isnan(number) else number / divisor


def _date(text: str | None, now: float) -> float | None:
    try:
        return parsedate_to_datetime(text or "").timestamp() - now
    except (ValueError, OverflowError):
        return None
