"""The graph that Studio and `langgraph dev` load, set up from the environment.

MHM_MODEL: the model, as `create_mhm_agent` takes it, such as `openai:gpt-4.1-mini`. Not set: the extractive
reader, which needs no key and no network.
MHM_BASE_URL: address of an OpenAI-compatible server, for `openai:NAME`.
MHM_SOURCES: the one folder whose files a run's `source` may name. Not set: no file at all.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mhm_langgraph import MHMGraph, SettingsError, Source, SourceError, create_mhm_agent

logger = logging.getLogger("mhm_langgraph.document_qa")


def from_environment(environment: Mapping[str, str]) -> MHMGraph:
    """The graph that these variables describe.

    Args:
        environment: Variables by name; an empty one counts as not set.

    Returns:
        The graph, without a checkpointer: the server brings its own.

    Raises:
        SettingsError: A variable is wrong.
    """
    model = environment.get("MHM_MODEL") or "extractive"
    if model == "extractive":
        logger.warning(
            "No model is configured: document_qa reads with the extractive reader, which quotes sentences "
            "and is not a language model. Set MHM_MODEL, for example to openai:gpt-4.1-mini."
        )
    return create_mhm_agent(
        model,
        base_url=environment.get("MHM_BASE_URL") or None,
        sources=_sources(environment.get("MHM_SOURCES")),
        name="document_qa",
    )


def _sources(folder: str | None) -> Path | Callable[[str], Source]:
    """The folder, or an opener that refuses: those who send a path did not build this server."""
    if not folder:
        return _refuse
    if not Path(folder).is_dir():
        raise SettingsError(f"MHM_SOURCES={folder!r} is not allowed: name a folder that exists.")
    return Path(folder)


def _refuse(name: str) -> Source:
    raise SourceError(
        f"{name!r:.200} can not be read: this server has no folder of sources. Send the text as document, "
        "or start the server with MHM_SOURCES=FOLDER."
    )


graph = from_environment(os.environ)
