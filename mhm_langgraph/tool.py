"""create_document_tool: long documents as a tool that an agent can call."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field, create_model

from mhm_langgraph.agent import create_mhm_agent
from mhm_langgraph.errors import MHMError, SettingsError
from mhm_langgraph.graph import MHMGraph
from mhm_langgraph.readers import Reader

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

__all__ = ["create_document_tool"]

logger = logging.getLogger(__name__)

_DESCRIPTION = (
    "Read a whole document, whatever its length, with a question in mind, and get the answer. Every call "
    "reads the document from its start, so ask for all that you need at once."
)


def create_document_tool(
    model: str | BaseChatModel | Reader | MHMGraph,
    *,
    name: str = "read_document",
    description: str | None = None,
    sources: Any = None,
    **settings: Any,
) -> BaseTool:
    """A tool with which an agent reads documents that do not fit its own window.

    Every call reads with a memory of its own: what is kept depends on the question. Inside an agent with
    a checkpointer the reading is stored with the agent's run, so that a run that broke off goes on in
    the middle of the document.

    Args:
        model: What reads, as for `create_mhm_agent`; or a graph that it made.
        name: The tool's name.
        description: What the agent's model is told of it.
        sources: What a call may read, as for `create_mhm_agent`. The agent's model chooses the source:
            name a folder or a mapping, unless it may read every file that this process can.
        **settings: Further settings of `create_mhm_agent`.

    Returns:
        A LangChain tool with the arguments `source` and `question`. It returns the answer and the spans
        that the memory was written from; as the message's artifact the `answer`, `heads`, `step` and
        `usage`. What the package raises on purpose becomes a message with status "error".

    Raises:
        SettingsError: A setting is wrong, or comes with a graph, which has its own; or there is a
            checkpointer.

    Example:
        >>> tool = create_document_tool("extractive", sources={"log": ["Ahab lost a leg. It rained."]})
        >>> print(tool.invoke({"source": "log", "question": "What did Ahab lose?"}))
        “Ahab lost a leg.”
        <BLANKLINE>
        (log was read in 1 step; its memory was last written from the spans [0, 27].)
    """
    from langchain_core.tools import StructuredTool, ToolException  # slow to import

    graph = _graph(model, sources, settings)

    def read(source: str, question: str) -> tuple[str, Any]:
        try:
            return _told(source, graph.invoke({"question": question, "source": source}))
        except MHMError as error:
            raise ToolException(str(error)) from error

    async def aread(source: str, question: str) -> tuple[str, Any]:
        try:
            return _told(source, await graph.ainvoke({"question": question, "source": source}))
        except MHMError as error:
            raise ToolException(str(error)) from error

    return StructuredTool.from_function(
        read,
        aread,
        name=name,
        description=description or _DESCRIPTION,
        args_schema=_arguments(name, sources),
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _graph(model: Any, sources: Any, settings: dict[str, Any]) -> MHMGraph:
    """The graph that reads: the one given, or a new one."""
    if isinstance(model, MHMGraph):
        if named := ", ".join(sorted([*settings, *(["sources"] if sources is not None else [])])):
            raise SettingsError(f"{named} can not go with a graph: give it to create_mhm_agent.")
        graph = model
    else:
        graph = create_mhm_agent(model, sources=sources, **settings)
        if sources is None:
            logger.warning(
                "create_document_tool was given no sources: the agent's model may name any file that this "
                "process can read. Name a folder or a mapping."
            )
    if graph.checkpointer not in (None, False):
        raise SettingsError(
            "A checkpointer is not allowed here: every call of the tool reads with a memory of its own, "
            "which the agent's checkpointer stores (checkpointer=False: nothing is stored)."
        )
    return graph


def _arguments(name: str, sources: Any) -> type[BaseModel]:
    """The tool's arguments, described for the agent's model."""
    known = ", ".join(map(repr, sources)) if isinstance(sources, Mapping) else ""
    source = "Name of the document" + (f", one of {known}." if known else ", for example a file's path.")
    return create_model(
        name,
        source=(str, Field(description=source)),
        question=(str, Field(description="What to find out from the document, in one full sentence.")),
    )


def _told(source: str, out: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What the agent's model reads, and what its programmer gets."""
    spans = ", ".join(str(span) for span in sorted(head["span"] for head in out["heads"] if head["span"]))
    steps = f"{out['step']} step{'s' if out['step'] != 1 else ''}"
    memory = f"its memory was last written from the spans {spans}" if spans else "nothing of it was kept"
    return f"{out['answer']}\n\n({source} was read in {steps}; {memory}.)", out
