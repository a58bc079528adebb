"""Words as the grounding rules compare them: without case, accents, inflection and number formats."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import Stemmer

from mhm_langgraph.grounding.numbers import ORDINALS, SCALES, WORD_VALUES, number_value

__all__ = ["TOKEN", "plain", "stem", "word_forms", "words"]

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"

TOKEN = re.compile(
    rf"\d+(?:[.,']\d+)+(?![^\W\d_])|[{_CJK}]|[^\W_{_CJK}]+(?:['.][^\W_{_CJK}]+)*",
)
"""A number with its separators, a character of a script without spaces, or a word with its apostrophes."""

_ACCENTS = re.compile("[\u0300-\u036f]+")
_LETTERS = {
    "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th",
    "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ı": "i", "ß": "ss",
    "’": "'", "‘": "'", "ʼ": "'", "＇": "'", "‐": "-", "‑": "-", "\u00ad": "",
}  # fmt: skip
_LETTER = re.compile(f"[{''.join(_LETTERS)}]")


def plain(text: str) -> str:
    """Text without accents, wide forms and kinds of apostrophes and hyphens; case stays.

    Example:
        >>> plain("Ørsted’s café, №１２")
        "Orsted's cafe, No12"
    """
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", _LETTER.sub(lambda match: _LETTERS[match[0]], text))
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """The stem of one lower-case word, by the stemmer of its script.

    Example:
        >>> stem("whales"), stem("whaling"), stem("москве") == stem("москва")
        ('whale', 'whale', True)
    """
    stemmed: str = _stemmer(_language(word)).stemWord(word)
    return stemmed


def _language(word: str) -> str:
    first = word[0]
    if "\u0400" <= first <= "\u04ff":
        return "russian"
    if "\u0370" <= first <= "\u03ff":
        return "greek"
    return "arabic" if "\u0600" <= first <= "\u06ff" else "english"


@lru_cache(maxsize=4)
def _stemmer(language: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(language)


@lru_cache(maxsize=50_000)
def word_forms(token: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """How a token is read: its words in order, and all that it can be evidence for.

    Args:
        token: What `TOKEN` finds in `plain` text, in lower case.

    Returns:
        Stems and numbers in plain form; the same with further readings.

    Example:
        >>> word_forms("ahab's"), word_forms("1,200")[0], word_forms("twelve")[0]
        ((('ahab',), frozenset({'ahab'})), ('1200',), ('12',))
    """
    if token[0].isdigit() and (readings := number_value(token)):
        return (readings[0],), frozenset(readings)
    if token in WORD_VALUES:
        value = str(WORD_VALUES[token])
        return (value,), frozenset({value, token})
    base = re.sub(r"'s?$|'s\b", "", token)
    parts = [part for part in re.split(r"['.]", base) if part]
    joined = "".join(parts)
    if "." in base and any(len(part) > 1 for part in parts):
        sequence = tuple(map(_stem, parts))  # a full stop without a space after it, not an abbreviation
    else:
        sequence = (_stem(joined),) if joined else ()
    known = {*sequence, *map(_stem, parts), joined}
    known |= {form for part in parts for form in _code_parts(part)}
    known |= {str(ORDINALS[part]) for part in parts if part in ORDINALS}
    known |= {str(SCALES[part[:-1]]) for part in parts if part[:-1] in SCALES}
    return sequence, frozenset(known - {""})


def _stem(word: str) -> str:
    return word if any(map(str.isdigit, word)) else stem(word)


def _code_parts(word: str) -> list[str]:
    """Letters and digits of a code apart: it may be written with a hyphen or a space elsewhere."""
    parts = re.findall(r"\d+|[^\W\d_]+", word)
    return parts if len(parts) > 1 else []


def words(text: str) -> list[str]:
    """The words of a text in order, each as a stem or a plain number.

    Example:
        >>> words("Ahab’s 1,200 whales")
        ['ahab', '1200', 'whale']
    """
    return _sequence(TOKEN.findall(plain(text).lower()))


def _sequence(tokens: Sequence[str]) -> list[str]:
    return [word for token in tokens for word in word_forms(token)[0]]
