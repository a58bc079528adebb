"""Token counters: from text to a number of tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from langchain_core.language_models import BaseChatModel

from mhm_langgraph.errors import SettingsError, redact, shown

__all__ = ["TokenCounter", "counting", "resolve_counter", "utf8_tokens"]

Result = TypeVar("Result")

TokenCounter: TypeAlias = Callable[[str], int]
"""Counts the tokens of a text. Called on whole chunks, so it should be quick."""

_UTF8_BYTES_PER_TOKEN = 4


def utf8_tokens(text: str) -> int:
    """Count tokens as UTF-8 bytes / 4, rounded up. Needs no download.

    Close for English (about one byte a character) and for Chinese and Japanese (three), where
    characters / 4 would count a quarter of what a model sees.

    Args:
        text: Any text.

    Returns:
        Tokens; 0 for empty text only.

    Example:
        >>> utf8_tokens("Call me Ishmael."), utf8_tokens("叫我以实玛利吧。")
        (4, 6)
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _UTF8_BYTES_PER_TOKEN)


async def counting(count: TokenCounter, work: Callable[[], Result]) -> Result:
    """Do, in an event loop, work that counts tokens: the built-in counter is quick, others may block.

    Args:
        count: The token counter.
        work: What is to be done; in a thread, unless the counter is `utf8_tokens`.

    Returns:
        What it returned.

    Example:
        >>> asyncio.run(counting(utf8_tokens, lambda: utf8_tokens("Call me Ishmael.")))
        4
    """
    return work() if count is utf8_tokens else await asyncio.to_thread(work)


def resolve_counter(counter: Any, model: Any = None) -> TokenCounter:
    """Turn what a caller may name into a token counter.

    Args:
        counter: None (UTF-8 bytes / 4); `"tiktoken"` or `"tiktoken:ENCODING"`; `"model"`, the chat
            model's own; a tokenizer object with `encode` (Hugging Face); or any callable.
        model: The chat model, for `"model"`.

    Returns:
        A function from text to tokens.

    Raises:
        SettingsError: The counter is none of these, its package or model is missing, or it does not count.

    Example:
        >>> resolve_counter(lambda text: len(text.split()))("three small words")
        3
    """
    if counter is None:
        return utf8_tokens
    count = _find(counter, model)
    _try(count, counter)
    return count


def _find(counter: Any, model: Any) -> TokenCounter:
    """What is meant by a name or an object."""
    if counter == "model":
        if not isinstance(model, BaseChatModel):
            raise SettingsError(
                "token_counter='model' needs a chat model, which can count; this reader has none."
            )
        return model.get_num_tokens
    if isinstance(counter, str):
        return _tiktoken_counter(counter)
    # tiktoken's own encode refuses a text that holds a special token, such as <|endoftext|>.
    encode = getattr(counter, "encode_ordinary", None) or getattr(counter, "encode", None)
    if callable(encode):
        return lambda text: len(encode(text))
    if callable(counter):
        return counter  # type: ignore[no-any-return]  # tried before its use
    raise SettingsError(
        f"token_counter={shown(counter)} is not allowed: pass None, 'tiktoken', 'tiktoken:ENCODING', "
        "'model', a tokenizer with encode(text), or a function from text to tokens."
    )


def _try(count: TokenCounter, counter: object) -> None:
    """Count once: what does not count is found when the graph is built, not inside the loop."""
    name = f"token_counter={shown(counter)}"
    try:
        tokens: object = count("Call me Ishmael.")
    except Exception as error:
        raise SettingsError(
            f"{name} failed on a short text ({type(error).__name__}: {redact(str(error)):.200}); leave it "
            "out to count UTF-8 bytes / 4."
        ) from error
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        raise SettingsError(f"{name} gave {shown(tokens)} for a short text; give an integer, 0 or more.")


def _tiktoken_counter(name: str) -> TokenCounter:
    """`tiktoken` or `tiktoken:ENCODING`; the encoding's file is loaded now, not inside the loop."""
    kind, _, encoding_name = name.partition(":")
    if kind != "tiktoken":
        raise SettingsError(
            f"token_counter={name!r} is not known: use 'tiktoken', 'tiktoken:ENCODING' or 'model'."
        )
    import tiktoken  # comes with langchain-openai; slow to import, so only where it is asked for

    try:
        encoding = tiktoken.get_encoding(encoding_name or "o200k_base")
    except Exception as error:
        raise SettingsError(f"token_counter={name!r} could not be loaded: {error}") from error
    return lambda text: len(encoding.encode_ordinary(text))
