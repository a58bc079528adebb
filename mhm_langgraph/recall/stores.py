"""The archive in a LangGraph store: a namespace for each thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langgraph.store.base import BaseStore

from mhm_langgraph.recall.archive import Entry

__all__ = ["aforget_archive", "aload", "asave", "forget_archive", "load", "namespace", "save"]

_PAGE = 500  # entries read at once


def namespace(thread_id: str) -> tuple[str, str]:
    """Where a thread's archive is in a store.

    Args:
        thread_id: The thread's id; what a namespace may not hold is written differently in it.

    Returns:
        The namespace.

    Example:
        >>> namespace("user.1")
        ('mhm-archive', 'user%2E1')
    """
    return "mhm-archive", thread_id.replace("%", "%25").replace(".", "%2E") or "%"


def save(store: BaseStore, thread_id: str, entries: Mapping[str, Entry]) -> None:
    """Put entries into the store. It is not to index them: they are ranked when they are asked for."""
    for key, entry in entries.items():
        store.put(namespace(thread_id), key, cast("dict[str, Any]", entry), index=False)


async def asave(store: BaseStore, thread_id: str, entries: Mapping[str, Entry]) -> None:
    """As `save`, async."""
    for key, entry in entries.items():
        await store.aput(namespace(thread_id), key, cast("dict[str, Any]", entry), index=False)


def load(store: BaseStore, thread_id: str) -> dict[str, Entry]:
    """All entries of a thread, by key."""
    found: dict[str, Entry] = {}
    while True:
        page = store.search(namespace(thread_id), limit=_PAGE, offset=len(found))
        found.update((item.key, cast(Entry, item.value)) for item in page)
        if len(page) < _PAGE:
            return found


async def aload(store: BaseStore, thread_id: str) -> dict[str, Entry]:
    """As `load`, async."""
    found: dict[str, Entry] = {}
    while True:
        page = await store.asearch(namespace(thread_id), limit=_PAGE, offset=len(found))
        found.update((item.key, cast(Entry, item.value)) for item in page)
        if len(page) < _PAGE:
            return found


def forget_archive(store: BaseStore, thread_id: str) -> int:
    """Delete a thread's archive from a store; the checkpointer's `delete_thread` does not reach it.

    Args:
        store: The store.
        thread_id: The thread's id.

    Returns:
        How many texts were deleted.

    Example:
        >>> from langgraph.store.memory import InMemoryStore
        >>> forget_archive(InMemoryStore(), "1")
        0
    """
    keys = list(load(store, thread_id))
    for key in keys:
        store.delete(namespace(thread_id), key)
    return len(keys)


async def aforget_archive(store: BaseStore, thread_id: str) -> int:
    """As `forget_archive`, async."""
    keys = list(await aload(store, thread_id))
    for key in keys:
        await store.adelete(namespace(thread_id), key)
    return len(keys)
