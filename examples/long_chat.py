"""A chat of 200 turns that stays small: its older messages are kept in a memory of heads.

Run: python examples/long_chat.py                         (offline: a model that quotes)
     python examples/long_chat.py openai:gpt-4.1-mini     (200 calls; needs OPENAI_API_KEY)
Needs the extra: pip install "mhm-langgraph[agents]"
"""

import gzip
import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from mhm_langgraph.chat import QuotingChatModel, QuotingReader
from mhm_langgraph.middleware import MultiHeadMemoryMiddleware
from mhm_langgraph.text import sentences

BOOK = Path(__file__).parent / "books" / "moby_dick.txt.gz"
TURNS = 200
SAID = {
    3: "My dog is called Argos.",
    20: "I live in Lisbon.",
    60: "My sister Ines plays the cello.",
    120: "I moved to Porto last week.",
}
ASKED = {
    50: "What is my dog called?",
    110: "Who plays the cello?",
    170: "Where did I move to last week?",
    199: "What is my dog called?",
}


def small_talk() -> list[str]:
    """Sentences of a novel, for everything in between; those of its narrator about himself are left out."""
    book = gzip.decompress(BOOK.read_bytes()).decode()
    found = (" ".join(sentence.split()) for sentence in sentences(book[20_000:200_000]))
    mine = {"i", "my", "me", "we", "our", "us"}
    return [
        sentence
        for sentence in found
        if 40 < len(sentence) < 200 and sentence.endswith(".") and mine.isdisjoint(sentence.lower().split())
    ]


def main() -> None:
    """Talk for 200 turns, and ask for what was said long before."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    memory = MultiHeadMemoryMiddleware(
        name or QuotingReader(), heads=4, head_tokens=512, trigger=("tokens", 1500), keep=("messages", 10)
    )
    agent = create_agent(name or QuotingChatModel(), middleware=[memory], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "long chat"}}
    talk = small_talk()
    for turn in range(TURNS):
        text = SAID.get(turn) or ASKED.get(turn) or talk[turn]
        given: Any = {"messages": [("user", text)]}
        state = agent.invoke(given, thread)
        if turn in SAID or turn in ASKED:
            print(f"turn {turn:3} user:      {text}")
        if turn in ASKED:
            print(f"         assistant: {state['messages'][-1].text}")
    held = agent.get_state(thread).values["chat_memory"]
    print(f"\n{len(state['messages'])} messages are shown, {held['read']} are in memory:")
    for number, head in enumerate(held["heads"]):
        print(f"head {number}: {head['tokens']} tokens, last written from messages {head['span']}")
    print(f"read in {held['step']} readings, {held['usage']['calls']} of them calls of a model")


if __name__ == "__main__":
    main()
