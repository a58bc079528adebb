"""The archive of overwritten head texts, and which of them belong to a memory. Pure functions.

A head names the text it held before, and that text the one before it, so a memory's past is found by
walking back from its heads. Heads are exact after every fork, rewind and crash, and so is their past:
whatever else lies in the archive, texts of another branch among it, is never reached.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from mhm_langgraph.text import fingerprint

__all__ = ["Entry", "archived", "keep_entries", "lineage"]

Archive = Mapping[str, "Entry"]


@with_config(ConfigDict(use_attribute_docstrings=True))
class Entry(TypedDict):
    """A text that a head held and lost."""

    text: str
    """What it held."""
    head: int
    """Index of the head."""
    step: int
    """The step of the head's last turn with this text."""
    span: list[int] | None
    """`[start, end]` of the chunk that the text was written from, in the source's own units."""
    source: str | None
    """Name of that chunk's source, None for an inline document."""
    before: str | None
    """Key of what the head held before this."""
    unsupported: NotRequired[list[str]]
    """Its sentences that the text did not support, where there are any."""


def archived(head: Mapping[str, Any], index: int) -> tuple[str, Entry]:
    """What goes to the archive when a head is overwritten.

    Args:
        head: The head as it is before the write.
        index: Its index.

    Returns:
        Its key and the entry. The same past makes the same key, so that a write that is made again
        after a crash adds nothing.

    Example:
        >>> key, entry = archived(
        ...     {"text": "Ahab", "updated_at": 3, "span": [0, 9], "source": None, "tokens": 1}, 1)
        >>> len(key), entry["text"], entry["head"], entry["step"]
        (32, 'Ahab', 1, 3)
    """
    entry = Entry(
        text=head["text"],
        head=index,
        step=head["updated_at"],
        span=head["span"],
        source=head["source"],
        before=head.get("archived"),
    )
    if unsupported := head.get("unsupported"):
        entry["unsupported"] = list(unsupported)
    return fingerprint(json.dumps(entry, sort_keys=True)), entry


def keep_entries(archive: dict[str, Entry], writes: Sequence[Mapping[str, Entry]]) -> dict[str, Entry]:
    """Reducer of the archive: entries are added, in any order, and never changed.

    Args:
        archive: What there is.
        writes: Entries by key.

    Returns:
        All of them.
    """
    together = dict(archive)
    for write in writes:
        together.update(write)
    return together


def lineage(heads: Sequence[Mapping[str, Any]], archive: Mapping[str, Entry]) -> list[Entry]:
    """The texts that a memory's heads held before, the latest first.

    Args:
        heads: The memory.
        archive: Entries by key; those of other branches may be among them.

    Returns:
        The entries of this memory's own past. Where one is missing, its head's past ends.

    Example:
        >>> head = {"text": "a", "updated_at": 0, "span": None, "source": None}
        >>> key, entry = archived(head, 0)
        >>> now = {"text": "b", "updated_at": 1, "span": None, "source": None, "archived": key}
        >>> [found["text"] for found in lineage([now], {key: entry, "other": {**entry, "text": "c"}})]
        ['a']
    """
    past = [entry for head in heads for entry in _past(head.get("archived"), archive)]
    return sorted(past, key=lambda entry: -entry["step"])


def _past(key: str | None, archive: Mapping[str, Entry]) -> Iterator[Entry]:
    seen: set[str] = set()
    while key is not None and key not in seen and (entry := archive.get(key)) is not None:
        seen.add(key)  # a ring can come from a store that somebody else wrote to
        yield entry
        key = entry["before"]
