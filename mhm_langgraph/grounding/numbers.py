"""Numbers as they are written, and the values they may stand for. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["ORDINALS", "SCALES", "WORD_VALUES", "number_value", "spelt_value"]

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
"""What multiplies the number before it."""

WORD_VALUES = {
    **{word: value for value, word in enumerate(_UNITS.split())},
    **{word: 10 * tens for tens, word in enumerate(_TENS.split(), start=2)},
    **SCALES,
    "dozen": 12,
}
"""Numbers as English words."""

ORDINALS = {word: value for value, word in enumerate(_ORDINALS.split(), start=1)}
"""Ordinal numbers as English words."""

_NUMBER = re.compile(r"(\d+(?:[.,']\d+)*)(st|nd|rd|th|s|[a-z]{1,3})?$")
_UNITS_OF_MEASURE = (
    "st nd rd th s m cm mm km ft in yd mi kg g mg lb oz t l ml am pm a p h hr min sec ms d w k bn mn x c f "
    "hz khz mhz ghz kw mw gb mb kb mph kmh"
)
_UNIT_SIGNS = frozenset(_UNITS_OF_MEASURE.split())


def number_value(token: str) -> tuple[str, ...]:
    """The values that a written number may have, the likeliest first; none where it is a code.

    Args:
        token: Digits with separators, perhaps with an ordinal ending or a unit after them, lower case.

    Returns:
        Values in plain form.

    Example:
        >>> number_value("1,200"), number_value("1.50"), number_value("1,5"), number_value("1.200")
        (('1200',), ('1.5',), ('1.5', '1', '5'), ('1.2', '1200'))
        >>> number_value("19th"), number_value("5km"), number_value("007"), number_value("4x4")
        (('19',), ('5',), ('007',), ())
    """
    match = _NUMBER.match(token)
    if match is None or (match[2] and match[2] not in _UNIT_SIGNS):
        return ()
    groups = re.split("[.,']", match[1])
    signs = re.findall("[.,']", match[1])
    return tuple(dict.fromkeys(_readings(groups, signs)))


def _readings(groups: Sequence[str], signs: Sequence[str]) -> list[str]:
    """What groups of digits between signs may mean."""
    in_thousands = all(len(group) == 3 for group in groups[1:]) and 0 < len(groups[0].lstrip("0")) <= 3
    joined = _integer("".join(groups))
    if not signs:
        return [joined]
    if len(set(signs)) == 1 and in_thousands:
        if signs == ["."]:
            return [_decimal(*groups), joined]
        return [joined]
    if len(signs) == 1:
        listed = [_integer(group) for group in groups]
        return [_decimal(*groups), *(listed if signs == [","] else [])]
    if signs[-1] != signs[-2] and len(set(signs[:-1])) == 1:
        return [_decimal("".join(groups[:-1]), groups[-1])]
    return [".".join(groups), *map(_integer, groups)]  # a version, a date, a list


def _integer(digits: str) -> str:
    """Without a leading zero, as in a date; the zeros of a longer number belong to a code."""
    digits = "".join(str(int(digit)) for digit in digits)  # any script's digits
    return digits.lstrip("0") or "0" if len(digits) <= 2 else digits


def _decimal(whole: str, fraction: str) -> str:
    rest = _integer("1" + fraction)[1:].rstrip("0")
    return f"{_integer(whole)}.{rest}" if rest else _integer(whole)


def spelt_value(values: Sequence[float]) -> str:
    """The number that words, or digits and a word, spell together.

    Example:
        >>> spelt_value([2, 100, 20, 3]), spelt_value([1.2, 1000000])
        ('223', '1200000')
    """
    total, current = 0.0, 0.0
    for value in values:
        if value == SCALES["hundred"]:
            current = (current or 1) * value
        elif value in SCALES.values():
            total, current = total + (current or 1) * value, 0.0
        else:
            current += value
    return f"{total + current:.6f}".rstrip("0").rstrip(".")
