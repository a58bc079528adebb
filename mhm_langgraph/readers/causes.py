"""Why a model call failed: from an exception to a cause, by what it looks like. Pure functions.

Chat models come from many packages, none of which is imported here: an exception is known by its status,
by the code in its body, by the names of its classes, or by where it was raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from traceback import walk_tb
from typing import Any

from mhm_langgraph.errors import redact

__all__ = ["FILTERED", "Cause", "chain", "classify", "safe_cause", "status_of", "told"]


@dataclass(frozen=True)
class Cause:
    """Why a call failed.

    Args:
        advice: What to do about it, for the error's message; `{chunk_tokens}` and the like are filled in.
        passes: Whether it may pass by itself: such a call is made again.
    """

    advice: str
    passes: bool = False


RATE = Cause("The server limits the rate of calls: raise max_retries, or run fewer at once.", passes=True)
SLOW = Cause("The server took too long: raise call_timeout={call_timeout:g} (seconds).", passes=True)
BUSY = Cause("The server is overloaded or broken: look at it, then go on.", passes=True)
BROKEN = Cause("The connection broke or was refused: is the server up, and its address right?", passes=True)
UNREADABLE = Cause("The server's reply could not be read: is this a chat-completions server?", passes=True)
OVERFLOW = Cause(
    "The prompt is larger than the model's window: lower chunk_tokens={chunk_tokens}, heads={heads} or "
    "head_tokens={head_tokens} and begin a new thread, or go on with a model that has a larger window."
)
KEY = Cause("The server does not accept the key: set the right one, for OpenAI in OPENAI_API_KEY.")
MONEY = Cause("The account's quota is used up: raise it at the provider.")
FORBIDDEN = Cause("The key has no permission for this model.")
MISSING = Cause("The server knows no such model or path: check the model's name and base_url.")
ADDRESS = Cause("The request can not be sent at all: check base_url, the key's characters and certificates.")
REFUSED = Cause("The server refuses the request as it is; sending it again would not help.")
FILTERED = Cause("The provider's content filter refuses this text.")
UNKNOWN = Cause("")

BY_CODE: Mapping[str, Cause] = {
    "context_length_exceeded": OVERFLOW,  # OpenAI
    "exceed_context_size_error": OVERFLOW,  # llama.cpp; with status 400, 500 or even 200
    "insufficient_quota": MONEY,  # comes as a 429, yet no pause helps
    "billing_hard_limit_reached": MONEY,
    "content_filter": FILTERED,  # Azure: the prompt was filtered, as a 400
    "content_policy_violation": FILTERED,
    "data_inspection_failed": FILTERED,
    "rate_limit_exceeded": RATE,
    "rate_limit_error": RATE,
    "overloaded_error": BUSY,
    "server_error": BUSY,
}
"""By `code` or `type` in the body of an error."""

OVERFLOW_WORDS = (
    "context window",
    "context length",
    "context size",
    "prompt is too long",  # Anthropic
    "input is too long",  # Bedrock
    "exceeds the maximum number of tokens",  # Gemini
    "max_tokens must be at least 1, got -",  # vLLM: what is left of the window
)
"""By words in a refusal that carries no such code."""

BY_STATUS: Mapping[int, Cause] = {
    400: REFUSED,
    401: KEY,
    402: MONEY,
    403: FORBIDDEN,
    404: MISSING,
    405: MISSING,
    408: SLOW,
    409: BUSY,
    413: OVERFLOW,
    422: REFUSED,
    425: BUSY,
    429: RATE,
    501: MISSING,
    505: REFUSED,
}
"""By HTTP status. What is not named: REFUSED below 500, BUSY from there on."""

FINAL_NAMES: Mapping[str, Cause] = {
    "ContextOverflowError": OVERFLOW,  # LangChain
    "ContextWindowExceededError": OVERFLOW,  # LiteLLM
    "UnsupportedProtocol": ADDRESS,
    "LocalProtocolError": ADDRESS,  # such as a line end in the key
    "InvalidURL": ADDRESS,
    "SSLCertVerificationError": ADDRESS,
}
"""By class name, of the exception or of what caused it."""

PASSING_NAMES: Mapping[str, Cause] = {
    "TimeoutError": SLOW,
    "APITimeoutError": SLOW,
    "TimeoutException": SLOW,  # httpx
    "Timeout": SLOW,  # requests
    "ConnectionError": BROKEN,
    "APIConnectionError": BROKEN,
    "TransportError": BROKEN,  # httpx: network, protocol, proxy
    "IncompleteRead": BROKEN,
    "ClientConnectionError": BROKEN,  # aiohttp
    "ClientPayloadError": BROKEN,
    "JSONDecodeError": UNREADABLE,
    "DecodingError": UNREADABLE,  # httpx
    "APIResponseValidationError": UNREADABLE,
    "APIError": BUSY,  # openai, anthropic: an error in the middle of a stream has no status
}
"""By class name, of the exception or a class it comes from."""

_CLIENTS = ("langchain_", "openai", "anthropic")
_CONVERSIONS = {
    "_create_chat_result",
    "_convert_chunk_to_generation_chunk",
    "_format_output",
    "_response_to_result",
    "generate_from_stream",
    "agenerate_from_stream",
    "parse",
}
_MOST_CAUSES = 10
_LONGEST_TEXT = 500  # characters shown: a server may send its prompt back, or a page of HTML
_LONGEST_SEARCHED = 10_000  # characters searched for secrets; longer texts are not kept


def classify(error: BaseException) -> Cause:
    """Why a call failed.

    Args:
        error: What the chat model raised.

    Returns:
        The cause. What is not known, a mistake in a model of one's own for example, does not pass.

    Example:
        >>> classify(ConnectionResetError()) is BROKEN, classify(TypeError("no such argument")) is UNKNOWN
        (True, True)
    """
    errors = list(chain(error))
    known = (
        _by_code(errors) or _by_names(errors, FINAL_NAMES) or _by_words(error) or _by_status(status_of(error))
    )
    return known or _passing(error) or UNKNOWN


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what led to it, the innermost last."""
    at: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if at is None:
            return
        yield at
        at = at.__cause__ or at.__context__


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an error, wherever its client keeps it; None where there is none.

    Example:
        >>> status_of(ValueError({"message": "overloaded", "code": 503}))
        503
    """
    response = getattr(error, "response", None)
    found = (
        getattr(error, "status_code", None),
        getattr(response, "status_code", None),
        getattr(error, "code", None),
        _body(error).get("code"),
    )
    return next((status for status in found if type(status) is int and 400 <= status < 600), None)


def _body(error: BaseException) -> Mapping[str, Any]:
    """The error in the reply: as the client has parsed it, or as langchain-openai raises it after a 200."""
    body = getattr(error, "body", None) or next(iter(error.args), None)
    if isinstance(body, Mapping):
        inner = body.get("error")
        return inner if isinstance(inner, Mapping) else body
    return {}


def _by_code(errors: list[BaseException]) -> Cause | None:
    bodies = map(_body, errors)
    codes = (body.get(key) for body in bodies for key in ("code", "type"))
    return next((BY_CODE[code] for code in codes if isinstance(code, str) and code in BY_CODE), None)


def _by_names(errors: list[BaseException], table: Mapping[str, Cause]) -> Cause | None:
    names = (kind.__name__ for error in errors for kind in type(error).__mro__)
    return next((table[name] for name in names if name in table), None)


def _by_words(error: BaseException) -> Cause | None:
    """An overflow, told in words only. A rate limit may speak of tokens too."""
    if status_of(error) not in (None, 400, 413, 422, 500):
        return None
    text = str(error).lower()
    return OVERFLOW if any(words in text for words in OVERFLOW_WORDS) else None


def _by_status(status: int | None) -> Cause | None:
    if status is None:
        return None
    return BY_STATUS.get(status, BUSY if status >= 500 else REFUSED)


def _passing(error: BaseException) -> Cause | None:
    if getattr(error, "is_retryable", None) is True and not _by_names([error], PASSING_NAMES):
        return BUSY  # a LangChain ModelError that its provider's package knows better than this table
    if isinstance(error, RuntimeError) and str(error) == "Event loop is closed":
        return BROKEN  # a connection kept from an event loop that has ended: the next one is new
    return _by_names([error], PASSING_NAMES) or (UNREADABLE if _in_conversion(error) else None)


def _in_conversion(error: BaseException) -> bool:
    """Whether a client library raised it while it made a message of a reply.

    These are plain TypeErrors, KeyErrors and the like; the same from a user's own model is a mistake.
    """
    frames = [
        (frame.f_globals.get("__name__", ""), frame.f_code.co_name)
        for frame, _ in walk_tb(error.__traceback__)
    ]
    converts = any(module.startswith(_CLIENTS) and name in _CONVERSIONS for module, name in frames)
    nothing_in_it = isinstance(error, IndexError) and frames[-1:] in (
        [("langchain_core.language_models.chat_models", "invoke")],
        [("langchain_core.language_models.chat_models", "ainvoke")],
    )
    return isinstance(error, Exception) and (converts or nothing_in_it)


def told(error: BaseException) -> str:
    """An exception in one line, without secrets: its class, its text, and what lies at the root of it.

    Example:
        >>> told(ConnectionError("refused with sk-abcdef0123456789"))
        'ConnectionError: refused with ***'
    """
    text = f"{type(error).__name__}: {error}"
    if status_of(error) is None:  # "Connection error." alone tells nobody that the name is unknown
        roots = [str(at) for at in chain(error) if str(at)]
        text += f" ({roots[-1]})" if roots and roots[-1] not in text else ""
    notes = " ".join(getattr(error, "__notes__", []))
    text = " ".join(redact(text[:_LONGEST_SEARCHED]).split()).rstrip(" .")
    short = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
    return f"{short}. {redact(notes).rstrip('.')}" if notes else short


def safe_cause(error: Exception) -> Exception:
    """What an error may be raised from: the exception itself, unless a text in its chain holds a secret.

    httpx tells the whole URL, with its password, and an illegal header's value, which is the key.
    """
    texts = [f"{at} {getattr(at, '__notes__', '')}" for at in chain(error)]
    safe = all(len(text) <= _LONGEST_SEARCHED and redact(text) == text for text in texts)
    return error if safe else RuntimeError(told(error))
