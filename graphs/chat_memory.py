"""A chat with a memory of heads, for Studio and `langgraph dev`, set up from the environment.

MHM_MODEL: the model, as `create_mhm_agent` takes it, such as `openai:gpt-4.1-mini`; it talks and it keeps the
memory. Not set: a model and a reader that quote, which need no key and no network.
MHM_BASE_URL: address of an OpenAI-compatible server, for `openai:NAME`.

The memory is read into early, after 12 messages, so that a short chat shows it at work.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel

from mhm_langgraph import Reader
from mhm_langgraph.chat import QuotingChatModel, QuotingReader
from mhm_langgraph.middleware import MultiHeadMemoryMiddleware
from mhm_langgraph.readers import ChatReader, resolve_reader

logger = logging.getLogger("mhm_langgraph.chat_memory")


def from_environment(environment: Mapping[str, str]) -> Any:
    """The agent that these variables describe.

    Args:
        environment: Variables by name; an empty one counts as not set.

    Returns:
        The agent, without a checkpointer: the server brings its own.

    Raises:
        SettingsError: A variable is wrong.
    """
    name = environment.get("MHM_MODEL")
    reader = resolve_reader(name, environment.get("MHM_BASE_URL") or None) if name else QuotingReader()
    memory = MultiHeadMemoryMiddleware(
        reader,
        trigger=[("messages", 12), ("tokens", 4000)],
        keep=("messages", 6),
        chunk_tokens=4000,
    )
    return create_agent(_chat_model(reader), middleware=[memory], name="chat_memory")


def _chat_model(reader: Reader) -> BaseChatModel:
    """The model that talks: the one that keeps the memory, or a stand-in."""
    if isinstance(reader, ChatReader):
        return reader.model
    logger.warning(
        "No model is configured: chat_memory answers with the offline model, which quotes what was said "
        "and is not a language model. Set MHM_MODEL, for example to openai:gpt-4.1-mini."
    )
    return QuotingChatModel()


graph = from_environment(os.environ)
