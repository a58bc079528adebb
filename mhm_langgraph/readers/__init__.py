"""Readers: a chat model with prompts, or the offline extractive reader, behind one protocol."""

from mhm_langgraph.readers.base import (
    AnswerRequest,
    Load,
    Patience,
    Pick,
    PickRequest,
    Reader,
    Reply,
    UpdateRequest,
)
from mhm_langgraph.readers.chat import ChatReader
from mhm_langgraph.readers.models import resolve_reader
from mhm_langgraph.readers.prompts import COMPACT, DOCUMENT_FIRST, STANDARD, Prompts

__all__ = [
    "COMPACT",
    "DOCUMENT_FIRST",
    "STANDARD",
    "AnswerRequest",
    "ChatReader",
    "Load",
    "Patience",
    "Pick",
    "PickRequest",
    "Prompts",
    "Reader",
    "Reply",
    "UpdateRequest",
    "resolve_reader",
]
