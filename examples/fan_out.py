"""Several texts read at the same time, each into a memory of its own.

Run: python examples/fan_out.py
"""

import gzip
import operator
from pathlib import Path
from typing import Annotated

from langgraph.graph import START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from mhm_langgraph import create_mhm_agent

BOOK = Path(__file__).parent / "books" / "moby_dick.txt.gz"
QUESTION = "What does Ahab say of the white whale?"


def parts(count: int) -> dict[str, list[str]]:
    """The novel in parts of the same length, by name: a state should hold names, not texts."""
    text = gzip.decompress(BOOK.read_bytes()).decode()
    size = -(-len(text) // count)
    return {f"part {n + 1}": [text[n * size : (n + 1) * size]] for n in range(count)}


LIBRARY = parts(3)
memory = create_mhm_agent("extractive", head_tokens=256, chunk_tokens=20_000, sources=LIBRARY)


class Reading(TypedDict, total=False):
    """What was found, and by whom: the reducer gathers it."""

    findings: Annotated[list[str], operator.add]


class Task(TypedDict):
    """What one task is told."""

    name: str


def read(state: Task) -> dict[str, list[str]]:
    """Read one text. Each call starts with an empty memory."""
    result = memory.invoke({"question": QUESTION, "source": state["name"]})
    return {"findings": [f"{state['name']}, {result['step']} steps: {result['answer']}"]}


def send_out(_: Reading) -> list[Send]:
    """One task a text."""
    return [Send("read", {"name": name}) for name in LIBRARY]


if __name__ == "__main__":
    builder = StateGraph(Reading)
    builder.add_node("read", read, input_schema=Task)
    builder.add_conditional_edges(START, send_out, ["read"])
    print("\n".join(builder.compile().invoke({"findings": []})["findings"]))
