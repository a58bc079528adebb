"""Watch a run: one event after each rewritten head, and one with the answer.

Run: python examples/streaming.py
"""

from pathlib import Path

from mhm_langgraph import create_mhm_agent

BOOK = Path(__file__).parent / "books" / "moby_dick.txt.gz"


def main() -> None:
    """Print the progress of a run as it goes."""
    graph = create_mhm_agent("extractive", head_tokens=256, chunk_tokens=20_000, sources=BOOK.parent)
    given = {"question": "Who is the chief mate of the Pequod?", "source": BOOK.name}
    for event in graph.stream(given, stream_mode="custom"):
        if event["type"] == "head_updated":
            done = event["read"] / event["total"]
            print(f"{done:4.0%}  step {event['step']:2}  head {event['head']}  span {event['span']}")
        else:
            print(event["answer"])


if __name__ == "__main__":
    main()
