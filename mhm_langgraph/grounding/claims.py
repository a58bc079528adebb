"""What a sentence asserts that can be looked up: names, numbers, codes and quoted words. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from mhm_langgraph.grounding.numbers import SCALES, WORD_VALUES, number_value, spelt_value
from mhm_langgraph.grounding.words import TOKEN, plain, stem, word_forms, words

__all__ = ["Claim", "claims", "evidence", "quotes"]


@dataclass(frozen=True)
class Claim:
    """One name, number or code of a sentence.

    Args:
        shown: As the sentence has it.
        forms: What it may be known by: all words of one of these must be found.
    """

    shown: str
    forms: tuple[tuple[str, ...], ...]

    def known_in(self, known: frozenset[str] | set[str]) -> bool:
        """Whether a passage that `evidence` has read holds it."""
        return any(known.issuperset(form) for form in self.forms)


# Never names, whatever their case and place: pronouns, titles of persons, the small words of a title.
_SMALL_WORDS = (
    "i i'm i'll i've i'd a an the and or but nor so yet of in on at to by for from with as is are was were "
    "be mr mrs ms dr prof sir lady lord st jr sr vs no nos vol pp ch fig etc eg ie ad bc ce bce am pm"
)
_NO_NAMES = frozenset(_SMALL_WORDS.split())
_YEAR = "january february march april may june july august september october november december"
_MONTHS = _YEAR.split()
_ISO_DATE = re.compile(r"(?<!\d)(\d{4})-(0[1-9]|1[0-2])-(\d\d)(?!\d)")
_YEARS = re.compile(r"(?<!\d)(\d\d)(\d\d)[-–—/](\d\d)(?!\d)")
_SPACED = re.compile(r"(?<![\d.,'])\d{1,3}(?: \d{3})+(?![\d.,']?\d)")
_OPENS = frozenset('“”"«»‹›„:;—–([{…!?•*#|/「『')  # what a capital stands after for grammar's sake
_COMPOUND = re.compile(r"[^\W_]+(?:-[^\W_]+)+")
_LABEL = re.compile(r"[^.!?:]{1,50}:(?=\s|$|\*)")


_OF_TEXTS = (
    "additionally answer author background bullet chapter characters chunk conclusion context details "
    "document evidence excerpt facts head headings info key memory mentions moreover narrator notes overall "
    "overview paragraph passage protagonist question quotes reader section sentence snippet speaker "
    "storyline summary text timeline title topic unknown update user"
)  # what replies begin with when they speak of the text


@cache
def _common() -> frozenset[str]:
    """Stems of words that English writes small: no names where grammar makes them tall."""
    text = files("mhm_langgraph.grounding").joinpath("common_words.txt").read_text(encoding="utf-8")
    listed = (word for line in text.splitlines() if line[:1] != "#" for word in line.split())
    return frozenset({*listed, *map(stem, _OF_TEXTS.split())})


class _Token(NamedTuple):
    text: str  # without accents, case kept
    low: str
    before: str  # what stands between the token before and this one
    initial: bool  # whether a capital here may be grammar's


def claims(sentence: str) -> list[Claim]:
    """The names, numbers and codes that a sentence asserts, in order.

    A capital makes a name, but not where a sentence, a label or speech begins with a common English
    word. A script without capitals has no names that could be told; its numbers can.

    Args:
        sentence: One sentence, in its own case.

    Returns:
        The claims.

    Example:
        >>> [claim.shown for claim in claims("However, the Ministry paid Ahab twelve pounds for KX-77.")]
        ['Ministry', 'Ahab', 'twelve', 'KX', '77']
    """
    text = plain(sentence)
    found = list(_dates(text))
    text = _ISO_DATE.sub(" ", text)
    found += [_spaced(match[0]) for match in _SPACED.finditer(text)]
    text = _SPACED.sub(" ", text)
    tokens = list(_tokens(text))
    run: list[_Token] = []
    for token in tokens:
        if run and _continues(run, token):
            run.append(token)
            continue
        found += _number(run)
        run = [token] if _starts_number(token) else []
        if not run and (claim := _name(token)):
            found.append(claim)
    return [*found, *_number(run)]


def _tokens(text: str) -> Iterator[_Token]:
    """The tokens of a sentence, with what a capital at their place means."""
    shouted = text.upper() == text or text.istitle()
    label = _LABEL.match(text)
    label_end = label.end() if label else 0
    end = 0
    for match in TOKEN.finditer(text):
        before = text[end : match.start()]
        initial = shouted or end == 0 or match.end() < label_end or bool(_OPENS & set(before))
        end = match.end()
        yield _Token(match[0], match[0].lower(), before, initial)


def _starts_number(token: _Token) -> bool:
    return bool(number_value(token.low)) or token.low in WORD_VALUES


def _continues(run: Sequence[_Token], token: _Token) -> bool:
    """Whether a number goes on: "1.2 million", "twenty-three", "two hundred and five"."""
    last = run[-1].low
    if token.low == "and":
        return last in SCALES and token.before == " "
    spelt = token.low in WORD_VALUES and token.before in (" ", "-")
    return spelt and (last == "and" or last in WORD_VALUES or token.low in SCALES)


def _number(run: Sequence[_Token]) -> list[Claim]:
    """What a run of number words asserts: the number they spell, or each by itself."""
    parts = [token for token in run if token.low != "and"]
    if not parts or (len(parts) == 1 and parts[0].low == "one"):  # more often a pronoun
        return []
    readings = [word_forms(part.low)[1] for part in parts]
    if len(parts) == 1:
        return [Claim(parts[0].text, tuple((reading,) for reading in sorted(readings[0])))]
    forms: list[tuple[str, ...]] = [(spelt_value(_values(parts)),)]
    if not any(part.low in SCALES for part in parts):  # a list
        forms.append(tuple(word_forms(part.low)[0][0] for part in parts))
    return [Claim(" ".join(part.text for part in parts), tuple(forms))]


def _values(parts: Sequence[_Token]) -> list[float]:
    return [
        float(WORD_VALUES[part.low]) if part.low in WORD_VALUES else float(number_value(part.low)[0])
        for part in parts
        if part.low in WORD_VALUES or number_value(part.low)[0].count(".") < 2
    ]


def _name(token: _Token) -> Claim | None:
    """The name or code that a token is, if it is one."""
    code = any(map(str.isdigit, token.low))
    if not code and (not token.text[0].isupper() or token.low.rstrip("'") in _NO_NAMES):
        return None
    sequence, known = word_forms(token.low)
    if not sequence:
        return None
    if not code and token.initial and set(sequence) <= _common():
        return None
    return Claim(token.text, _forms(token.low, sequence, known))


def _forms(low: str, sequence: tuple[str, ...], known: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    """Ways in which a name may stand elsewhere: as it is, in parts, as its adjective or without that."""
    forms = [sequence, *((form,) for form in sorted(known) if len(form) == len("".join(sequence)))]
    if parts := re.findall(r"\d+|[^\W\d_]+", low):
        forms.append(tuple(part if part.isdigit() else stem(part) for part in parts if part != "s"))
    word = sequence[0]
    if len(word) > 4:
        forms += [(word + "n",), (word + "an",)]  # Russia for Russian, Iran for Iranian
        forms += [(word[:-1],)] if word.endswith("n") and word[-2] in "aeiou" else []
        forms += [(word[:-2],), (word[:-3],)] if word.endswith("ian") else []
    return tuple(dict.fromkeys(form for form in forms if form))


def _dates(text: str) -> Iterator[Claim]:
    """Dates by numbers alone: the month may be a name elsewhere."""
    for year, month, day in _ISO_DATE.findall(text):
        forms = (month.lstrip("0"),), (stem(_MONTHS[int(month) - 1]),)
        yield Claim(f"{year}-{month}-{day}", tuple((year, day.lstrip("0"), *form) for form in forms))


def _spaced(number: str) -> Claim:
    """Digits in groups of three with spaces: one number, or several."""
    groups = number.split()
    return Claim(number, (("".join(groups),), tuple(number_value(group)[0] for group in groups)))


def evidence(text: str) -> frozenset[str]:
    """All that a passage can be evidence for: stems, numbers in every reading, parts of codes.

    Example:
        >>> sorted(evidence("Twenty-three of KX-4471"))
        ['20', '23', '3', '4471', 'kx', 'kx4471', 'of', 'three', 'twenty', 'twentythree']
    """
    text = " ".join(plain(text).lower().split())  # a number of several words may stand on two lines
    tokens = TOKEN.findall(text)
    known: set[str] = set().union(*(word_forms(token)[1] for token in set(tokens)))
    known.update(match[0].replace(" ", "") for match in _SPACED.finditer(text))
    hyphened = (word for word in text.split() if "-" in word)
    known.update(c.replace("-", "") for word in hyphened for c in _COMPOUND.findall(word))
    known.update(century + end for century, _, end in _YEARS.findall(text))
    for _, month, _ in _ISO_DATE.findall(text):
        known |= {month.lstrip("0"), stem(_MONTHS[int(month) - 1])}
    return frozenset(known | set(_spelt(text)))


_WORD = rf"(?:{'|'.join(WORD_VALUES)})"
_SPELT = re.compile(
    rf"(?:\d+(?:[.,']\d+)*(?=[ -](?:{'|'.join(SCALES)})\b)|\b{_WORD}\b)(?:(?:[ -]| and )\b{_WORD}\b)+"
)


def _spelt(text: str) -> Iterator[str]:
    """The numbers that several words spell together."""
    for match in _SPELT.finditer(text):
        tokens = list(_tokens(match[0].replace(" and ", " ")))
        yield spelt_value(_values([token for token in tokens if _starts_number(token)]))


_QUOTED = re.compile(
    r"“([^”]*)(?:”|$)|^([^“]*)”|„([^“”]*)[“”]|«([^»]*)(?:»|$)|「([^」]*)(?:」|$)|『([^』]*)(?:』|$)"
    r"|(?<!\w)[‘']((?:[^‘’']|(?<=\w)[’'](?=\w))+)[’'](?!\w)"
)
_LEFT_OUT = re.compile(r"\.\.\.|…|\[[^\]]*\]")


def quotes(sentence: str) -> list[list[str]]:
    """The words of each quoted string of a sentence; what an ellipsis or a bracket parts is several.

    A quotation that runs on over the sentence's end is read up to there.

    Example:
        >>> quotes("He cried “The White Whale ... she blows!” and 'it’s her'")
        [['the', 'white', 'whale'], ['she', 'blow'], ['it', 'her']]
    """
    return [
        found for quoted in _quoted(sentence) for piece in _LEFT_OUT.split(quoted) if (found := words(piece))
    ]


def _quoted(sentence: str) -> Iterator[str]:
    straight = sentence.split('"')
    if len(straight) > 1:
        # An odd mark is the end of speech that began before, or the beginning of one that goes on.
        inside = 0 if len(straight) % 2 == 0 and straight[0].strip() and straight[1][:1] in " ,." else 1
        yield from straight[inside::2]
    for match in _QUOTED.finditer(sentence):
        yield next(group for group in match.groups() if group is not None)
