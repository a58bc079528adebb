"""Gold answers of bAbI, and those that no memory can be searched for."""

from __future__ import annotations

__all__ = ["babi_answers"]


def babi_answers(target: str) -> tuple[tuple[str, ...], bool]:
    """Gold answers from bAbI's own: a list such as `apple,football` needs each of its parts, in any order.

    Args:
        target: The answer as bAbI and BABILong write it.

    Returns:
        The answers, and whether all of them are needed.

    Example:
        >>> babi_answers("apple,football"), babi_answers("none")
        ((('apple', 'football'), True), (('none',), False))
    """
    parts = tuple(part.strip() for part in target.split(",") if part.strip())
    return parts, len(parts) > 1
