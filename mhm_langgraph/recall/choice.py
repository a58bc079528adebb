"""Which overwritten texts are shown again: those that bear most on the question and say something new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NotRequired

from typing_extensions import TypedDict

from mhm_langgraph.errors import SettingsError
from mhm_langgraph.recall.archive import Entry
from mhm_langgraph.recall.ranking import Ranking
from mhm_langgraph.text import sentences, trim
from mhm_langgraph.tokens import TokenCounter

__all__ = ["Recalled", "choose"]

_LOOKED_AT = 8  # candidates ranked anew, for each text that may be chosen


class Recalled(TypedDict):
    """A text that was overwritten and is shown again: of its sentences, those that are nowhere else."""

    text: str
    head: int
    step: int
    span: list[int] | None
    source: str | None
    unsupported: NotRequired[list[str]]
    """Sentences of the text that it was taken from which the text read did not support, if there are any."""


def choose(
    question: str,
    memory: Iterable[str],
    past: Sequence[Entry],
    *,
    number: int,
    tokens: int,
    count: TokenCounter,
    rank: Ranking,
) -> list[Recalled]:
    """The overwritten texts that bear most on a question.

    A head's versions follow each other in the archive with most of their sentences in common. So a
    sentence that is in memory, or in a text chosen before, does not count and is not shown again.

    Args:
        question: What is asked.
        memory: The texts of the heads.
        past: What they held before, the latest first.
        number: How many texts at most.
        tokens: Size of them together, in tokens.
        count: The token counter.
        rank: Scores texts by the question.

    Returns:
        The chosen ones, the best first.

    Example:
        >>> from mhm_langgraph.recall.ranking import bm25_scores
        >>> past = [{"text": text, "head": 0, "step": 0, "span": None, "source": None, "before": None}
        ...         for text in ("Ahab lost a leg. It rained.", "Ahab lost a leg.", "Pip lost his wits.")]
        >>> [found["text"] for found in choose("Who lost what?", ["It rained."], past,
        ...     number=2, tokens=99, count=len, rank=bm25_scores)]
        ['Ahab lost a leg.', 'Pip lost his wits.']
    """
    known = {key for text in memory for key, _ in _sentences(text)}
    candidates, chosen = list(past), list[Recalled]()
    while len(chosen) < number and tokens > 0:
        candidates, parts = _new(candidates, known)
        order = _order(question, parts, rank)[: _LOOKED_AT * number]
        candidates, parts = [candidates[i] for i in order], [parts[i] for i in order]
        if not candidates:
            break
        if text := _fitting(question, parts[0], tokens, count, rank):
            chosen.append(_recalled(text, candidates[0]))
            tokens -= count(text)
        known.update(key for key, _ in _sentences(parts[0]))
    return chosen


def _recalled(text: str, entry: Entry) -> Recalled:
    found = Recalled(
        text=text, head=entry["head"], step=entry["step"], span=entry["span"], source=entry["source"]
    )
    if unsupported := entry.get("unsupported"):
        found["unsupported"] = unsupported
    return found


def _new(entries: Sequence[Entry], known: set[str]) -> tuple[list[Entry], list[str]]:
    """The entries that hold a sentence not yet known, and what is new in each."""
    found = [(entry, _unknown(entry["text"], known)) for entry in entries]
    return [entry for entry, part in found if part], [part for _, part in found if part]


def _unknown(text: str, known: set[str]) -> str:
    """The text without the sentences that are known: itself where there are none."""
    every = _sentences(text)
    kept = [sentence for key, sentence in every if key and key not in known]
    return text.strip() if len(kept) == len(every) else "".join(kept).strip()


def _order(question: str, texts: Sequence[str], rank: Ranking) -> list[int]:
    """Indices of the texts that bear on the question, the best first."""
    if not texts:
        return []
    scores = rank(question, texts)
    if len(scores) != len(texts):
        raise SettingsError(
            f"recall_ranking gave {len(scores)} scores for {len(texts)} texts; one for each is needed."
        )
    return [i for i in sorted(range(len(texts)), key=lambda i: -scores[i]) if scores[i] > 0]


def _fitting(question: str, text: str, tokens: int, count: TokenCounter, rank: Ranking) -> str:
    """The text, or the best of its sentences that fit, in their order."""
    if count(text) <= tokens:
        return text
    parts = [sentence for _, sentence in _sentences(text)]
    kept: list[int] = []
    for index in _order(question, parts, rank):
        if count("".join(parts[i] for i in sorted([*kept, index])).strip()) <= tokens:
            kept.append(index)
    return "".join(parts[i] for i in sorted(kept)).strip() or trim(text, tokens, count)


@lru_cache(maxsize=4096)
def _sentences(text: str) -> tuple[tuple[str, str], ...]:
    """Sentences with what follows them, each after what makes two the same; a line ends one too."""
    found = (sentence for line in text.splitlines(keepends=True) for sentence in sentences(line))
    return tuple((" ".join(sentence.casefold().split()), sentence) for sentence in found)
