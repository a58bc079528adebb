"""The extractive reader: no model, no key, deterministic. It keeps and quotes sentences."""

from __future__ import annotations

from collections.abc import Sequence

from mhm_langgraph.readers.base import (
    AnswerRequest,
    Pick,
    PickRequest,
    Reader,
    Reply,
    UpdateRequest,
)
from mhm_langgraph.recall.ranking import bm25_scores, stems
from mhm_langgraph.text import sentences, trim
from mhm_langgraph.tokens import TokenCounter

__all__ = ["ExtractiveReader"]

_QUOTED = 3  # sentences an answer quotes at most
_NEAR_BEST = 0.8  # share of the best sentence's score that a further one needs to be quoted
# Shares of the question's words, measured on multi-hop questions (docs/beyond.md): under the first, 9 of
# 10 chunks without evidence are skipped, and 1 of 16 with; from the second on, what was not read changed no
# answer, and 1 of 50 gold answers was not yet in memory. At 0.8 it was 1 of 11: what is not read is lost.
_BEARS = 0.2  # in a chunk's best sentence, for the chunk to bear on the question
_SUFFICES = 0.9  # in the sentences an answer may quote, for memory to suffice
_FEW_WORDS = 3  # a question of fewer words is covered by any mention of what it asks about


class ExtractiveReader(Reader):
    """Keeps the sentences that bear most on the question (BM25), and answers by quoting them.

    Not a language model: it finds words, it does not understand. It serves to try the loop, to test
    it, and as a baseline, with no key and no network.

    Example:
        >>> ExtractiveReader().update(UpdateRequest(
        ...     question="Who took Ahab's leg?", heads=[""], head=0, head_tokens=12,
        ...     chunk="It was a fair day. The white whale took Ahab's leg. They sailed on.")).text
        "The white whale took Ahab's leg."
    """

    description = "extractive: quotes sentences found by BM25; it is not a language model"

    def update(self, request: UpdateRequest) -> Reply:
        """Rewrite one head with the best sentences of what it holds and of the chunk."""
        elsewhere = {
            sentence
            for index, text in enumerate(request.heads)
            if index != request.head
            for sentence in text.splitlines()
        }
        old, new = request.heads[request.head].splitlines(), _sentences(request.chunk)
        if request.gates.update and _covered(request.question or "", new, 1) < _BEARS:
            return Reply(text="", gate="skip")
        recalled = [line for text in request.recalled for line in text.splitlines()]
        candidates = [s for s in dict.fromkeys([*old, *recalled, *new]) if s not in elsewhere]
        # Without a question, what is most like the chunk as a whole stands for it.
        scores = bm25_scores(request.question or request.chunk, candidates)
        kept = _best(candidates, scores, request.head_tokens, request.count)
        return Reply(text=kept, gate="exit" if request.gates.exit and _suffices(request, kept) else "")

    def answer(self, request: AnswerRequest) -> Reply:
        """Quote the sentences, in memory or recalled, that bear most on the question."""
        shown = (*request.heads, *request.recalled)
        candidates = list(dict.fromkeys(s for text in shown for s in text.splitlines()))
        scores = bm25_scores(request.question, candidates)
        best = sorted(range(len(candidates)), key=lambda index: -scores[index])[:_QUOTED]
        quoted = [candidates[i] for i in best if 0 < scores[i] >= _NEAR_BEST * scores[best[0]]]
        text = "\n".join(map(_quote, quoted))
        text = text or "Nothing in memory shares a word with the question."
        kept = trim(text, request.answer_tokens, request.count)
        return Reply(text=kept, cut=kept != text)

    def pick(self, request: PickRequest) -> Pick:
        """The head that shares most words with the chunk; an empty one where none shares any."""
        scores = bm25_scores(request.chunk, request.heads)
        best = max(range(len(scores)), key=lambda index: (scores[index], not request.heads[index]))
        return Pick(head=best if scores[best] > 0 or not request.heads[best] else None)


def _sentences(text: str) -> list[str]:
    """Sentences on one line each, as heads keep them: books are wrapped by hand."""
    return [line for sentence in sentences(text) if (line := " ".join(sentence.split()))]


def _quote(sentence: str) -> str:
    """The sentence in quotation marks; speech stands in its own."""
    return sentence if sentence.startswith(("“", '"', "‘", "'")) else f"“{sentence}”"


def _suffices(request: UpdateRequest, kept: str) -> bool:
    """Whether memory, with the head's new text, says nearly all that the question names."""
    question = request.question or ""
    texts = [kept if index == request.head else text for index, text in enumerate(request.heads)]
    lines = [line for text in texts for line in text.splitlines()]
    enough = len(set(stems([question])[0])) >= _FEW_WORDS
    return enough and _covered(question, lines, _QUOTED) >= _SUFFICES


def _covered(question: str, texts: Sequence[str], most: int) -> float:
    """Share of the question's words that stand in the `most` texts that share most words with it."""
    asked = set(stems([question])[0])
    shared = sorted((asked.intersection(words) for words in stems(texts or [""])), key=len)[-most:]
    return len(set().union(*shared)) / len(asked) if asked else 0.0


def _best(texts: Sequence[str], scores: Sequence[float], limit: int, count: TokenCounter) -> str:
    """The best texts that fit the limit together, in their order."""
    kept: list[int] = []
    for index in sorted(range(len(texts)), key=lambda index: -scores[index]):
        if scores[index] <= 0:
            break
        if count("\n".join(texts[i] for i in sorted([*kept, index]))) <= limit:
            kept.append(index)
    return "\n".join(texts[index] for index in sorted(kept))
