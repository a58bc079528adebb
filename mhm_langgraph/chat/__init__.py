"""Multi-head memory of a conversation, for any chat graph; for agents: `mhm_langgraph.middleware`."""

from mhm_langgraph.chat.node import MemorizedMessages, MemoryNode, amemorize_messages, memorize_messages
from mhm_langgraph.chat.offline import QuotingChatModel, QuotingReader
from mhm_langgraph.chat.prompts import CHAT, COMPACT_CHAT, memory_text, with_memory
from mhm_langgraph.chat.state import ChatMemory, MemoryState, write_memory

__all__ = [
    "CHAT",
    "COMPACT_CHAT",
    "ChatMemory",
    "MemorizedMessages",
    "MemoryNode",
    "MemoryState",
    "QuotingChatModel",
    "QuotingReader",
    "amemorize_messages",
    "memorize_messages",
    "memory_text",
    "with_memory",
    "write_memory",
]
