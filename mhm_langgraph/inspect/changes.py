"""What changed between two texts of a head, in words."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

__all__ = ["Change", "compare"]

# Chinese, Japanese and Korean do not set words apart by spaces: a character stands for a word there.
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")
# difflib takes quadratic time without its "autojunk", and matches badly with it: off for small gaps.
_SMALL_GAP = 250_000
_MOST_BY_CHANCE = 2  # words that two texts share between longer edits without having them in common

Edit = tuple[int, int, int, int]
"""`(start, end)` in the old text, then `(start, end)` in the new one."""


@dataclass(frozen=True)
class Change:
    """What an update changed in a head.

    Args:
        added: Words that are new.
        removed: Words that are gone.
        ratio: Added and removed words as a share of all words of both texts: 0 = same words, 1 = all new.
        edits: Where the texts differ: `(start, end)` in the old text, `(start, end)` in the new one, in
            characters and in order. Between them the texts hold the same words.
    """

    added: int
    removed: int
    ratio: float
    edits: tuple[Edit, ...]


class _Word(NamedTuple):
    """A word, where it starts and ends, and where the next one starts."""

    text: str
    start: int
    end: int
    until: int


def compare(before: str, after: str) -> Change:
    """Compare two texts word by word; line breaks and spaces do not count.

    Args:
        before: The old text.
        after: The new text.

    Returns:
        The words that came and went, and where.

    Example:
        >>> change = compare("Ahab lost a leg.", "Ahab lost his left leg.")
        >>> change.added, change.removed, round(change.ratio, 2)
        (2, 1, 0.33)
        >>> ["Ahab lost his left leg."[start:end] for _, _, start, end in change.edits]
        ['his left ']
    """
    old, new = _words(before), _words(after)
    edits = list(_joined(_edits([word.text for word in old], [word.text for word in new])))
    removed = sum(edit[1] - edit[0] for edit in edits)
    added = sum(edit[3] - edit[2] for edit in edits)
    total = len(old) + len(new)
    return Change(
        added=added,
        removed=removed,
        ratio=(added + removed) / total if total else 0.0,
        edits=tuple(_characters(edit, old, new) for edit in edits),
    )


def _words(text: str) -> list[_Word]:
    found = [(match.group(), match.start(), match.end()) for match in _WORD.finditer(text)]
    following = [*(start for _, start, _ in found[1:]), len(text)]
    return [_Word(*word, until) for word, until in zip(found, following, strict=False)]


def _edits(old: Sequence[str], new: Sequence[str]) -> Iterator[Edit]:
    """Where two sequences of words differ: between their anchors, as difflib tells.

    difflib alone takes twice as long, which a thread of thousands of steps would feel.
    """
    i = j = 0
    for anchor in [*_anchors(old, new), (len(old), len(new))]:
        gap = i, anchor[0], j, anchor[1]
        if i < anchor[0] and j < anchor[1]:
            yield from _gap_edits(old, new, gap)
        elif i < anchor[0] or j < anchor[1]:
            yield gap
        i, j = anchor[0] + 1, anchor[1] + 1


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Words that stand once in both, as many as are in the same order (Cohen's patience diff)."""
    in_old, in_new = Counter(old), Counter(new)
    place = {word: j for j, word in enumerate(new) if in_new[word] == 1}
    pairs = [(i, place[word]) for i, word in enumerate(old) if in_old[word] == 1 and word in place]
    ends: list[int] = []  # for each length of a chain, the smallest place it can end at ...
    last: list[int] = []  # ... the pair that ends it ...
    link: list[int] = []  # ... and for each pair, the one before it
    for number, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j)
        ends[length : length + 1], last[length : length + 1] = [j], [number]
        link.append(last[length - 1] if length else -1)
    chain = []
    number = last[-1] if last else -1
    while number >= 0:
        chain.append(pairs[number])
        number = link[number]
    return chain[::-1]


def _gap_edits(old: Sequence[str], new: Sequence[str], gap: Edit) -> Iterator[Edit]:
    i, i_end, j, j_end = gap
    large = (i_end - i) * (j_end - j) > _SMALL_GAP
    matcher = SequenceMatcher(None, old[i:i_end], new[j:j_end], autojunk=large)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind != "equal":
            yield i + i1, i + i2, j + j1, j + j2


def _joined(edits: Iterator[Edit]) -> Iterator[Edit]:
    """Edits that touch, or have but a word or two of chance between them, as one.

    A sentence that was replaced by another shares its "of the" with it, which says nothing and is hard
    to read (the semantic cleanup of diff-match-patch).
    """
    last: Edit | None = None
    for edit in edits:
        if last is not None and edit[0] - last[1] <= min(_MOST_BY_CHANCE, _size(last) - 1, _size(edit) - 1):
            last = last[0], edit[1], last[2], edit[3]
            continue
        if last is not None:
            yield last
        last = edit
    if last is not None:
        yield last


def _size(edit: Edit) -> int:
    return max(edit[1] - edit[0], edit[3] - edit[2])


def _characters(edit: Edit, old: Sequence[_Word], new: Sequence[_Word]) -> Edit:
    """The edit in characters: words with the space after them."""
    i, i_end, j, j_end = edit
    start, end = _range(old, i, i_end)
    if j == j_end == len(new) and i > 0:
        start = old[i - 1].end  # cut off the end: no space follows the words that stay
    return start, end, *_range(new, j, j_end)


def _range(words: Sequence[_Word], start: int, end: int) -> tuple[int, int]:
    if start == end:
        place = words[start].start if start < len(words) else (words[-1].until if words else 0)
        return place, place
    return words[start].start, words[end - 1].until
