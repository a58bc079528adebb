"""What a server that caches prompts need not read again: `python -m benchmarks.prompt_cache`.

Such a server keeps what it computed of a prompt and uses it for the next that begins with the same tokens.
Counted here is how much of each update prompt stood at the beginning of an earlier one, by the prompts that
a chat model is sent in the real graph, heads full. No model is called, and nothing is timed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.common import HEAD_TOKENS, HEADS, full_text, prose
from benchmarks.table import conditions, progress
from mhm_langgraph import create_mhm_agent
from mhm_langgraph.readers.prompts import PRESETS
from mhm_langgraph.testing import ScriptedChatModel
from mhm_langgraph.tokens import utf8_tokens

__all__ = ["Line", "common", "line_of", "page", "prompts_of"]

_RESULTS = Path(__file__).resolve().parent / "results"
_CHUNK_TOKENS = 5000
_LEAST = 1024  # tokens: shorter beginnings are not cached by every server
_ASKED = ("Ahab", "Starbuck", "Queequeg", "Pip", "Stubb", "Fedallah", "Flask", "Elijah")


@dataclass(frozen=True)
class Line:
    """One line of the table; tokens are means over the update prompts after the heads were filled.

    Args:
        questions: How many questions the text is read for, chunk by chunk side by side.
        heads: Number of heads, of the same size together.
        prompts: The preset.
        tokens: Tokens of a prompt.
        again: Of them, those that began an earlier prompt.
        long: The same, where it is no fewer than 1,024.
    """

    questions: int
    heads: int
    prompts: str
    tokens: float
    again: float
    long: float


def common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def prompts_of(preset: str, heads: int, steps: int, number: int) -> list[str]:
    """The update prompts of one reading, in order.

    Args:
        preset: The prompts.
        heads: Number of heads.
        steps: How many chunks to read, about.
        number: Which of the questions; another one makes other heads.

    Returns:
        The prompts, each as one text.
    """
    size = HEADS * HEAD_TOKENS // heads
    model = ScriptedChatModel(
        replies=[full_text(size, 1 + step * len(_ASKED) + number) for step in range(steps)]
    )
    graph = create_mhm_agent(model, heads=heads, head_tokens=size, chunk_tokens=_CHUNK_TOKENS, prompts=preset)
    graph.invoke(
        {
            "question": f"{_ASKED[number]}: who is that, and what happened to him?",
            "document": prose(steps * _CHUNK_TOKENS * 4),
        }
    )
    return model.prompts[:-1]


def line_of(preset: str, heads: int, questions: int, steps: int) -> Line:
    """Count one line.

    Args:
        preset: The prompts.
        heads: Number of heads.
        questions: How many questions.
        steps: How many chunks to read, about.

    Returns:
        The line.
    """
    readings = [prompts_of(preset, heads, steps, number) for number in range(questions)]
    sent = [prompt for step in zip(*readings, strict=True) for prompt in step]
    filled = range(HEADS * questions, len(sent))
    again = [_again(sent[:index], sent[index]) for index in filled]
    return Line(
        questions=questions,
        heads=heads,
        prompts=preset,
        tokens=sum(utf8_tokens(sent[index]) for index in filled) / len(filled),
        again=sum(again) / len(filled),
        long=sum(tokens for tokens in again if tokens >= _LEAST) / len(filled),
    )


def _again(earlier: Sequence[str], prompt: str) -> int:
    """Tokens of the longest beginning that an earlier prompt had too."""
    return utf8_tokens(prompt[: max(common(one, prompt) for one in earlier)])


def page(lines: Sequence[Line], measured: dict[str, str]) -> str:
    """The results for people."""
    facts = "\n".join(f"- {key}: {value}" for key, value in measured.items())
    rows = "\n".join(
        f"| {line.questions} | {line.heads} | {line.prompts} | {line.tokens:,.0f} | "
        f"{line.again:,.0f} ({100 * line.again / line.tokens:.0f}%) | "
        f"{line.long:,.0f} ({100 * line.long / line.tokens:.0f}%) |"
        for line in lines
    )
    return (
        f"# Prompt cache: what is sent again\n\n{facts}\n"
        "- again: tokens of an update prompt that an earlier one began with, the most that a server can take "
        "from its cache\n"
        f"- long: the same, beginnings of fewer than {_LEAST:,} tokens left out\n"
        "- several questions are read side by side: each chunk for all of them before the next one\n\n"
        "| questions | heads | prompts | tokens a prompt | again | long |\n|---|---|---|---|---|---|\n"
        f"{rows}\n"
    )


def main() -> None:
    """Count, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--results", type=Path, default=_RESULTS)
    asked = parser.parse_args()
    lines = []
    for questions in (1, len(_ASKED)):
        for heads in (1, HEADS):
            for preset in PRESETS:
                progress(f"prompt cache: {questions} questions, {heads} heads, {preset}")
                lines.append(line_of(preset, heads, questions, asked.steps))
    measured = {
        **conditions(f"python -m benchmarks.prompt_cache --steps {asked.steps}"),
        "sizes": f"chunks of {_CHUNK_TOKENS:,} tokens, memory of {HEADS * HEAD_TOKENS:,} tokens, full; "
        "tokens are UTF-8 bytes / 4",
    }
    print(page(lines, measured))
    (asked.results / "prompt_cache.md").write_text(page(lines, measured), encoding="utf-8")
    found = {"measured": measured, "lines": [asdict(line) for line in lines]}
    (asked.results / "prompt_cache.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
