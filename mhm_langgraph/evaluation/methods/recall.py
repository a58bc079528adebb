"""remem: a single memory of half the budget, and an earlier version of it called back by a query.

After ReMemR1 (arXiv 2509.23040), as the paper's baseline ReMem: two halves of the budget, one for the memory
and one for what is called back. The earlier version is the one that matches the query best by TF-IDF.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

from mhm_langgraph import Reader, Reply, SettingsError
from mhm_langgraph.evaluation.methods.base import AsyncReader, Parts, Settings, Trial, words
from mhm_langgraph.evaluation.methods.prompts import (
    RECALL_ANSWER,
    RECALL_UPDATE,
    SHIELD,
    between,
    without,
)
from mhm_langgraph.readers import (
    AnswerRequest,
    ChatReader,
    Load,
    UpdateRequest,
)
from mhm_langgraph.readers.replies import clean, without_reasoning
from mhm_langgraph.text import trim

__all__ = ["EarlierMemories", "RecallReader", "recall_parts"]

_QUERY_TOKENS = 64  # room for the query and the tags


def recall_parts(name: str, trial: Trial, settings: Settings) -> Parts:
    """The reader of one sample: it keeps the sample's earlier memories.

    Raises:
        SettingsError: A chat model is to use prompts that can not ask for a query.
    """
    if isinstance(trial.reader, ChatReader) and trial.preset != "standard":
        raise SettingsError(
            f"method {name!r} needs prompts='standard': no other prompts ask for a query. Leave it out."
        )
    return RecallReader(trial.reader), None


class RecallReader(AsyncReader):
    """Rewrites one memory, with an earlier version of it in sight.

    A chat model writes the query for the next step with the memory, in one call. For another reader the
    query is the question, and the earlier memory is shown as the loop's own recall shows what it finds.

    Args:
        reader: What reads.
    """

    description = "remem"

    def __init__(self, reader: Reader) -> None:
        self._reader, self._earlier = reader, EarlierMemories()
        self.recalled = ""

    @property
    def _shown(self) -> list[str]:
        return [self.recalled] if self.recalled else []

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """Rewrite the memory, as `Reader.aupdate`."""
        memory = request.heads[request.head]
        if isinstance(self._reader, ChatReader):
            reply, query = await self._ask(self._reader, request)
        else:
            query = request.question or ""
            reply = await self._reader.aupdate(replace(request, recalled=self._shown))
        self._recall(query, reply.text or memory, request)
        return reply

    async def aanswer(self, request: AnswerRequest) -> Reply:
        """Answer from the memory and what was called back last, as `Reader.aanswer`."""
        if not isinstance(self._reader, ChatReader):
            return await self._reader.aanswer(replace(request, recalled=self._shown))
        messages = RECALL_ANSWER.format_messages(
            question=SHIELD.shield(request.question),
            memory=SHIELD.plain(request.heads),
            recalled=SHIELD.shield(self.recalled),
        )
        return await self._reader.aask(
            messages,
            limit=request.answer_tokens,
            name="answer from memory",
            count=request.count,
            patience=request.patience,
        )

    def check(self, load: Load) -> None:
        """As `Reader.check`; what is called back takes as much room as the memory."""
        self._reader.check(replace(load, heads=2))

    async def _ask(self, reader: ChatReader, request: UpdateRequest) -> tuple[Reply, str]:
        """One call: the new memory, and the query for the next step."""
        memory = request.heads[request.head]
        messages = RECALL_UPDATE.format_messages(
            question=SHIELD.shield(request.question or ""),
            memory=SHIELD.shield(memory),
            recalled=SHIELD.shield(self.recalled),
            chunk=SHIELD.shield(request.chunk),
            head_tokens=request.head_tokens,
            head_words=words(request.head_tokens),
        )
        reply = await reader.aask(
            messages,
            limit=request.head_tokens + _QUERY_TOKENS,
            name=f"rewrite the memory at step {request.step}",
            read=lambda text: without_reasoning(text).strip(),
            held=memory,
            count=request.count,
            patience=request.patience,
        )
        found = between("memory", reply.text)
        text = clean(without("query", reply.text) if found is None else found)
        kept = trim(text, request.head_tokens, request.count)
        query = between("query", reply.text) or ""
        return replace(reply, text=kept, cut=reply.cut or kept != text), query

    def _recall(self, query: str, newest: str, request: UpdateRequest) -> None:
        """Call back the earlier memory that fits the query best, and keep the newest for later."""
        found = self._earlier.best(query, other_than=newest)
        self.recalled = trim(found, request.head_tokens, request.count)
        self._earlier.add(newest)


class EarlierMemories:
    """The versions of a memory so far, found by the words they share with a query (TF-IDF).

    Example:
        >>> earlier = EarlierMemories()
        >>> for text in ("Ahab lost a leg.", "The ship left Nantucket.", "The ship sailed on."):
        ...     earlier.add(text)
        >>> earlier.best("Which port did the ship leave? Nantucket?", other_than="The ship sailed on.")
        'The ship left Nantucket.'
    """

    def __init__(self) -> None:
        self._words: dict[str, Counter[str]] = {}
        self._memories_with: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """Keep a version; one that is known already, or empty, changes nothing."""
        if text and text not in self._words:
            self._words[text] = Counter(_words(text))
            self._memories_with.update(self._words[text].keys())

    def best(self, query: str, *, other_than: str) -> str:
        """The version that fits a query best, the latest of equals.

        Args:
            query: What is asked for.
            other_than: The version that is at hand already.

        Returns:
            The version; empty where none shares a word with the query.
        """
        weights = {word: self._rarity(word) for word in set(_words(query)) if self._memories_with[word]}
        scores = {
            text: sum(weight * (1 + math.log(words[word])) for word, weight in weights.items() if words[word])
            for text, words in reversed(self._words.items())
            if text != other_than
        }
        best = max(scores, key=scores.__getitem__, default="")
        return best if best and scores[best] > 0 else ""

    def _rarity(self, word: str) -> float:
        """Squared, as the word counts in the query and in the memory."""
        return math.log(1 + len(self._words) / self._memories_with[word]) ** 2


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
