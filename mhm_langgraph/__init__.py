"""Multi-Head Recurrent Memory (MHM-LRU) as a LangGraph component."""

from mhm_langgraph.agent import create_mhm_agent
from mhm_langgraph.errors import (
    BudgetError,
    HeadError,
    MHMError,
    ReaderError,
    SettingsError,
    SourceError,
)
from mhm_langgraph.graph import MHMGraph
from mhm_langgraph.readers import COMPACT, DOCUMENT_FIRST, STANDARD, Prompts, Reader, Reply
from mhm_langgraph.selection import Choice, HeadSelector, Turn
from mhm_langgraph.settings import Settings
from mhm_langgraph.sources import Budget, Chunk, DocumentSource, Source
from mhm_langgraph.state import Exited, Head, MHMInput, MHMOutput, MHMState, Usage
from mhm_langgraph.tool import create_document_tool

__all__ = [
    "COMPACT",
    "DOCUMENT_FIRST",
    "STANDARD",
    "Budget",
    "BudgetError",
    "Choice",
    "Chunk",
    "DocumentSource",
    "Exited",
    "Head",
    "HeadError",
    "HeadSelector",
    "MHMError",
    "MHMGraph",
    "MHMInput",
    "MHMOutput",
    "MHMState",
    "Prompts",
    "Reader",
    "ReaderError",
    "Reply",
    "Settings",
    "SettingsError",
    "Source",
    "SourceError",
    "Turn",
    "Usage",
    "create_document_tool",
    "create_mhm_agent",
]
