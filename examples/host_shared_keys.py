"""The memory as a node of a graph that shares its keys: question, source, answer, heads.

Run: python examples/host_shared_keys.py
"""

from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from mhm_langgraph import Head, create_mhm_agent

BOOK = Path(__file__).parent / "books" / "moby_dick.txt.gz"


class Host(TypedDict, total=False):
    """The memory reads the first two keys and writes the next two; the last is the host's own."""

    question: str
    source: str
    answer: str
    heads: list[Head]
    report: str


def cite(state: Host) -> dict[str, str]:
    """The answer, and where in the book its memory was last written from."""
    spans = ", ".join(str(head["span"]) for head in state["heads"])
    return {"report": f"{state['answer']}\nMemory was last written from bytes {spans}."}


def main() -> None:
    """Read a novel inside another graph."""
    memory = create_mhm_agent("extractive", head_tokens=256, chunk_tokens=20_000, sources=BOOK.parent)
    builder = StateGraph(Host)
    builder.add_node("memory", memory)
    builder.add_node("cite", cite)
    builder.add_edge(START, "memory")
    builder.add_edge("memory", "cite")
    builder.add_edge("cite", END)
    host = builder.compile()

    given: Any = {"question": "Who is the chief mate of the Pequod?", "source": BOOK.name}
    print(host.invoke(given)["report"])


if __name__ == "__main__":
    main()
