"""The gates: a reply may say that a chunk holds nothing for the question, or that memory suffices.

An update gate and an exit gate as GRU-Mem has them (arXiv 2602.10560), but untrained: a marker at the
start of an ordinary reply. Only the reply is parsed, never the text that was read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mhm_langgraph.text import GAPS

__all__ = ["ENOUGH", "NO_GATES", "SKIP", "Gate", "Gates", "gate_marks", "read_gates"]

SKIP = "<skip>"
"""What a reply begins with where the chunk holds nothing for the question."""
ENOUGH = "<enough>"
"""What a reply begins with where the question can be answered without the rest of the text."""

Gate = Literal["", "skip", "exit"]
"""What a reply says beside its text: nothing, that the head stays, or that the reading may end."""


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What the reader may say instead of, or beside, a head's new text.

    Args:
        update: That the chunk holds nothing for the question.
        exit: That memory suffices to answer.
    """

    update: bool = False
    exit: bool = False

    def __bool__(self) -> bool:
        return self.update or self.exit


NO_GATES = Gates()
"""Every reply is a head's new text, as the paper has it."""

# No pattern here may take more than linear time. Emphasis and quotes around a marker are a model's manner.
_DRESS = r"\s*_#`\"'“”‘’"
_TAG = r"[<\[{]\s*/?\s*(skip|enough)\s*/?\s*[>\]}]"
_BARE = re.compile(rf"(?i)\s*{_TAG}[.,:;!]*\s*")
_DRESSED = re.compile(rf"(?i)[{_DRESS}]*{_TAG}[*_`\"'”’]*[.,:;!]*\s*")
_ALONE = re.compile(rf"(?i)[{_DRESS}(]*(skip|enough)[{_DRESS}).,:;!]*\Z")
_LINE = re.compile(r"[ \t*_#`]*(SKIP|ENOUGH)[ \t*_`.:!]*\n\s*")  # in capitals, on a line of its own


def read_gates(text: str, gates: Gates) -> tuple[Gate, str]:
    """What a reply says of the gates, and the head's new text.

    A marker counts in brackets, or where it is the whole reply or, in capitals, the whole first line. A
    sentence that begins with the word is a sentence: in doubt the reply is an ordinary update.

    Args:
        text: The reply, without reasoning, code fence and labels.
        gates: The gates that are on; the marker of another is text.

    Returns:
        The gate, and the text that follows: none with "skip"; with "exit" the head's new text, if any.

    Example:
        >>> both = Gates(update=True, exit=True)
        >>> read_gates("**[SKIP]** Nothing about Ahab.", both)
        ('skip', '')
        >>> read_gates("<enough>Ahab lost a leg.", both)
        ('exit', 'Ahab lost a leg.')
        >>> read_gates("Skip sailed on the Pequod.", both)
        ('', 'Skip sailed on the Pequod.')
    """
    said: set[str] = set()
    end = 0
    while (found := _marker(text, end)) and (word := found[1].lower()) in _words(gates):
        said.add(word)
        end = found.end()
    if "enough" in said:
        return "exit", "" if "skip" in said else text[end:]
    return ("skip", "") if said else ("", text)


def _words(gates: Gates) -> set[str]:
    return {word for word, on in (("skip", gates.update), ("enough", gates.exit)) if on}


def _marker(text: str, start: int) -> re.Match[str] | None:
    found = (pattern.match(text, start) for pattern in (_BARE, _DRESSED, _ALONE, _LINE))
    return next(filter(None, found), None)


def gate_marks(gates: Gates) -> tuple[tuple[str, str], ...]:
    """The delimiters that a text from outside must not forge while gates are on.

    A model that copies a chunk's first line would copy a marker that stands there.

    Args:
        gates: The gates that are on.

    Returns:
        Marks as `Prompts` has them, none where no gate is on.
    """
    if not gates:
        return ()
    words = "|".join(sorted(_words(gates)))
    gap = f"[{GAPS}]*"
    return (
        (rf"(?i)[<\[{{](?={gap}/?{gap}(?:{words}){gap}/?{gap}[>\]}}])", "‹"),
        (rf"(?im)(^|[\r\u2028\u2029])([ \t*_#`\"'“”‘’(]*)((?:{words})[ \t\r*_`\"'”’).,:;!]*)$", r"\1\2‹\3"),
    )
