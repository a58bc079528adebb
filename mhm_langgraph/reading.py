"""Where a run stands in its sources, and how it goes on. Pure but for reading the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mhm_langgraph.errors import SourceError, shown
from mhm_langgraph.sources import Budget, Chunk, InlineSource, Opener, Source
from mhm_langgraph.sources.base import reported
from mhm_langgraph.state import Reading
from mhm_langgraph.tokens import TokenCounter

__all__ = ["Open", "current_chunk", "next_chunk", "next_chunks", "opener_with", "start_reading", "steps_of"]

_BETWEEN = "\n"  # stands between the fingerprints of the sources that are still to be read

Open = Callable[[str | None], Source]
"""Opens a source by name; None is the inline document."""


def opener_with(document: dict[str, str] | None, open_source: Opener) -> Open:
    """An opener that also knows the run's inline document.

    Args:
        document: The document channel.
        open_source: Opens what is named.

    Returns:
        The opener.
    """

    def open_named(name: str | None) -> Source:
        if name is not None:
            with reported(repr(name)):
                return open_source(name)
        if not document:
            raise SourceError("The document is missing: give it again to read it from its start.")
        return InlineSource(document["text"], mark=document["fingerprint"])

    return open_named


def start_reading(names: Sequence[str | None], open_named: Open) -> Reading:
    """Open every source once, so that a missing one is found before the first model call.

    Args:
        names: The sources in order; none where only a question was asked.
        open_named: Opens them.

    Returns:
        The start of the first.

    Raises:
        SourceError: One can not be read.
    """
    sources = [open_named(name) for name in names]
    sizes = [getattr(source, "size", None) for source in sources]
    known = [size for size in sizes if size is not None]
    return Reading(
        names=list(names),
        index=0,
        cursor=0,
        chunk_tokens=0,
        fingerprint=_BETWEEN.join(map(_fingerprint, sources)),
        before=0,
        total=sum(known) if len(known) == len(sizes) else None,
    )


def next_chunk(reading: Reading, open_named: Open, budget: Budget) -> tuple[Reading, Chunk | None]:
    """The next chunk, from this source or the one after it.

    Args:
        reading: Where the run stands.
        open_named: Opens sources.
        budget: How much text the chunk may hold.

    Returns:
        Where the run stands after it, and the chunk; None where the text has ended.

    Raises:
        SourceError: The text can not be read, or has changed since the run began.
    """
    while reading["index"] < len(reading["names"]):
        chunk = _read(reading, reading["cursor"], open_named, budget)
        if chunk is not None:
            return {**reading, "cursor": chunk.end, "chunk_tokens": budget.tokens}, chunk
        reading = _next_source(reading)
    return reading, None


def steps_of(reading: Reading, first: Chunk | None) -> int | None:
    """About how many steps a run will take: as if every chunk were as long as its first.

    Args:
        reading: The run's start.
        first: Its first chunk, in the source's own units as the sizes are.

    Returns:
        Steps; None where there is nothing to read, or a source does not know its size.

    Example:
        >>> opener = opener_with({"text": "One. Two. Three.", "fingerprint": ""}, None)
        >>> reading = start_reading([None], opener)
        >>> steps_of(reading, Chunk("One. ", 0, 5))
        4
    """
    if first is None or reading["total"] is None:
        return None
    return -(-reading["total"] // (first.end - first.start))


def next_chunks(
    reading: Reading, open_named: Open, budget: Budget, most: int
) -> tuple[Reading, list[tuple[Reading, Chunk]]]:
    """The next chunks, as many as there are up to a number.

    Args:
        reading: Where the run stands.
        open_named: Opens sources.
        budget: How much text each chunk may hold.
        most: How many to read.

    Returns:
        Where the run stands at the end, and the chunks, each with where it stood after it.

    Raises:
        SourceError: The text can not be read, or has changed since the run began.
    """
    read: list[tuple[Reading, Chunk]] = []
    while len(read) < most:
        reading, chunk = next_chunk(reading, open_named, budget)
        if chunk is None:
            break
        read.append((reading, chunk))
    return reading, read


def current_chunk(reading: Reading, span: Sequence[int], open_named: Open, count: TokenCounter) -> Chunk:
    """The chunk of this step once more, from its span.

    Args:
        reading: Where the run stands, after the chunk.
        span: The chunk's `[start, end]`.
        open_named: Opens sources.
        count: The token counter it was read with.

    Returns:
        The chunk.

    Raises:
        SourceError: The same place does not hold the same chunk any more.
    """
    budget = Budget(reading["chunk_tokens"], count)
    chunk = _read(reading, span[0], open_named, budget)
    if chunk is None or chunk.end != span[1]:
        raise SourceError(
            f"The chunk at {list(span)} of {_name(reading)} is not the one that was selected for: the "
            "source or the token counter has changed since. Start the reading again."
        )
    return chunk


def _read(reading: Reading, cursor: int, open_named: Open, budget: Budget) -> Chunk | None:
    """Read, and hold a user's own source to the protocol: text, from where it was asked, and forward."""
    source = _unchanged(reading, open_named)
    with reported(_name(reading)):
        chunk = source.read(cursor, budget)
    if chunk is None or _is_chunk_at(chunk, cursor):
        return chunk
    raise SourceError(
        f"{type(source).__name__}.read({cursor}) returned {shown(chunk)}: return None at the end, else a "
        f"Chunk of text that starts at {cursor} and ends at a whole number after it."
    )


def _is_chunk_at(chunk: Any, cursor: int) -> bool:
    return (
        isinstance(chunk, Chunk)
        and isinstance(chunk.text, str)
        and isinstance(chunk.end, int)
        and chunk.start == cursor < chunk.end
    )


def _unchanged(reading: Reading, open_named: Open) -> Source:
    """The source being read, if it is still the one the run began with."""
    source = open_named(reading["names"][reading["index"]])
    if _fingerprint(source) != reading["fingerprint"].partition(_BETWEEN)[0]:
        raise SourceError(
            f"{_name(reading)} has changed since the run began. Put it back as it was, or start the "
            "reading again."
        )
    return source


def _next_source(reading: Reading) -> Reading:
    """The start of the source after this one."""
    return {
        **reading,
        "index": reading["index"] + 1,
        "cursor": 0,
        "fingerprint": reading["fingerprint"].partition(_BETWEEN)[2],
        "before": reading["before"] + reading["cursor"],
    }


def _fingerprint(source: Source) -> str:
    return str(getattr(source, "fingerprint", "")).replace(_BETWEEN, " ")


def _name(reading: Reading) -> str:
    name = reading["names"][reading["index"]]
    return "The document" if name is None else f"{name!r}"
