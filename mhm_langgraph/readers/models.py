"""From what a caller names as the model to a reader."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import Any

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from mhm_langgraph.errors import SettingsError, redact
from mhm_langgraph.readers.base import Patience, Reader
from mhm_langgraph.readers.causes import safe_cause, told
from mhm_langgraph.readers.chat import ChatReader

__all__ = ["resolve_reader"]


def resolve_reader(
    model: Any,
    base_url: str | None = None,
    call_timeout: float = Patience.call_timeout,
) -> Reader:
    """Turn a model into a reader.

    Args:
        model: `"extractive"`, `"local"`, `"provider:model"`, a chat model, or a reader.
        base_url: Address of an OpenAI-compatible server, for `"openai:..."`.
        call_timeout: Seconds that a call may take, for a model that is built here from its name. Its
            client does not retry: the reader does.

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
    if base_url is not None and not (isinstance(base_url, str) and re.match("(?i)https?://.", base_url)):
        raise SettingsError(
            f"base_url={redact(repr(base_url))} is not allowed: it starts with http:// or https://, such as "
            "'http://localhost:8080/v1'."
        )
    if isinstance(model, BaseChatModel):
        return ChatReader(model)
    if isinstance(model, str):
        return _named(model, base_url, call_timeout)
    if isinstance(model, Reader) and not isinstance(model, type):
        return model
    raise SettingsError(
        f"model={redact(repr(model)):.80} is not allowed: pass 'extractive', 'local', 'provider:model' "
        "such as 'openai:gpt-4.1-mini', a LangChain chat model, or a Reader."
    )


def _named(model: str, base_url: str | None, call_timeout: float) -> Reader:
    if model == "extractive":
        # numpy comes with it: only those who use it wait for it
        from mhm_langgraph.readers.extractive import ExtractiveReader

        return ExtractiveReader()
    if model == "local":
        return _local(call_timeout)
    provider, _, name = model.partition(":")
    if not (provider and name):
        raise SettingsError(
            f"model={redact(repr(model))} is not allowed: write 'extractive', 'local' or 'provider:model', "
            "such as 'openai:gpt-4.1-mini'."
        )
    if provider == "openai":
        return ChatReader(_openai(name, base_url, call_timeout), ours=True)
    return ChatReader(_other(model, call_timeout))


def _openai(name: str, base_url: str | None, call_timeout: float) -> BaseChatModel:
    from langchain_openai import ChatOpenAI  # slow to import

    options: dict[str, Any] = {"model": name, "timeout": call_timeout, "max_retries": 0}
    if base_url is not None:
        # A server of one's own asks for no key, yet the client insists on one.
        options |= {"base_url": base_url, "api_key": os.environ.get("OPENAI_API_KEY") or "none"}
    try:
        return ChatOpenAI(**options)
    except Exception as error:
        raise _not_set_up(f"openai:{name}", error) from safe_cause(error)


def _local(call_timeout: float) -> Reader:
    """The small model on this machine; its server is this process's own and starts now."""
    from langchain_openai import ChatOpenAI

    from mhm_langgraph.local import shared_server

    server = shared_server()
    model = ChatOpenAI(
        model=server.model,
        base_url=server.base_url,
        api_key=SecretStr("none"),
        timeout=call_timeout,
        max_retries=0,
        profile={"max_input_tokens": server.window},
        custom_get_token_ids=server.tokenize,
    )
    return ChatReader(model, ours=True, preset="compact")


def _other(model: str, call_timeout: float) -> BaseChatModel:
    if find_spec("langchain") is None:
        raise SettingsError(
            f"model={model!r} needs the langchain package and the provider's own: "
            'pip install "mhm-langgraph[providers]", then for example langchain-anthropic.'
        )
    from langchain.chat_models import init_chat_model

    try:
        try:
            return init_chat_model(model, timeout=call_timeout, max_retries=0)
        except (TypeError, ValueError):  # some providers' models know no such options
            return init_chat_model(model)
    except Exception as error:
        raise _not_set_up(model, error) from safe_cause(error)


def _not_set_up(model: str, error: Exception) -> SettingsError:
    return SettingsError(f"model={model!r} could not be set up: {told(error)}.")
