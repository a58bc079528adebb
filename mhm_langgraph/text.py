"""Where text may be cut: sentences, paragraphs, words, characters. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import regex
import sentencex

from mhm_langgraph.tokens import TokenCounter

__all__ = [
    "CONTROLS",
    "GAPS",
    "HIDDEN",
    "character_end",
    "cut_point",
    "fingerprint",
    "sentence_ends",
    "sentences",
    "token_prefix",
    "trim",
]

# Parts of regular expressions' classes: text that a person does not see, and that a model reads.
CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
"""Control codes but for tab, line feed and carriage return."""
HIDDEN = r"\u00ad\u034f\u061c\u200e\u200f\u202a-\u202e\u2061-\u206f\U000e0000-\U000e01ef"
"""Soft hyphens, marks of direction, bidirectional overrides and isolates, invisible operators, Unicode tags,
and the variation selectors beyond those of emoji. Joiners stay: scripts and emoji need them."""
GAPS = r"\s\u115f\u1160\u180b-\u180f\u200b-\u200d\u2060\u3164\ufe00-\ufe0f\ufeff\uffa0"
"""What may stand inside a tag without being seen, beside the above: white space, joiners, fillers."""

_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n\s*")
_WORD_END = re.compile(r"\s+")
_WIDE_SPACE = re.compile(f"[{''.join(chr(code) for code in range(128, 0x3001) if chr(code).isspace())}]")
_GRAPHEME = regex.compile(r"\X")
_GRAPHEME_REACH = 4096  # characters looked back for a place where one surely begins


def sentence_ends(text: str) -> list[int]:
    """Offsets at which a sentence ends and the next begins, in characters; the last is the end.

    Args:
        text: Any text, in any language (the library's rules for English also know CJK stops).

    Returns:
        Growing offsets in (0, len(text)].
    """
    # A sentence runs to the start of the next: the library may leave blank lines out of both.
    starts = [int(sentence["start_index"]) for sentence in _sentences_of(text)]
    return [start for start in starts if start > 0] + ([len(text)] if text else [])


def _sentences_of(text: str) -> list[dict[str, Any]]:
    """What the library finds; one sentence where it fails, since text from strangers must not end a run.

    Version 1.0.32 panics at an initial before a wide space, so white space is made plain for it.
    """
    try:
        return list(sentencex.get_sentence_boundaries("en", _WIDE_SPACE.sub(" ", text)))
    except BaseException as error:  # a panic in Rust is no Exception
        if type(error).__name__ != "PanicException":
            raise
        return []


def sentences(text: str) -> list[str]:
    """Split text into sentences, trailing white space kept, so that joined they are the text.

    Args:
        text: Any text.

    Returns:
        The sentences in order.

    Example:
        >>> sentences("Call me Ishmael. Some years ago, I sailed.")
        ['Call me Ishmael. ', 'Some years ago, I sailed.']
    """
    ends = sentence_ends(text)
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def token_prefix(text: str, limit: int, count: TokenCounter) -> int:
    """Length in characters of (nearly) the longest prefix of at most `limit` tokens.

    The search narrows by proportion, so that slow tokenizers are called a few times only; it stops
    within 1/64 of the limit.

    Args:
        text: Any text.
        limit: Tokens, at least 1.
        count: The token counter.

    Returns:
        Characters, in [0, len(text)]; 0 where the first character alone is over the limit.
    """
    tokens = count(text)
    if tokens <= limit:
        return len(text)
    fits, over = 0, len(text)
    guess, halve = len(text) * limit // tokens, False
    while over - fits > 1:
        guess = min(max(guess, fits + 1), over - 1)
        tokens = count(text[:guess])
        if tokens > limit:
            over = guess
        else:
            fits = guess
            if limit - tokens < limit // 64:
                break
        # Guess by proportion and by half in turn: where the text grows denser, the one stands still.
        halve = not halve
        guess = (fits + over) // 2 if halve else guess * limit // max(tokens, 1)
    return fits


def cut_point(text: str, limit: int, floor: int = 0) -> int:
    """Where to end a piece of text: a paragraph, else a sentence, else a word, else a character.

    Args:
        text: The text, which may run on past the limit.
        limit: The piece's greatest length in characters.
        floor: The least length at which a paragraph, sentence or word end is taken.

    Returns:
        The length of the piece in characters, in (floor, limit] where such an end lies there; never
        inside a character as a reader sees it (an emoji sequence, a letter with its accents, CRLF).

    Example:
        >>> text = "One two. Three four."
        >>> text[:cut_point(text, 15)], text[:cut_point(text, 15, floor=9)]
        ('One two. ', 'One two. Three ')
    """
    tail = text[floor:limit]
    for ends in (_paragraph_ends, _sentence_ends_within, _word_ends):
        for end in reversed(ends(tail)):
            if _is_character_end(text, floor + end):
                return floor + end
    return character_end(text, limit) or next(_character_ends(text))


def _paragraph_ends(text: str) -> list[int]:
    return [match.end() for match in _PARAGRAPH_END.finditer(text)]


def _sentence_ends_within(text: str) -> list[int]:
    return sentence_ends(text)[:-1]  # the last is where the text was cut off


def _word_ends(text: str) -> list[int]:
    return [match.end() for match in _WORD_END.finditer(text)]


def character_end(text: str, limit: int) -> int:
    """The last end of a whole character, as a reader sees it, at or before `limit`; 0 if there is none."""
    if _is_flag_half(text[limit : limit + 1]):
        # Two halves make a flag, told from the start of their run; the library looks back for it each time.
        halves = next((n for n in range(limit) if not _is_flag_half(text[limit - n - 1])), limit)
        if halves:
            return limit - halves % 2
    last = _character_start(text, limit)
    for end in _character_ends(text, last):
        if end > limit:
            break
        last = end
    return last


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_character_end(text: str, offset: int) -> bool:
    return character_end(text, offset) == offset


def _character_start(text: str, offset: int) -> int:
    """A place before an offset where a character surely begins: ASCII but in CRLF, or Han."""
    for place in range(offset - 1, max(0, offset - _GRAPHEME_REACH), -1):
        if (text[place].isascii() and text[place] != "\n") or "\u3400" <= text[place] <= "\u9fff":
            return place
    return 0


def _character_ends(text: str, start: int = 0) -> Iterator[int]:
    """Ends of whole characters from a place on where one begins."""
    return (match.end() for match in _GRAPHEME.finditer(text, start))


def trim(text: str, limit: int, count: TokenCounter) -> str:
    """Cut text to `limit` tokens: at a sentence where there is one, else a word, else a character.

    Args:
        text: Any text.
        limit: Tokens, at least 1.
        count: The token counter.

    Returns:
        The text itself where it fits, else its beginning without trailing white space.

    Example:
        >>> trim("One two. Three four.", 3, lambda text: len(text.split()))
        'One two.'
    """
    if count(text) <= limit:
        return text
    length = token_prefix(text, limit, count)
    near = text[: length + _GRAPHEME_REACH]  # a sentence that ends later does not count
    for ends in (sentence_ends(near), _word_ends(text[:length])):
        for end in reversed(ends):
            kept = text[:end].rstrip()
            if kept and len(kept) <= length and _is_character_end(text, len(kept)):
                return kept
    return text[: character_end(text, length)].rstrip()


def fingerprint(text: str) -> str:
    """A short name for a text's content: 32 hexadecimal digits."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
