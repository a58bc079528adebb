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
_EMPTY = "The documents are empty: give some that hold text, or leave them out."


class DocumentSource(Source):
    r"""Documents one after the other, a blank line between them. Its unit is the character.

    They are pulled as they are needed, so a loader's lazy loading stays lazy: what lies before the
    cursor is dropped.

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
        self._lock = threading.Lock()  # one buffer, and a graph may be read in several threads
        if isinstance(documents, Sequence):
            text = join_documents(documents)
            if not text:
                raise SourceError(_EMPTY)
            self.size, self.fingerprint = len(text), fingerprint(text)
        self._broken = False
        self._begin()

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        """Read the chunk at the cursor, as `Source.read`."""
        with self._lock:
            if self._broken or cursor < self._start:
                self._begin_again(cursor)
            self._broken = True  # until all went well: what has raised can not be read on
            with reported("The documents"):
                # One character more than the window tells whether the documents go on after it.
                self._fill(cursor, budget.window + 1)
            self._broken = False
            begin = cursor - self._start
            ahead = self._buffer[begin : begin + budget.window]
            if not ahead and cursor == 0:
                raise SourceError(_EMPTY)
            if not ahead:
                return None
            length = budget.cut(ahead, more=len(self._buffer) - begin > len(ahead))
            return Chunk(ahead[:length], cursor, cursor + length)

    def _begin(self) -> None:
        """Start from the first document."""
        self._pieces = _pieces(self._documents)
        self._buffer, self._start = "", 0

    def _begin_again(self, cursor: int) -> None:
        if isinstance(self._documents, Iterator):
            raise SourceError(
                f"The documents can not be read again from {cursor}: they come from an iterator, which "
                "is spent; pass a list or a loader instead."
            )
        self._begin()

    def _fill(self, cursor: int, length: int) -> None:
        """Hold `length` characters from the cursor on, or all that there are.

        What lies before the cursor goes when more is pulled, not at each read: a document may be large.
        """
        end = self._start + len(self._buffer)
        if end >= cursor + length:
            return
        pieces, start = [self._buffer], self._start
        while end < cursor + length and (piece := next(self._pieces, None)) is not None:
            pieces.append(piece)
            end += len(piece)
            if end <= cursor:
                pieces, start = [], end
        text = "".join(pieces)
        behind = max(0, min(cursor, end) - start)
        self._buffer, self._start = text[behind:], start + behind


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
