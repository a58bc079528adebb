"""Sources: where the text comes from. Read by cursor, never kept in state."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from io import IOBase
from pathlib import Path
from typing import Any, TypeAlias

from langchain_core.document_loaders import BaseLoader

from mhm_langgraph.errors import SettingsError, SourceError, redact, shown
from mhm_langgraph.sources.base import Budget, Chunk, InlineSource, Source
from mhm_langgraph.sources.documents import DocumentSource, join_documents
from mhm_langgraph.sources.files import Files, FileSource, OpenFiles

__all__ = [
    "Budget",
    "Chunk",
    "DocumentSource",
    "FileSource",
    "Files",
    "InlineSource",
    "Opener",
    "Source",
    "as_source",
    "join_documents",
    "newly",
    "resolve_sources",
]

Opener: TypeAlias = Callable[[str], Source]
"""Opens the source that a run names; called at each step, so it should keep what is costly."""

_KEPT = 64  # sources that a function has opened and that are kept ready


def resolve_sources(sources: Any) -> Opener:
    r"""Turn what a builder names as sources into an opener.

    Args:
        sources: None, files by path; a folder, files below it only; a mapping of names to sources,
            loaders, iterables of documents, or paths; a function from a name to any of these, which is
            asked when a run begins and whenever what it gave is not at hand any more.

    Returns:
        The opener.

    Raises:
        SettingsError: It is none of these, or the folder is none.
        SourceError: A source in the mapping can not be read.

    Example:
        >>> resolve_sources({"notes": ["One.", "Two."]})("notes").read(0, Budget(5000, len)).text
        'One.\n\nTwo.'
    """
    if sources is None or isinstance(sources, str | Path):
        return Files(sources)
    if isinstance(sources, Mapping):
        return _Named(sources)
    if isinstance(sources, Files):
        return sources
    if callable(sources):
        return _Called(sources)
    raise SettingsError(
        f"sources={shown(sources)} is not allowed: pass a folder, a mapping of names to sources, or a "
        "function from a name to a source."
    )


def as_source(value: Any, open_file: Callable[[str | Path], Source] = FileSource) -> Source:
    """A source from what stands for one: itself, a loader, an iterable of documents, or a path.

    Args:
        value: What stands for a source.
        open_file: Opens a path.

    Returns:
        The source.

    Raises:
        SourceError: The value is none of these, or can not be read.
    """
    if isinstance(value, Source) and not isinstance(value, type):  # a class has a `read` too
        return value
    if isinstance(value, str | Path):
        return open_file(value)
    # Iterables too, but of names, of bytes, of lines without what ends them: not of documents.
    no_documents = isinstance(value, Mapping | bytes | bytearray | IOBase)
    if isinstance(value, BaseLoader | Iterable) and not no_documents:
        return DocumentSource(value)
    raise SourceError(
        f"{shown(value)} is not a source: a Source, a document loader, an iterable of documents, or a "
        "path is needed."
    )


def newly(open_source: Opener) -> Opener:
    """How a run's sources are opened when it begins: what a function gave another run does not count."""
    return open_source.anew if isinstance(open_source, _Called) else open_source


class _Called:
    """Opens what a function of the builder's returns, and keeps it: a loader can not be loaded at each step.

    Args:
        function: From a name to what stands for a source.
    """

    def __init__(self, function: Callable[[str], Any]) -> None:
        self._function = function
        self._open_file = OpenFiles()
        self._opened: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> Source:
        with self._lock:
            known = self._opened.get(name)
        return self.anew(name) if known is None else as_source(known, partial(self._open_file, name=name))

    def anew(self, name: str) -> Source:
        """Open it by asking the function."""
        value = self._function(name)
        source = as_source(value, partial(self._open_file, name=name))
        if isinstance(value, Iterator):
            source = DocumentSource(_Again(partial(self._function, name)))
        with self._lock:
            self._opened.pop(name, None)
            # A path stays a path and a file is asked for again, so that one that changes is noticed.
            if not isinstance(value, FileSource):
                self._opened[name] = value if isinstance(value, str | Path) else source
            if len(self._opened) > _KEPT:
                self._opened.popitem(last=False)
        return source


class _Again:
    """Documents that a function makes anew each time they are read from the start.

    Args:
        make: Makes an iterator of them.
    """

    def __init__(self, make: Callable[[], Iterable[Any]]) -> None:
        self._make = make
        self._last: object = None

    def __iter__(self) -> Iterator[Any]:
        documents = self._make()
        if documents is self._last:
            raise SourceError(
                "The documents can not be read again: the function gives the same iterator, which is spent; "
                "let it return a list or a loader instead."
            )
        self._last = documents
        return iter(documents)


class _Named:
    """Opens the sources that the builder named, and no others."""

    def __init__(self, sources: Mapping[str, Any]) -> None:
        self._open_file = OpenFiles()
        # A path stays a path, so that a file that changes while the graph lives is noticed.
        self._sources = {
            name: value if isinstance(value, str | Path) else as_source(value)
            for name, value in sources.items()
        }
        for value in self._sources.values():  # what can not be read is found when the graph is built
            as_source(value, self._open_file)

    def __call__(self, name: str) -> Source:
        if name not in self._sources:
            known = ", ".join(map(repr, self._sources))
            raise SourceError(f"There is no source {redact(shown(name))}; the sources are {known}.")
        return as_source(self._sources[name], partial(self._open_file, name=name))
