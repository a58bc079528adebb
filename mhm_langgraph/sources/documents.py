"""LangChain documents, an iterable of them, or a loader, as one source."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from mhm_langgraph.errors import SourceError
from mhm_langgraph.sources.base import Budget, Chunk, Source, reported
from mhm_langgraph.text import fingerprint

__all__ = ["DocumentSource", "join_documents"]

_BETWEEN = "\n\n"
_MOST_PULLS = 64  # as many runs can read the same documents at once without loading them again
_EMPTY = "The documents are empty: give some that hold text, or leave them out."


class DocumentSource(Source):
    r"""Documents one after the other, a blank line between them. Its unit is the character.

    They are pulled as they are needed, so a loader's lazy loading stays lazy: what lies before the
    chunks that may be read once more is dropped. Runs at different places each pull their own.

    Args:
        documents: A loader (PDF, HTML and the rest of the ecosystem), or an iterable of documents
            or strings. A list can be read from any place; an iterator only forward and once.

    Raises:
        SourceError: They hold no text.

    Example:
        >>> DocumentSource([Document("One."), Document("Two.")]).read(0, Budget(5000, len)).text
        'One.\n\nTwo.'
    """

    def __init__(self, documents: BaseLoader | Iterable[Document | str]) -> None:
        if isinstance(documents, str | Document):  # iterables too, of characters and of fields
            documents = [documents]
        self._documents = documents
        self._lock = threading.Lock()  # a graph may be read in several threads
        if isinstance(documents, Sequence):
            text = join_documents(documents)
            if not text:
                raise SourceError(_EMPTY)
            self.size, self.fingerprint = len(text), fingerprint(text)
        self._pulls: list[_Pull] = []  # the one used last stands last
        self._begun = False

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        """Read the chunk at the cursor, as `Source.read`."""
        with self._lock:
            pull = self._pull_for(cursor)
            with reported("The documents"):
                # One character more than the window tells whether the documents go on after it.
                text = pull.read(cursor, budget.window + 1, budget.again)
            if text or isinstance(self._documents, Iterator):
                self._pulls = [*self._pulls, pull][-_MOST_PULLS:]
            ahead = text[: budget.window]
            if not ahead and cursor == 0:
                raise SourceError(_EMPTY)
            if not ahead:
                return None
            length = budget.cut(ahead, more=len(text) > len(ahead))
            pull.end = max(pull.end, cursor + length)
            return Chunk(ahead[:length], cursor, cursor + length)

    def _pull_for(self, cursor: int) -> _Pull:
        """The pull that is nearest before the cursor, else a new one.

        It is taken out of those kept until it has been read from: what has raised can not be read on.
        """
        before = [pull for pull in self._pulls if pull.start <= cursor]
        if before:
            nearest = max(before, key=lambda pull: pull.start)
            self._pulls.remove(nearest)
            return nearest
        if self._begun and isinstance(self._documents, Iterator):
            raise SourceError(
                f"The documents can not be read again from {cursor}: they come from an iterator, which "
                "is spent; pass a list or a loader instead."
            )
        self._begun = True
        return _Pull(_pieces(self._documents))


class _Pull:
    """Documents being pulled once from the first to the last, and what is held of them.

    Args:
        pieces: Their texts.
    """

    def __init__(self, pieces: Iterator[str]) -> None:
        self.start = 0  # where what is held begins
        self.end = 0  # where the chunk that lies furthest ends
        self._pieces = pieces
        self._text = ""
        self._chunks: list[int] = []  # where the chunks begin that may be read once more

    def read(self, cursor: int, length: int, again: int) -> str:
        """So many characters from the cursor on, or all that there are."""
        if cursor > self.end:  # another run's place: its chunks lie elsewhere
            self._chunks = []
        if not self._chunks or cursor > self._chunks[-1]:
            self._chunks = [*self._chunks, cursor][-again:]
        self._fill(min(cursor, self._chunks[0]), cursor + length)
        begin = cursor - self.start
        return self._text[begin : begin + length]

    def _fill(self, keep: int, needed: int) -> None:
        """Hold the text from `keep` to `needed`, or as far as there is any.

        What lies before goes when more is pulled, not at each read: a document may be large.
        """
        end = self.start + len(self._text)
        if end >= needed:
            return
        pieces, start = [self._text], self.start
        while end < needed and (piece := next(self._pieces, None)) is not None:
            pieces.append(piece)
            end += len(piece)
            if end <= keep:
                pieces, start = [], end
        text = "".join(pieces)
        behind = max(0, min(keep, end) - start)
        self._text, self.start = text[behind:], start + behind


def join_documents(documents: Iterable[Document | str]) -> str:
    """The documents as one text, a blank line between them."""
    return "".join(_pieces(documents))


def _pieces(documents: BaseLoader | Iterable[Document | str]) -> Iterator[str]:
    """The texts, with what stands between them."""
    if isinstance(documents, BaseLoader):
        documents = documents.lazy_load()
    for index, document in enumerate(documents):
        if not isinstance(document, Document | str):
            raise SourceError(
                f"document {index} is a {type(document).__name__}; a LangChain Document or a str is needed."
            )
        text = document if isinstance(document, str) else document.page_content
        yield _BETWEEN * (index > 0) + _encodable(text)


def _encodable(text: str) -> str:
    """Surrogates joined in pairs, a half one replaced: PDF loaders give them, no model takes them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
