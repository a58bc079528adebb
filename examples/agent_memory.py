"""An agent whose long conversation is kept in heads instead of one summary: one line changes.

Run: python examples/agent_memory.py                         (offline: a stand-in for a model)
     python examples/agent_memory.py openai:gpt-4.1-mini     (needs OPENAI_API_KEY)
Needs the extra: pip install "mhm-langgraph[agents]"
"""

import re
import sys
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.memory import InMemorySaver

from mhm_langgraph.middleware import MultiHeadMemoryMiddleware
from mhm_langgraph.testing import ScriptedChatModel

CHAT = [
    "My name is Ada and I live in Lisbon.",
    "I am allergic to nuts.",
    "I moved to Porto.",
    "I would like to have dinner by the river on Friday.",
    "We will be four.",
    "I would rather sit outside.",
    "Which table shall I book?",
]


def build(model: BaseChatModel, memory: Any) -> Any:
    """The agent: it is the same in both programs."""
    return create_agent(
        model,
        system_prompt="You find tables in restaurants.",
        middleware=[memory],
        checkpointer=InMemorySaver(),
    )


def main() -> None:
    """The same conversation with a summary, and with heads."""
    model = init_chat_model(sys.argv[1]) if len(sys.argv) > 1 else stand_in()

    before = SummarizationMiddleware(model, trigger=("messages", 6), keep=("messages", 2))
    after = MultiHeadMemoryMiddleware(model, trigger=("messages", 6), keep=("messages", 2))

    thread: Any = {"configurable": {"thread_id": "ada"}}
    for memory in (before, after):
        agent = build(model, memory)
        for text in CHAT:
            given: Any = {"messages": [("user", text)]}
            agent.invoke(given, thread)
        state = agent.get_state(thread).values
        print(f"\n== {type(memory).__name__}: the messages of the state")
        for message in state["messages"]:
            print(f"{message.type:6} {message.text[:200]!r}")
        for number, head in enumerate(state.get("chat_memory", {}).get("heads", [])):
            print(f"head {number} {head['text'][:200]!r}")


def stand_in() -> ScriptedChatModel:
    """No language model: asked to keep notes it copies what users say of themselves, else it nods."""

    def reply(prompt: str) -> str:
        if "<chunk>" not in prompt and "<messages>" not in prompt:
            return "I see."
        chunk = re.split(r"<chunk>|<messages>\n", prompt)[-1]
        return " ".join(re.findall(r"(?:My|I|We) (?!see)[^.<]+\.", chunk)) or "Nothing new."

    return ScriptedChatModel(replies=reply)


if __name__ == "__main__":
    main()
