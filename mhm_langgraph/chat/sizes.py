"""When to read and how much to keep: sizes in tokens, messages or a fraction of the model's window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately

from mhm_langgraph.errors import SettingsError, shown
from mhm_langgraph.tokens import TokenCounter, resolve_counter, utf8_tokens

__all__ = [
    "ContextSize",
    "Counters",
    "Keep",
    "Trigger",
    "kept_from",
    "prompt_tokens",
    "resolve_counters",
    "resolve_keep",
    "resolve_trigger",
]

ContextSize: TypeAlias = tuple[Literal["tokens", "messages"], int] | tuple[Literal["fraction"], float]
"""A size as LangChain's `SummarizationMiddleware` takes it."""

MessageCounter: TypeAlias = Callable[[Sequence[BaseMessage]], int]

_KINDS = ("tokens", "messages", "fraction")


@dataclass(frozen=True)
class Counters:
    """The two ways in which tokens are counted.

    Args:
        text: Tokens of a text, such as a head.
        messages: Tokens of messages, with what each message costs besides its text.
    """

    text: TokenCounter
    messages: MessageCounter


def resolve_counters(counter: Any, model: Any = None) -> Counters:
    """From what a caller may name to both counters.

    Args:
        counter: None (UTF-8 bytes / 4, and LangChain's approximate count for messages); what
            `create_mhm_agent` takes; or a function from messages to tokens, as `SummarizationMiddleware`
            takes it.
        model: The chat model, for `"model"`.

    Returns:
        The counters.

    Raises:
        SettingsError: It does not count.

    Example:
        >>> resolve_counters(count_tokens_approximately).text("Call me Ishmael.")
        8
    """
    if counter is None:
        return Counters(utf8_tokens, count_tokens_approximately)
    if callable(counter) and _counts_messages(counter):
        return Counters(lambda text: counter([HumanMessage(text)]) if text else 0, counter)
    text = resolve_counter(counter, model)
    each = 3  # tokens that a message costs besides its text, as LangChain assumes
    return Counters(text, lambda messages: sum(text(_whole(message)) + each for message in messages))


def _counts_messages(counter: Callable[[Any], Any]) -> bool:
    """Whether a function counts the text in messages. One that counts list items would not see it grow."""
    try:
        short, long = (counter([HumanMessage("word " * words)]) for words in (1, 100))
    except Exception:  # it takes a text, or is the caller's own and broken: resolve_counter tells
        return False
    return isinstance(short, int) and isinstance(long, int) and short < long


def _whole(message: BaseMessage) -> str:
    calls = repr(message.tool_calls) if isinstance(message, AIMessage) and message.tool_calls else ""
    return f"{message.text}{calls}"


@dataclass(frozen=True)
class Trigger:
    """When to read: any clause whose sizes are all reached.

    Args:
        clauses: Sizes by kind (`"tokens"`, `"messages"`); none: never.
    """

    clauses: tuple[Mapping[str, int], ...]

    def fires(self, tokens: int, messages: int) -> bool:
        """Whether a conversation of this size is to be read.

        Example:
            >>> Trigger(({"tokens": 4000, "messages": 10},)).fires(5000, 9)
            False
        """
        sizes = {"tokens": tokens, "messages": messages}
        return any(all(sizes[kind] >= size for kind, size in clause.items()) for clause in self.clauses)


@dataclass(frozen=True)
class Keep:
    """How much of the conversation stays.

    Args:
        kind: `"tokens"` or `"messages"`.
        size: How many, at most of tokens and at least of messages.
    """

    kind: str
    size: int


def resolve_trigger(trigger: Any, window: int | None) -> Trigger:
    """From the forms that `SummarizationMiddleware` takes to a trigger.

    Args:
        trigger: `("tokens", 8000)`, `("messages", 50)`, `("fraction", 0.8)`; a dict of several that must
            all be reached; a list of such of which one must be; None: never.
        window: The model's window in tokens, None where it is not known.

    Returns:
        The trigger.

    Raises:
        SettingsError: It is none of these, or a fraction of a window that is not known.

    Example:
        >>> resolve_trigger([("messages", 50), {"fraction": 0.5, "messages": 10}], window=1000).clauses
        ({'messages': 50}, {'tokens': 500, 'messages': 10})
    """
    if trigger is None:
        return Trigger(())
    given = trigger if isinstance(trigger, list) else [trigger]
    clauses = [clause.items() if isinstance(clause, Mapping) else [clause] for clause in given]
    return Trigger(
        tuple(dict(_size("trigger", size, window) for size in clause) for clause in clauses if clause)
    )


def resolve_keep(keep: Any, window: int | None) -> Keep:
    """From the forms that `SummarizationMiddleware` takes to what is kept.

    Args:
        keep: `("messages", 20)`, `("tokens", 3000)` or `("fraction", 0.3)`.
        window: The model's window in tokens, None where it is not known.

    Returns:
        What is kept.

    Raises:
        SettingsError: It is none of these, or a fraction of a window that is not known.
    """
    return Keep(*_size("keep", keep, window))


def _size(name: str, size: Any, window: int | None) -> tuple[str, int]:
    """One size, its fraction turned into tokens."""
    pair = tuple(size) if isinstance(size, tuple | list) else ()
    kind, value = pair if len(pair) == 2 else (None, None)
    if kind not in _KINDS or isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(
            f"{name}={shown(size)} is not allowed: pass ('tokens', 8000), ('messages', 50) or "
            "('fraction', 0.8)" + (", a dict of several, or a list." if name == "trigger" else ".")
        )
    if kind == "fraction":
        if not 0 < value <= 1:
            raise SettingsError(f"{name}={shown(size)} is not allowed: a fraction lies above 0, up to 1.")
        if window is None:
            raise SettingsError(
                f"{name}={shown(size)} needs a model whose window is known: name tokens or messages, or give "
                "the chat model profile={'max_input_tokens': ...}."
            )
        return "tokens", max(1, int(window * value))
    if value != int(value) or value < 1:
        raise SettingsError(f"{name}={shown(size)} is not allowed: a whole number from 1 on is needed.")
    return kind, int(value)


def kept_from(sizes: Sequence[int], keep: Keep) -> int:
    """Index of the first message to keep; the last message always is.

    Args:
        sizes: Tokens of each message.
        keep: How much to keep.

    Returns:
        The index.

    Example:
        >>> kept_from([5, 5, 5, 5], Keep("tokens", 12)), kept_from([5, 5, 5, 5], Keep("messages", 3))
        (2, 1)
    """
    if keep.kind == "messages":
        return max(0, len(sizes) - keep.size)
    kept, first = 0, len(sizes)
    while first > 0 and kept + sizes[first - 1] <= keep.size:
        first -= 1
        kept += sizes[first]
    return max(0, min(first, len(sizes) - 1))


def prompt_tokens(
    messages: Sequence[BaseMessage], count: MessageCounter, heads: int, mark: str | None
) -> int:
    """Size of the prompt that the agent's model would get, in tokens.

    The larger of what is counted here and of what the model itself has reported with its last message,
    which knows of the system message and the tools too.

    Args:
        messages: The conversation.
        count: The message counter.
        heads: Size of the heads, in tokens.
        mark: Id of the newest message at the last reading. What was reported up to there tells of a
            longer conversation than is left.

    Returns:
        Tokens.
    """
    counted = heads + count(messages)
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if mark is not None and message.id == mark:
            break
        if isinstance(message, AIMessage) and message.usage_metadata:
            rest = messages[index + 1 :]
            reported = message.usage_metadata["total_tokens"] + (count(rest) if rest else 0)
            return max(counted, reported)
    return counted
