"""An agent that reads documents longer than its own window, with a tool.

Run: python examples/agent_tool.py                         (a scripted agent, offline)
     python examples/agent_tool.py openai:gpt-4.1-mini     (needs OPENAI_API_KEY)
Needs the extra: pip install "mhm-langgraph[agents]"
"""

import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage

from mhm_langgraph import create_document_tool
from mhm_langgraph.testing import ScriptedChatModel

BOOK = Path(__file__).parent / "books" / "moby_dick.txt.gz"
TASK = f"Read {BOOK.name} and tell me who the chief mate of the Pequod is."


def scripted() -> ScriptedChatModel:
    """An agent's model that calls the tool once and says that it is done."""
    args = {"source": BOOK.name, "question": "Who is the chief mate of the Pequod?"}
    call = {"name": "read_document", "args": args, "id": "1"}
    return ScriptedChatModel(replies=[AIMessage("", tool_calls=[call]), "That is what I found."])


def main() -> None:
    """Give an agent the tool, and let it work."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    tool = create_document_tool(name or "extractive", head_tokens=256, sources=BOOK.parent)
    agent = create_agent(name or scripted(), [tool])
    given: Any = {"messages": [("user", TASK)]}
    for message in agent.invoke(given)["messages"]:
        message.pretty_print()


if __name__ == "__main__":
    main()
