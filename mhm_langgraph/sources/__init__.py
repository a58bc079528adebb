"""Sources: where the text comes from. Read by cursor, never kept in state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from io import IOBase
from pathlib import Path
from typing import Any, TypeAlias

from langchain_core.document_loaders import BaseLoader

from mhm_langgraph.errors import SettingsError, SourceError
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
    "resolve_sources",
]

Opener: TypeAlias = Callable[[str], Source]
"""Opens the source that a run names; called at each step, so it should keep what is costly."""


def resolve_sources(sources: Any) -> Opener:
    r"""Turn what a builder names as sources into an opener.

    Args:
        sources: None, files by path; a folder, files below it only; a mapping of names to sources,
            loaders, iterables of documents, or paths; a function from a name to any of these.

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
    if callable(sources):
        open_file = OpenFiles()
        return lambda name: as_source(sources(name), open_file)
    raise SettingsError(
        f"sources={sources!r:.80} is not allowed: pass a folder, a mapping of names to sources, or a "
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
        f"{value!r:.80} is not a source: a Source, a document loader, an iterable of documents, or a "
        "path is needed."
    )


class _Named:
    """Opens the sources that the builder named, and no others."""

    def __init__(self, sources: Mapping[str, Any]) -> None:
        self._open_file = OpenFiles()
        # A path stays a path, so that a file that changes while the graph lives is noticed.
        self._sources = {
            name: value if isinstance(value, str | Path) else as_source(value)
            for name, value in sources.items()
        }
        for name in self._sources:  # what can not be read is found when the graph is built
            self(name)

    def __call__(self, name: str) -> Source:
        if name not in self._sources:
            known = ", ".join(map(repr, self._sources))
            raise SourceError(f"There is no source {name!r}; the sources are {known}.")
        return as_source(self._sources[name], self._open_file)
