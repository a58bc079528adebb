r"""Whether a text says a gold answer: the paper's normal form, whole words, HotpotQA's F1 and exact match."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from mhm_langgraph.readers.replies import without_reasoning

__all__ = [
    "exact_match",
    "f1",
    "final_answer",
    "found",
    "is_verdict",
    "normalise",
    "says",
    "says_words",
]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_VERDICTS = {"yes", "no", "maybe", "noanswer"}
_ALL_OR_NOTHING = {"yes", "no", "noanswer"}  # HotpotQA gives no part of F1 for these

_MARKS = f"[{re.escape(string.punctuation)}]"
_GAP = rf"{_MARKS}*\s(?:{_MARKS}|\s|(?:a|an|the){_MARKS}*\s)*"
_INSIDE_NUMBER = ".,:"  # between digits these part nothing: 7 does not stand in 1,750 or 7.5

_QUOTES = "“”„‟‘’‚‛«»‹›"
_QUOTED = re.compile(rf"[{_QUOTES}]\s*([^{_QUOTES}]+?)\s*[{_QUOTES}]")
_BOXED = re.compile(r"\\f?boxed\s*\{")
_LABEL = re.compile(
    r"(?i)\b(?:(?:final|short)\s+)?answer\s*[*_]*\s*:|\bthe\s+(?:final\s+|correct\s+)?answer\s+is\b\s*:?"
)


def normalise(text: str) -> str:
    """The normal form of the paper and of HotpotQA: lower case, no punctuation, no articles, one space.

    Args:
        text: Any text.

    Returns:
        Its normal form. Punctuation is ASCII's, and what it parted is joined: `Paris-based` is one word.

    Example:
        >>> normalise("The  U.S. Navy's flag, an ensign.")
        'us navys flag ensign'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def is_verdict(answers: Sequence[str]) -> bool:
    """Whether the gold answers are yes, no or maybe: no memory can be searched for these.

    Example:
        >>> is_verdict(["Yes"]), is_verdict(["yes", "the Yes album"])
        (True, False)
    """
    return all(normalise(answer) in _VERDICTS for answer in answers)


def says(text: str, answers: Sequence[str], *, all_needed: bool = False) -> bool:
    """Whether a text has a gold answer in it, as the paper counts accuracy: its normal form is a substring.

    Args:
        text: The text.
        answers: The gold answers.
        all_needed: Whether each of them is needed.

    Returns:
        Whether it is so. `no` is a substring of `know`: see `says_words`.

    Example:
        >>> says("It was the Chief of Protocol.", ["chief of protocol"]), says("I do not know", ["no"])
        (True, True)
    """
    normal, lower = normalise(text), text.lower()
    return (all if all_needed else any)(
        gold in normal if (gold := normalise(answer)) else _stands_in(lower, answer) for answer in answers
    )


def says_words(text: str, answers: Sequence[str], *, all_needed: bool = False) -> bool:
    """The same with whole words: the answer may be part of no longer word or number.

    A word ends at punctuation too, so that `Paris` stands in `Paris-based` and in `Paris's`; `7` does not
    stand in `1750` or `7.5`. What is said in whole words is always said as `says` counts it.

    Args:
        text: The text.
        answers: The gold answers.
        all_needed: Whether each of them is needed.

    Returns:
        Whether it is so.

    Example:
        >>> says_words("A Paris-based band.", ["Paris"]), says_words("I do not know", ["no"])
        (True, False)
    """
    return (all if all_needed else any)(found(text, answers))


def found(text: str, answers: Sequence[str]) -> list[bool]:
    """For each of the answers, whether it stands in the text in whole words.

    Example:
        >>> found("apple and milk", ["milk", "football"])
        [True, False]
    """
    lower = text.lower()
    return [_stands_in(lower, answer) for answer in answers]


def _stands_in(lower: str, answer: str) -> bool:
    pattern, place = _pattern(answer), 0
    if not pattern.pattern:  # an empty answer stands nowhere
        return False
    while match := pattern.search(lower, place):
        if _is_edge(lower, match.start() - 1, -1) and _is_edge(lower, match.end(), 1):
            return True
        place = match.start() + 1  # not its end: the next may begin within it
    return False


def _is_edge(text: str, place: int, step: int) -> bool:
    """Whether no word or number goes on at a place just outside a match; `step` leads away from it."""
    inside, near, far = (_at(text, place + move * step) for move in (-1, 0, 1))
    if not inside.isalnum():
        return True
    return not near.isalnum() and not (inside.isdigit() and near in _INSIDE_NUMBER and far.isdigit())


def _at(text: str, place: int) -> str:
    return text[place] if 0 <= place < len(text) else " "


def _plain(answer: str) -> str:
    """An answer's normal form; of one that is nothing but articles and punctuation, the answer itself."""
    return normalise(answer) or answer.lower().strip()


@lru_cache(maxsize=4096)
def _pattern(answer: str) -> re.Pattern[str]:
    """An answer's words in order, with punctuation and articles between and within them as they come."""
    words = [f"{_MARKS}*".join(map(re.escape, word)) for word in _plain(answer).split()]
    return re.compile(_GAP.join(words))


def final_answer(reply: str) -> str:
    r"""The answer that a reply comes to: what is boxed, else what follows the last `Answer:`, else all of it.

    Quotation marks around the whole are no part of it: HotpotQA's scores know ASCII's only, and would take
    `“Oslo”` for another word than `Oslo`.

    Args:
        reply: A model's reply; its reasoning block, if it has one, is no part of it.

    Returns:
        The answer.

    Example:
        >>> final_answer("Both lived in Oslo, so \\boxed{Oslo}."), final_answer("**Answer:** Oslo")
        ('Oslo', 'Oslo')
        >>> final_answer("Oslo, as head 2 says."), final_answer("“Oslo”")
        ('Oslo, as head 2 says.', 'Oslo')
    """
    found = _extracted(without_reasoning(reply).strip())
    quoted = _QUOTED.fullmatch(found)
    return quoted[1] if quoted else found


def _extracted(text: str) -> str:
    boxed = [match.end() for match in _BOXED.finditer(text)]
    if boxed and (inside := _braced(text[boxed[-1] :])):
        return inside
    labels = [match.end() for match in _LABEL.finditer(text)]
    after = text[labels[-1] :].strip().strip("*_").strip() if labels else ""
    return after or text


def _braced(text: str) -> str:
    """What stands before the brace that closes one opened before the text."""
    depth = 1
    for place, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[:place].strip()
    return text.strip()


def f1(prediction: str, answers: Sequence[str], *, all_needed: bool = False) -> float:
    """F1 over words as HotpotQA's official script scores an answer; the best over the gold answers.

    Args:
        prediction: The final answer.
        answers: The gold answers.
        all_needed: Whether each of them is needed: they are then scored together.

    Returns:
        F1, from 0 to 1.

    Example:
        >>> round(f1("the chief of protocol, 1976", ["Chief of Protocol"]), 3), f1("yes, both", ["yes"])
        (0.857, 0.0)
    """
    return max(_f1(normalise(prediction), normalise(answer)) for answer in _targets(answers, all_needed))


def _f1(prediction: str, gold: str) -> float:
    if prediction != gold and not _ALL_OR_NOTHING.isdisjoint({prediction, gold}):
        return 0.0
    said, wanted = prediction.split(), gold.split()
    common = (Counter(said) & Counter(wanted)).total()
    if common == 0:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def exact_match(prediction: str, answers: Sequence[str], *, all_needed: bool = False) -> bool:
    """Whether the normal forms are equal, as HotpotQA's official script scores an answer.

    Args:
        prediction: The final answer.
        answers: The gold answers.
        all_needed: Whether each of them is needed: then the words of all are, in any order.

    Returns:
        Whether it is so for one of the gold answers.

    Example:
        >>> exact_match("The Chief of Protocol!", ["chief of protocol"])
        True
        >>> exact_match("milk, apple", ["apple", "milk"], all_needed=True)
        True
    """
    said = normalise(prediction)
    if all_needed:
        return Counter(said.split()) == Counter(normalise(" ".join(answers)).split())
    return any(said == normalise(answer) for answer in answers)


def _targets(answers: Sequence[str], all_needed: bool) -> Sequence[str]:
    return [" ".join(answers)] if all_needed else answers
