"""Sources: where the text comes from. Read by cursor, never kept in state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from langchain_core.document_loaders import BaseLoader

from mhm_langgraph.errors import SettingsError, SourceError
from mhm_langgraph.sources.base import Budget, Chunk, InlineSource, Source
from mhm_langgraph.sources.documents import DocumentSource, join_documents
from mhm_langgraph.sources.files import Files, FileSource

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
        SettingsError: It is none of these.

    Example:
        >>> resolve_sources({"notes": ["One.", "Two."]})("notes").read(0, Budget(5000, len)).text
        'One.\n\nTwo.'
    """
    if sources is None or isinstance(sources, str | Path):
        return Files(sources)
    if isinstance(sources, Mapping):
        return _Named({name: as_source(value) for name, value in sources.items()})
    if callable(sources):
        return lambda name: as_source(sources(name))
    raise SettingsError(
        f"sources={sources!r:.80} is not allowed: pass a folder, a mapping of names to sources, or a "
        "function from a name to a source."
    )


def as_source(value: Any) -> Source:
    """A source from what stands for one: itself, a loader, an iterable of documents, or a path.

    Raises:
        SourceError: The value is none of these.
    """
    if isinstance(value, Source):
        return value
    if isinstance(value, str | Path):
        return FileSource(value)
    if isinstance(value, BaseLoader | Iterable):
        return DocumentSource(value)
    raise SourceError(
        f"{value!r:.80} is not a source: a Source, a document loader, an iterable of documents, or a "
        "path is needed."
    )


class _Named:
    """Opens the sources that the builder named, and no others."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sources)

    def __call__(self, name: str) -> Source:
        if name not in self._sources:
            known = ", ".join(map(repr, self._sources))
            raise SourceError(f"There is no source {name!r}; the sources are {known}.")
        return self._sources[name]
