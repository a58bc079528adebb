"""LangChain documents, an iterable of them, or a loader, as one source."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from mhm_langgraph.errors import SourceError
from mhm_langgraph.sources.base import Budget, Chunk, Source
from mhm_langgraph.text import fingerprint

__all__ = ["DocumentSource", "join_documents"]

_BETWEEN = "\n\n"


class DocumentSource(Source):
    r"""Documents one after the other, a blank line between them. Its unit is the character.

    They are pulled as they are needed, so a loader's lazy loading stays lazy: what lies before the
    cursor is dropped.

    Args:
        documents: A loader (PDF, HTML and the rest of the ecosystem), or an iterable of documents
            or strings. A list can be read from any place; an iterator only forward and once.

    Example:
        >>> DocumentSource([Document("One."), Document("Two.")]).read(0, Budget(5000, len)).text
        'One.\n\nTwo.'
    """

    def __init__(self, documents: BaseLoader | Iterable[Document | str]) -> None:
        self._documents = documents
        self._lock = threading.Lock()  # one buffer, and a graph may be read in several threads
        if isinstance(documents, Sequence):
            text = join_documents(documents)
            self.size, self.fingerprint = len(text), fingerprint(text)
        self._rewind()

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        """Read the chunk at the cursor, as `Source.read`."""
        with self._lock:
            if cursor < self._start:
                if isinstance(self._documents, Iterator):
                    raise SourceError(
                        f"the documents can not be read again from {cursor}: they come from an "
                        "iterator, which is spent; pass a list or a loader instead."
                    )
                self._rewind()
            # One character more than the window tells whether the documents go on after it.
            self._fill(cursor, budget.window + 1)
            ahead = self._buffer[: budget.window]
            if not ahead:
                return None
            length = budget.cut(ahead, more=len(self._buffer) > len(ahead))
            return Chunk(ahead[:length], cursor, cursor + length)

    def _rewind(self) -> None:
        """Start from the first document."""
        loader = self._documents
        documents = loader.lazy_load() if isinstance(loader, BaseLoader) else loader
        self._pieces = _pieces(documents)
        self._buffer, self._start = "", 0

    def _fill(self, cursor: int, length: int) -> None:
        """Hold `length` characters from the cursor on, or all that there are."""
        pieces, held = [self._buffer], len(self._buffer)
        while self._start + held < cursor + length:
            if (piece := next(self._pieces, None)) is None:
                break
            pieces.append(piece)
            held += len(piece)
            if self._start + held <= cursor:  # wholly before the cursor
                self._start += held
                pieces, held = [], 0
        text = "".join(pieces)
        self._buffer = text[cursor - self._start :]
        self._start = cursor


def join_documents(documents: Iterable[Document | str]) -> str:
    """The documents as one text, a blank line between them."""
    return "".join(_pieces(documents))


def _pieces(documents: Iterable[Document | str]) -> Iterator[str]:
    """The texts, with what stands between them."""
    for index, document in enumerate(documents):
        if not isinstance(document, Document | str):
            raise SourceError(
                f"document {index} is a {type(document).__name__}; a LangChain Document or a str is needed."
            )
        yield _BETWEEN * (index > 0) + (document if isinstance(document, str) else document.page_content)
