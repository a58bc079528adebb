"""Writes the words that make no name where a capital is grammar's: `python -m benchmarks.common_words`."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections import Counter
from pathlib import Path

import mhm_langgraph.grounding
from benchmarks.rewrites import passages
from mhm_langgraph.grounding.words import plain, stem

__all__ = ["common_stems"]

_LEAST = 5  # occurrences in lower case
_HEADER = (
    "# Stems (Snowball, English) of words that stand in lower case at least 5 times, and at least twice as\n"
    "# often as with a capital inside a sentence, in three novels, HotpotQA's paragraphs and bAbI stories.\n"
    "# Written by benchmarks/common_words.py.\n"
)


def common_stems(texts: list[str]) -> list[str]:
    """Stems of the words that texts write small, in order."""
    small: Counter[str] = Counter()
    tall: Counter[str] = Counter()
    for text in map(plain, texts):
        small.update(stem(word) for word in re.findall(r"(?<![\w'])[a-z]{2,}(?!\w)", text))
        tall.update(stem(word.lower()) for word in re.findall(r"(?<=[a-z,] )[A-Z][a-z]+(?!\w)", text))
    return sorted(word for word, count in small.items() if count >= max(_LEAST, 2 * tall[word]))


def main() -> None:
    """Write the list beside the grounding rules."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.common_words", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with books, paragraphs and bAbI")
    texts = [passage.text for passage in passages(parser.parse_args().data, 1_000_000)]
    path = Path(mhm_langgraph.grounding.__file__).parent / "common_words.txt"
    path.write_text(_HEADER + textwrap.fill(" ".join(common_stems(texts)), 110) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
