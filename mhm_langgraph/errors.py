"""The exceptions a caller can meet. Each message names the offending value and the way out."""

from __future__ import annotations

from langgraph.errors import InvalidUpdateError

__all__ = [
    "BudgetError",
    "HeadError",
    "MHMError",
    "ReaderError",
    "SettingsError",
    "SourceError",
]


class MHMError(Exception):
    """Base class of every error this package raises on purpose."""


class SettingsError(MHMError, ValueError):
    """A setting, an input key or an optional package is wrong or missing."""


class SourceError(MHMError):
    """The text can not be read: missing, forbidden, not text, or changed since the run began."""


class BudgetError(MHMError):
    """The prompt can not fit the model's window; the message states the sum."""


class HeadError(MHMError, InvalidUpdateError):
    """A write to a head that was not selected for this step, or that does not exist."""


class ReaderError(MHMError):
    """The reader (the model) failed; what was read before is kept.

    Args:
        message: The sentence shown to the caller.
        step: The step at which it failed, counted from 0 over the life of the thread.
        span: `[start, end]` of the chunk in the source's own units, None while answering.
    """

    def __init__(self, message: str, *, step: int | None = None, span: list[int] | None = None) -> None:
        super().__init__(message)
        self.step = step
        self.span = span
