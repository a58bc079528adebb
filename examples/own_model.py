"""Bring your own model: a chat model, a server of your own, or a reader in a few lines.

Run: python examples/own_model.py                         (a reader of our own, offline)
     python examples/own_model.py openai:gpt-4.1-mini     (needs OPENAI_API_KEY)
     python examples/own_model.py openai:qwen http://127.0.0.1:8000/v1     (your own server)
"""

import sys
from pathlib import Path

from mhm_langgraph import Reader, Reply, create_mhm_agent
from mhm_langgraph.readers import AnswerRequest, UpdateRequest

BOOK = Path(__file__).parent / "books" / "moby_dick.txt.gz"


class Whaler(Reader):
    """Keeps every line that names the whale. A reader is two methods; the rest is inherited."""

    description = "keeps lines that name the whale"

    def update(self, request: UpdateRequest) -> Reply:
        """Old lines of the head and new ones of the chunk, the newest that fit."""
        lines = request.heads[request.head].splitlines() + request.chunk.splitlines()
        text = "\n".join(line.strip() for line in lines if "Moby Dick" in line)
        while request.count(text) > request.head_tokens:
            text = text.partition("\n")[2]
        return Reply(text=text)

    def answer(self, request: AnswerRequest) -> Reply:
        """How much it has kept."""
        lines = sum(len(text.splitlines()) for text in request.heads)
        return Reply(text=f"{lines} lines about the whale are in memory.")


def main() -> None:
    """Read with the model of the command line, or with the reader above."""
    model = sys.argv[1] if len(sys.argv) > 1 else Whaler()
    base_url = sys.argv[2] if len(sys.argv) > 2 else None
    graph = create_mhm_agent(model, base_url=base_url, head_tokens=256, sources=BOOK.parent)
    result = graph.invoke({"question": "What does the whale look like?", "source": BOOK.name})
    print(result["answer"])


if __name__ == "__main__":
    main()
