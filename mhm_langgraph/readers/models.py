"""From what a caller names as the model to a reader."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from langchain_core.language_models import BaseChatModel

from mhm_langgraph.errors import SettingsError
from mhm_langgraph.readers.base import Reader
from mhm_langgraph.readers.chat import ChatReader

__all__ = ["resolve_reader"]


def resolve_reader(model: Any, base_url: str | None = None) -> Reader:
    """Turn a model into a reader.

    Args:
        model: `"extractive"`, `"provider:model"`, a chat model, or a reader.
        base_url: Address of an OpenAI-compatible server, for `"openai:..."`.

    Returns:
        The reader.

    Raises:
        SettingsError: The model is none of these, or its package or key is missing.

    Example:
        >>> resolve_reader("extractive").description
        'extractive: quotes sentences found by BM25; it is not a language model'
    """
    if base_url is not None and not (isinstance(model, str) and model.startswith("openai:")):
        raise SettingsError("base_url goes with model='openai:NAME' only; a chat model object has its own.")
    if isinstance(model, BaseChatModel):
        return ChatReader(model)
    if isinstance(model, str):
        return _named(model, base_url)
    if isinstance(model, Reader):
        return model
    raise SettingsError(
        f"model={model!r:.80} is not allowed: pass 'extractive', 'provider:model' such as "
        "'openai:gpt-4.1-mini', a LangChain chat model, or a Reader."
    )


def _named(model: str, base_url: str | None) -> Reader:
    if model == "extractive":
        # numpy comes with it: only those who use it wait for it
        from mhm_langgraph.readers.extractive import ExtractiveReader

        return ExtractiveReader()
    provider, _, name = model.partition(":")
    if not (provider and name):
        raise SettingsError(
            f"model={model!r} is not allowed: write 'extractive' or 'provider:model', such as "
            "'openai:gpt-4.1-mini'."
        )
    return ChatReader(_openai(name, base_url) if provider == "openai" else _other(model))


def _openai(name: str, base_url: str | None) -> BaseChatModel:
    from langchain_openai import ChatOpenAI  # slow to import

    options: dict[str, Any] = {"model": name}
    if base_url is not None:
        # A server of one's own asks for no key, yet the client insists on one.
        options |= {"base_url": base_url, "api_key": os.environ.get("OPENAI_API_KEY") or "none"}
    try:
        return ChatOpenAI(**options)
    except Exception as error:
        raise SettingsError(f"model='openai:{name}' could not be set up: {error}") from error


def _other(model: str) -> BaseChatModel:
    if find_spec("langchain") is None:
        raise SettingsError(
            f"model={model!r} needs the langchain package and the provider's own: "
            'pip install "mhm-langgraph[providers]", then for example langchain-anthropic.'
        )
    from langchain.chat_models import init_chat_model

    try:
        return init_chat_model(model)
    except Exception as error:
        raise SettingsError(f"model={model!r} could not be set up: {error}") from error
