"""Token counters: from text to a number of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel

from mhm_langgraph.errors import SettingsError

__all__ = ["TokenCounter", "resolve_counter", "utf8_tokens"]

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


def resolve_counter(counter: Any, model: Any = None) -> TokenCounter:
    """Turn what a caller may name into a token counter.

    Args:
        counter: None (UTF-8 bytes / 4); `"tiktoken"` or `"tiktoken:ENCODING"`; `"model"`, the chat
            model's own; a tokenizer object with `encode` (Hugging Face); or any callable.
        model: The chat model, for `"model"`.

    Returns:
        A function from text to tokens.

    Raises:
        SettingsError: The counter is none of these, or its package or model is missing.

    Example:
        >>> resolve_counter(lambda text: len(text.split()))("three small words")
        3
    """
    if counter is None:
        return utf8_tokens
    if counter == "model":
        if not isinstance(model, BaseChatModel):
            raise SettingsError(
                "token_counter='model' needs a chat model, which can count; this reader has none."
            )
        return model.get_num_tokens
    if isinstance(counter, str):
        return _tiktoken_counter(counter)
    if callable(encode := getattr(counter, "encode", None)):
        return lambda text: len(encode(text))
    if callable(counter):
        return counter  # type: ignore[no-any-return]  # checked at the first call, by use
    raise SettingsError(
        f"token_counter={counter!r} is not allowed: pass None, 'tiktoken', 'tiktoken:ENCODING', "
        "'model', a tokenizer with encode(text), or a function from text to tokens."
    )


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
