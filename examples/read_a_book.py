"""Read a novel and answer a question about it: no key, no network.

Run: python examples/read_a_book.py
"""

from pathlib import Path

from mhm_langgraph import create_mhm_agent

BOOK = Path(__file__).parent / "books" / "moby_dick.txt.gz"


def main() -> None:
    """Ask one question of one book."""
    graph = create_mhm_agent("extractive", heads=4, head_tokens=256, sources=BOOK.parent)
    result = graph.invoke({"question": "Who is the chief mate of the Pequod?", "source": BOOK.name})

    print(result["answer"])
    for index, head in enumerate(result["heads"]):
        print(f"head {index}: last written at step {head['updated_at']} from {head['span']}")
    print(f"{result['step']} steps, {result['usage']['calls']} model calls")


if __name__ == "__main__":
    main()
