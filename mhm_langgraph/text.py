"""Where text may be cut: sentences, paragraphs, words, characters. Pure functions."""

from __future__ import annotations

import re
from hashlib import blake2b

import regex
import sentencex

from mhm_langgraph.tokens import TokenCounter

__all__ = [
    "character_end",
    "cut_point",
    "fingerprint",
    "sentence_ends",
    "sentences",
    "token_prefix",
    "trim",
]

_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n\s*")
_WORD_END = re.compile(r"\s+")
_GRAPHEME = regex.compile(r"\X")
_GRAPHEME_REACH = 64  # characters looked at on each side; longer clusters do not occur in text


def sentence_ends(text: str) -> list[int]:
    """Offsets at which a sentence ends and the next begins, in characters; the last is the end.

    Args:
        text: Any text, in any language (the library's rules for English also know CJK stops).

    Returns:
        Growing offsets in (0, len(text)].
    """
    # A sentence runs to the start of the next: the library may leave blank lines out of both.
    starts = [int(sentence["start_index"]) for sentence in sentencex.get_sentence_boundaries("en", text)]
    return [start for start in starts if start > 0] + ([len(text)] if text else [])


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
    guess = len(text) * limit // tokens
    while over - fits > 1:
        guess = min(max(guess, fits + 1), over - 1)
        tokens = count(text[:guess])
        if tokens > limit:
            over = guess
        else:
            fits = guess
            if limit - tokens < limit // 64:
                break
        # The next guess is proportional; half way as soon as that would stand still.
        proportional = guess * limit // max(tokens, 1)
        guess = proportional if fits < proportional < over else (fits + over) // 2
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
    ends = [match.end() for match in _PARAGRAPH_END.finditer(tail)]
    ends = ends or sentence_ends(tail)[:-1]
    ends = ends or [match.end() for match in _WORD_END.finditer(tail)]
    return floor + ends[-1] if ends else character_end(text, limit)


def character_end(text: str, limit: int) -> int:
    """The last end of a whole (grapheme) character at or before `limit`; `limit` if there is none."""
    start = max(0, limit - _GRAPHEME_REACH)
    near = text[start : limit + _GRAPHEME_REACH]
    ends = (start + match.end() for match in _GRAPHEME.finditer(near))
    return max((end for end in ends if end <= limit), default=limit)


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
    whole = [end for end in sentence_ends(text) if len(text[:end].rstrip()) <= length]
    words = [match.end() for match in _WORD_END.finditer(text[:length])]
    end = next((ends[-1] for ends in (whole, words) if ends), None)
    return text[: character_end(text, length) if end is None else end].rstrip()


def fingerprint(text: str) -> str:
    """A short name for a text's content: 32 hexadecimal digits."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
