"""Read faster: four chunks at a time, nothing written where a chunk tells nothing, and no more than it takes.

Run: python examples/fast_reading.py
"""

from collections import Counter
from pathlib import Path

from mhm_langgraph import create_mhm_agent

BOOK = Path(__file__).parent / "books" / "moby_dick.txt.gz"


def main() -> None:
    """Tell what the gates have saved."""
    graph = create_mhm_agent(
        "extractive",
        head_tokens=256,
        chunk_tokens=1_000,
        parallel_heads=4,
        update_gate=True,
        exit_gate=True,
        sources=BOOK.parent,
    )
    given = {"question": "What did Ahab nail to the mast of the Pequod?", "source": BOOK.name}
    gates: Counter[str] = Counter()
    for event in graph.stream(given, stream_mode="custom"):
        if event["type"] == "head_updated":
            gates[event["gated"] or "update"] += 1
        else:
            print(event["answer"])
            print(f"\nchunks: {dict(gates)}")
            if event.get("exited"):
                print(f"read {event['read'] / event['total']:.0%} of the book")


if __name__ == "__main__":
    main()
