"""How much texts bear on a question: BM25, an embedding model, or a function of one's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from sys import intern
from threading import Lock
from typing import Any

import Stemmer
from langchain_core.embeddings import Embeddings

from mhm_langgraph.errors import SettingsError, shown

__all__ = ["Ranking", "bm25_scores", "by_embeddings", "resolve_ranking", "stems"]

Ranking = Callable[[str, Sequence[str]], Sequence[float]]
"""From a question and texts to a score for each; what is not above 0 does not bear on it."""

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it reports every index it builds

# Words of two letters and more, or single characters where words are not set apart by spaces.
_WORD = r"(?u)[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\b[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2,}\b"
_OTHER = "\0"  # no word
_REMEMBERED = 4096  # vectors of texts


def bm25_scores(query: str, texts: Sequence[str]) -> list[float]:
    """How much each text bears on the query: BM25 with stemming; 0 where no word is shared.

    Example:
        >>> scores = bm25_scores("Who took the leg?", ["It rained.", "The whale took his leg."])
        >>> scores[0], scores[1] > 0
        (0.0, True)
    """
    import bm25s  # with numpy: loaded by whoever ranks

    corpus = stems(texts) if texts else []
    known = sorted(set(stems([query])[0]) & set().union(*corpus))
    if not known:
        return [0.0] * len(texts)
    # Of words that are not asked for, the number alone matters: one word for all makes the index small.
    asked = dict(zip(known, known, strict=True))
    corpus = [[asked.get(word, _OTHER) for word in text] for text in corpus]
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    return [float(score) for score in index.get_scores(known)]


def stems(texts: Sequence[str]) -> list[list[str]]:
    """The stems of each text's words, without stop words."""
    return [list(_stems(text)) for text in texts]


@lru_cache(maxsize=4096)
def _stems(text: str) -> tuple[str, ...]:
    """Those of one text; the same heads and archived texts are ranked at every step."""
    import bm25s

    [tokens] = bm25s.tokenize(
        [text],
        token_pattern=_WORD,
        stopwords="en_plus",
        stemmer=Stemmer.Stemmer("english"),
        return_ids=False,
        show_progress=False,
    )
    return tuple(map(intern, tokens))  # texts share most of their words


def by_embeddings(embeddings: Embeddings) -> Ranking:
    """A ranking by the cosine between question and text; a text's vector is computed once.

    Args:
        embeddings: Any LangChain embedding model.

    Returns:
        The ranking.
    """
    import numpy as np  # loaded by whoever ranks

    known: dict[str, Any] = {}
    lock = Lock()
    ask = lru_cache(maxsize=64)(embeddings.embed_query)

    def rank(question: str, texts: Sequence[str]) -> list[float]:
        # In vectors of this call's own: another thread may let go of what is known in the meantime.
        vectors = {text: vector for text in texts if (vector := known.get(text)) is not None}
        if new := [text for text in dict.fromkeys(texts) if text not in vectors]:
            made = map(np.asarray, embeddings.embed_documents(new))
            vectors.update(zip(new, made, strict=True))
        with lock:
            known.update(vectors)
            for text in [*islice(known, max(0, len(known) - _REMEMBERED))]:
                del known[text]
        return _cosines(ask(question), [vectors[text] for text in texts])

    return rank


def _cosines(one: Sequence[float], others: Sequence[Any]) -> list[float]:
    """The cosine between a vector and each of others; 0 where one of them has no length."""
    import numpy as np

    if not others:
        return []
    matrix, vector = np.stack(others), np.asarray(one)
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector)
    return [float(cosine) for cosine in matrix @ vector / np.where(lengths > 0, lengths, np.inf)]


def resolve_ranking(ranking: Any) -> Ranking:
    """The ranking that a factory was given.

    Raises:
        SettingsError: It is neither `"bm25"`, an embedding model nor a function.
    """
    if ranking == "bm25":
        return bm25_scores
    if isinstance(ranking, Embeddings):
        return by_embeddings(ranking)
    if callable(ranking) and not isinstance(ranking, type):
        return ranking  # type: ignore[no-any-return]  # the user's own
    raise SettingsError(
        f"recall_ranking={shown(ranking)} is not allowed: pass 'bm25', a LangChain embedding model, or a "
        "function from a question and texts to a score for each."
    )
