"""The grounding rules, and how a reply is held to one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Protocol

from mhm_langgraph.errors import SettingsError, shown
from mhm_langgraph.grounding.claims import claims, evidence, quotes
from mhm_langgraph.grounding.words import words
from mhm_langgraph.text import sentences

__all__ = [
    "RULES",
    "Evidence",
    "Grounded",
    "GroundingRule",
    "ground",
    "names",
    "resolve_rule",
    "verbatim",
    "without",
]

_WRAPPED = 45  # characters of a line that was broken to fit a page, at least
_ITEM = re.compile(r"[^\S\n]*(?:[-*•‣·–—>]|\(?\d{1,3}[.)]|\(?[a-z][.)]|#{1,6}|\|)(?:[^\S\n]+|$)")


@dataclass(frozen=True)
class Evidence:
    """What a reply may draw on.

    Args:
        chunk: The text of the step.
        memory: Texts of all heads as they were, and of what was recalled with them.
        question: What is asked; empty where nothing is.
    """

    chunk: str
    memory: Sequence[str] = ()
    question: str = ""

    @cached_property
    def known(self) -> frozenset[str]:
        """What the chunk, the memory and the question hold, as `evidence` reads it."""
        return evidence(self.chunk).union(*map(_head_evidence, (*self.memory, self.question)))

    @cached_property
    def run_on(self) -> str:
        """All their words in order, for finding words that follow each other."""
        return _joined([*self._read, words(self.question)])

    @cached_property
    def trigrams(self) -> frozenset[tuple[str, ...]]:
        """Three words that follow each other in the chunk or in the memory; without the question."""
        return frozenset(trigram for text in self._read for trigram in _trigrams(text))

    @cached_property
    def read(self) -> str:
        """As `run_on`, without the question."""
        return _joined(self._read)

    @cached_property
    def passages(self) -> list[frozenset[str]]:
        """What each two neighbouring sentences of the chunk hold, and each head."""
        single = [evidence(sentence) for sentence, _ in _pieces(self.chunk) if sentence]
        pairs = [one | two for one, two in pairwise(single)] if len(single) > 1 else single
        return [*pairs, *map(_head_evidence, filter(None, self.memory))]

    @cached_property
    def _read(self) -> list[Sequence[str]]:
        return [words(self.chunk), *map(_head_words, self.memory)]


@lru_cache(maxsize=64)
def _head_evidence(text: str) -> frozenset[str]:
    """As `evidence`; all heads but one are the same at the next step."""
    return evidence(text)


@lru_cache(maxsize=64)
def _head_words(text: str) -> tuple[str, ...]:
    return tuple(words(text))


class GroundingRule(Protocol):
    """Whether what a sentence asserts is supported: `names`, `verbatim`, or a function of your own.

    Example:
        >>> def numbers_only(sentence: str, given: Evidence) -> bool:
        ...     return all(number in given.chunk for number in re.findall("[0-9]+", sentence))
        >>> ground("Room 12. Room 14.", Evidence("In room 12 he slept."), numbers_only).kept
        'Room 12.'
    """

    def __call__(self, sentence: str, given: Evidence, /) -> bool:
        """Whether the sentence is supported.

        Args:
            sentence: One sentence of the reply, without the mark of a list.
            given: What it may draw on.
        """
        ...


def names(sentence: str, given: Evidence) -> bool:
    """Names, numbers and quoted strings occur in the chunk, the memory or the question.

    Case, inflection, accents, possessives, hyphens and the formats of numbers do not matter.

    Example:
        >>> given = Evidence("Captain Ahab paid 1,200 dollars.", question="Who paid?")
        >>> names("Ahab's payment was 1200 dollars.", given), names("Starbuck paid 1200 dollars.", given)
        (True, False)
    """
    return all(claim.known_in(given.known) for claim in claims(sentence)) and all(
        f" {' '.join(quoted)} " in given.run_on for quoted in quotes(sentence)
    )


def verbatim(sentence: str, given: Evidence) -> bool:
    """As `names`; and the wording is the text's own, with what belongs together found together.

    At least half of the sentence's word trigrams occur in the chunk or the memory, and its names and
    numbers occur together within two neighbouring sentences of the chunk or within one head. The
    question does not count: it holds the names that a wrong fact would be bound to.

    Example:
        >>> given = Evidence("The Oslo gate has the code 7319. It rained. The Rome gate has 4410.")
        >>> false = "The Rome gate has the code 7319."
        >>> names(false, given), verbatim(false, given), verbatim("The Rome gate has 4410.", given)
        (True, False, True)
    """
    found = _trigrams(words(sentence))
    if 2 * sum(trigram in given.trigrams for trigram in found) < len(found):
        return False
    if not found and f" {' '.join(words(sentence))} " not in given.read:
        return False
    if not all(f" {' '.join(quoted)} " in given.read for quoted in quotes(sentence)):
        return False
    asserted = claims(sentence)
    return not asserted or any(all(claim.known_in(known) for claim in asserted) for known in given.passages)


RULES: dict[str, GroundingRule] = {"names": names, "verbatim": verbatim}
"""The rules by their names."""


@dataclass(frozen=True)
class Grounded:
    """A reply held to a rule.

    Args:
        kept: The reply without the sentences that are not supported.
        unsupported: Those sentences.
    """

    kept: str
    unsupported: list[str]


def ground(reply: str, given: Evidence, rule: GroundingRule) -> Grounded:
    r"""Hold each sentence of a reply to a rule.

    Args:
        reply: The new text of a head.
        given: What it may draw on.
        rule: The rule.

    Returns:
        What is supported, with its lines and marks as they were, and what is not.

    Example:
        >>> ground("- Ahab lost a leg.\n- Pip lost $40.", Evidence("Ahab lost a leg. So did Pip."), names)
        Grounded(kept='- Ahab lost a leg.', unsupported=['Pip lost $40.'])
    """
    kept, unsupported, mark = [], [], ""
    for sentence, piece in _pieces(reply):
        if not sentence:
            mark += piece
        elif rule(sentence, given):
            kept.append(mark + piece)
            mark = ""
        else:
            unsupported.append(sentence)
            mark = "" if mark.strip() else mark
            if kept and piece.endswith("\n") and not kept[-1].endswith("\n"):
                kept[-1] = kept[-1].rstrip() + "\n"
    return Grounded("".join(kept).strip() if unsupported else reply, unsupported)


def without(text: str, unsupported: Collection[str]) -> str:
    """A head's text without what has been found unsupported: to be copied does not make it true.

    The beginning of such a sentence is left out too: what is recalled may have been cut to its budget.

    Example:
        >>> without("Ahab sailed. Flask paid.", ["Flask paid."])
        'Ahab sailed. '
    """
    if not unsupported:
        return text
    return "".join(
        piece
        for sentence, piece in _pieces(text)
        if not sentence or not any(flagged.startswith(sentence) for flagged in unsupported)
    )


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Sentences as a rule sees them, each with its piece of the text; a list's mark has no sentence."""
    for line in _lines(text):
        mark = _ITEM.match(line)
        start = mark.end() if mark else 0
        if start:
            yield "", line[:start]
        for piece in sentences(line[start:]):
            sentence = " ".join(piece.split())
            yield (sentence if re.search(r"\w", sentence) else ""), piece


def _lines(text: str) -> Iterator[str]:
    """Lines that stand by themselves; those broken to fit a page are put together."""
    held = ""
    lines = text.splitlines(keepends=True)
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        held += line
        bare = line.rstrip()
        wrapped = len(bare) >= _WRAPPED or following[:1].islower()
        if not wrapped or not following.strip() or _ITEM.match(following):
            yield held
            held = ""
    if held:
        yield held


def _trigrams(found: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(found, found[1:], found[2:], strict=False))


def _joined(texts: Sequence[Sequence[str]]) -> str:
    return " | ".join(f" {' '.join(text)} " for text in texts)


def resolve_rule(rule: object) -> GroundingRule | None:
    """A user's own rule, or None where it is named in the settings.

    Raises:
        SettingsError: It is no function.
    """
    if isinstance(rule, str):
        return None
    if callable(rule) and not isinstance(rule, type):
        return rule
    raise SettingsError(
        f"grounding_rule={shown(rule)} is not allowed: pass 'names', 'verbatim', or a function from a "
        "sentence and Evidence to whether it is supported."
    )
