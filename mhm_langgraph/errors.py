"""The exceptions a caller can meet. Each message names the offending value and the way out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from langgraph.errors import InvalidUpdateError

__all__ = [
    "BudgetError",
    "HeadError",
    "MHMError",
    "ReaderError",
    "SettingsError",
    "SourceError",
    "known_secrets",
    "redact",
    "shown",
]

_SECRETS = re.compile(
    r"""(?ix)
      (?P<before>
          ://                                                   # user:password@ in an address
        | \bBearer\s+ | \bBasic\s+
        | \b(?:api[ _-]?key(?:\ provided)?|access[ _-]?token|password|secret)["']?\s*[=:]\s*["']?
        | [?&](?:key|token)=
      )
      (?!\*\*\*)
      (?P<secret> (?<=://)[^\s/"']*(?=@) | (?<!://)[^\s"'&,;)}]+ )
    | \b[^\s:/@"']{1,64}:[^\s/@"']{1,256}(?=@)                   # user:password without an address
    | \b(?:sk|pk|rk|gsk|xai|nvapi|lsv2)[-_](?=[\w*-]{0,63}\d)[\w*-]{16,}  # as the providers' keys begin
    | \b(?:hf_|ghp_|AIza)[\w-]{20,}
    """
)
_SECRET_NAMES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_SHORTEST_SECRET = 8  # characters; shorter values are "none" or "test"
_HIDDEN = "***"
_SHOWN = 80


class MHMError(Exception):
    """Base class of every error this package raises on purpose."""


# What a caller can put right is a ValueError too: a LangGraph server tells its clients the message of one
# (of other classes it says "An internal error occurred"), and LangGraph's RetryPolicy does not retry it.
class SettingsError(MHMError, ValueError):
    """A setting, an input key or an optional package is wrong or missing."""


class SourceError(MHMError, ValueError):
    """The text can not be read: missing, forbidden, not text, or changed since the run began."""


class BudgetError(MHMError, ValueError):
    """The prompt can not fit the model's window; the message states the sum."""


class HeadError(MHMError, InvalidUpdateError):
    """A write to a head that was not selected for this step, or that does not exist."""


class ReaderError(MHMError):
    """The reader (the model), or other code of the builder's, failed; what was read before is kept.

    Args:
        message: The sentence shown to the caller; secrets in it are hidden, since a checkpoint keeps it.
        step: The step at which it failed, counted from 0 over the life of the thread.
        span: `[start, end]` of the chunk in the source's own units, None while answering.
        reason: What failed and why, without the word on how to go on, which is for who holds the graph; by
            default the message.
    """

    def __init__(
        self,
        message: str,
        *,
        step: int | None = None,
        span: list[int] | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(redact(message))
        self.reason = redact(message if reason is None else reason)
        self.step = step
        self.span = span


def shown(value: object) -> str:
    """A value as a message shows it: its repr, shortened to 80 characters.

    Example:
        >>> shown("many " * 20)
        "'many many many many many many many many many many many many many many many m..."
    """
    try:
        text = repr(value)
    except Exception:  # Python prints no integer of more than 4,300 digits, and a repr may be a caller's own
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def redact(text: str, secrets: Iterable[str] | None = None) -> str:
    """Text without keys and passwords: what servers and clients tell of a failed call may hold them.

    Args:
        text: Any text.
        secrets: Values to hide wherever they stand; by default the keys in the environment.

    Returns:
        The text; a key, or the part of a URL before its `@`, is `***`.

    Example:
        >>> redact("no access to https://ada:pass@models.example/v1 with sk-abcdef0123456789")
        'no access to https://***@models.example/v1 with ***'
    """
    for secret in known_secrets(os.environ) if secrets is None else secrets:
        text = text.replace(secret, _HIDDEN)
    return _SECRETS.sub(lambda found: f"{found['before'] or ''}{_HIDDEN}", text)


def known_secrets(environment: Mapping[str, str]) -> list[str]:
    """The values of variables that are named as keys are, the longest first.

    Example:
        >>> known_secrets({"OPENAI_API_KEY": "a-key-of-no-known-form", "HOME": "/home/ada"})
        ['a-key-of-no-known-form']
    """
    values = {value for name, value in environment.items() if name.upper().endswith(_SECRET_NAMES)}
    return sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)
