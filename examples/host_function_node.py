"""The memory inside a function node of a graph that has keys of its own, kept from run to run.

Run: python examples/host_function_node.py
"""

from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from mhm_langgraph import MHMInput, create_mhm_agent

BOOK = Path(__file__).parent / "books" / "moby_dick.txt.gz"

# checkpointer=True: the memory lives on in the host's thread, in its host's database.
memory = create_mhm_agent(
    "extractive", head_tokens=256, chunk_tokens=20_000, sources=BOOK.parent, checkpointer=True
)


class Case(TypedDict, total=False):
    """The host's own keys."""

    exhibit: str | None
    asked: str
    finding: str


def investigate(state: Case) -> dict[str, str]:
    """From the host's keys to the memory's, and back."""
    given: MHMInput = {"question": state["asked"]}
    if exhibit := state.get("exhibit"):
        given["source"] = exhibit
    result = memory.invoke(given)
    return {"finding": f"{result['answer']}  ({result['step']} steps so far)"}


def main() -> None:
    """Read a novel for one question, then answer another from memory."""
    builder = StateGraph(Case)
    builder.add_node("investigate", investigate)
    builder.add_edge(START, "investigate")
    builder.add_edge("investigate", END)
    host = builder.compile(checkpointer=InMemorySaver())

    thread: Any = {"configurable": {"thread_id": "case 1851"}}
    print(
        host.invoke({"asked": "Who is the chief mate of the Pequod?", "exhibit": BOOK.name}, thread)[
            "finding"
        ]
    )
    print(host.invoke({"asked": "Is Starbuck a Quaker?", "exhibit": None}, thread)["finding"])


if __name__ == "__main__":
    main()
