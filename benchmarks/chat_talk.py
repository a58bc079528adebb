"""Long conversations with facts in them: stated once, some corrected later, real text in between."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mhm_langgraph.text import sentences

__all__ = ["LAGS", "Fact", "Statement", "Talk", "data_folder", "make_talk"]

LAGS = (50, 100, 200)
"""How many turns after a fact's last statement it is looked for."""

_STATED = (0, 60)  # turns at which facts are stated
_CORRECTED = (20, 50)  # turns between a statement and its correction
_TURNS = _STATED[1] + _CORRECTED[1] + max(LAGS) + 1
_ROOT = Path(__file__).resolve().parents[1]
_NAMES = [
    "Argos",
    "Ines",
    "Bruno",
    "Clara",
    "Dalia",
    "Egon",
    "Fausto",
    "Greta",
    "Hilda",
    "Igor",
    "Jonas",
    "Katja",
    "Livia",
    "Mirko",
    "Nadia",
    "Oskar",
]
_TOWNS = [
    "Lisbon",
    "Porto",
    "Vienna",
    "Tallinn",
    "Bergen",
    "Ghent",
    "Turin",
    "Malmo",
    "Riga",
    "Graz",
    "Bilbao",
    "Leipzig",
    "Tampere",
    "Utrecht",
]
_FIRMS = [
    "Acmetron",
    "Belvaro",
    "Cinderex",
    "Dovetail",
    "Everline",
    "Fluxton",
    "Gantrix",
    "Holmbury",
    "Ivolin",
    "Jasperco",
]
_DISHES = [
    "lasagna",
    "ramen",
    "moussaka",
    "pierogi",
    "gumbo",
    "bibimbap",
    "ratatouille",
    "ceviche",
    "goulash",
    "falafel",
]
_DAYS = [f"{day} {month}" for month in ("March", "June", "August") for day in (3, 9, 14, 21, 27)]
_CODES = [str(number) for number in range(4117, 9990, 419)]

_KINDS = [
    ("My dog is called {}.", "We renamed my dog: it is {} now.", "What is my dog called?", _NAMES),
    ("I live in {}.", "I moved to {}.", "In which town do I live?", _TOWNS),
    ("I work at {}.", "I changed jobs: I am at {} now.", "Where do I work?", _FIRMS),
    (
        "My favourite dish is {}.",
        "I changed my mind: my favourite dish is {}.",
        "What is my favourite dish?",
        _DISHES,
    ),
    (
        "My dentist sees me on {}.",
        "My dentist moved my appointment to {}.",
        "When does my dentist see me?",
        _DAYS,
    ),
    (
        "The code of my locker is {}.",
        "The code of my locker was changed to {}.",
        "What is the code of my locker?",
        _CODES,
    ),
    ("My sister is called {}.", "I misspoke: my sister is called {}.", "What is my sister called?", _NAMES),
    ("My parents live in {}.", "My parents moved to {}.", "In which town do my parents live?", _TOWNS),
    (
        "My bank is {}.",
        "I left my bank and went to {}.",
        "Which bank do I use?",
        _FIRMS,
    ),
    (
        "My son will not eat {}.",
        "My son will eat that again, but no {}.",
        "What will my son not eat?",
        _DISHES,
    ),
    (
        "My daughter's birthday is {}.",
        "I mixed it up: my daughter's birthday is {}.",
        "When is my daughter's birthday?",
        _DAYS,
    ),
    (
        "My ticket has the number {}.",
        "My ticket was changed, its number is {} now.",
        "What is the number of my ticket?",
        _CODES,
    ),
]
"""A statement, its correction, the question, and where values come from."""


@dataclass(frozen=True)
class Statement:
    """One version of a fact, as the user says it at a turn."""

    turn: int
    text: str
    value: str


@dataclass(frozen=True)
class Fact:
    """A fact: what was said of it, the last word last."""

    key: int
    statements: tuple[Statement, ...]
    question: str


@dataclass(frozen=True)
class Talk:
    """What a user says, turn by turn, and the facts in it."""

    turns: tuple[str, ...]
    facts: tuple[Fact, ...]


def make_talk(seed: int, *, filler: str = "paragraph") -> Talk:
    """A conversation; the same seed gives the same one.

    Args:
        seed: Of all choices: values, turns, which facts are corrected, which text lies between.
        filler: What the user says otherwise: a `paragraph` of the encyclopedia a turn, or a `sentence`.

    Returns:
        312 turns with 12 facts, 6 of them corrected.
    """
    chance = random.Random(f"chat {seed}")  # noqa: S311  # not for secrets
    facts = _facts(chance)
    between = _filler(chance, facts, filler)
    turns = [next(between) for _ in range(_TURNS)]
    for fact in facts:
        for statement in fact.statements:
            turns[statement.turn] = f"{statement.text} {turns[statement.turn]}"
    return Talk(tuple(turns), facts)


def _facts(chance: random.Random) -> tuple[Fact, ...]:
    free = {id(values): chance.sample(values, len(values)) for *_, values in _KINDS}
    places = chance.sample(range(*_STATED), len(_KINDS))
    corrected = set(chance.sample(range(len(_KINDS)), len(_KINDS) // 2))
    facts = []
    for key, (first, again, question, values) in enumerate(_KINDS):
        value = free[id(values)].pop()
        said = [Statement(places[key], first.format(value), value)]
        if key in corrected:
            value = free[id(values)].pop()
            said.append(Statement(places[key] + chance.randint(*_CORRECTED), again.format(value), value))
        facts.append(Fact(key, tuple(said), question))
    return tuple(facts)


def _filler(chance: random.Random, facts: tuple[Fact, ...], kind: str) -> Iterator[str]:
    """Texts that hold none of the values: where a value is seen, it was remembered."""
    values = {statement.value for fact in facts for statement in fact.statements}
    forbidden = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(values)))})\b", flags=re.IGNORECASE)
    texts = [text for text in _texts(kind) if not forbidden.search(text)]
    while True:
        yield from chance.sample(texts, len(texts))


@cache
def _texts(kind: str) -> tuple[str, ...]:
    with gzip.open(data_folder() / "wiki_paragraphs.jsonl.gz", "rt", encoding="utf-8") as file:
        paragraphs = [json.loads(line)["text"] for line in file][:2000]
    if kind == "paragraph":
        return tuple(text for text in paragraphs if 200 < len(text) < 800)
    found = (" ".join(sentence.split()) for text in paragraphs for sentence in sentences(text))
    return tuple(sentence for sentence in found if 50 < len(sentence) < 100)


def data_folder() -> Path:
    """Where the text between comes from: the shared data where it is, else what ships with the package."""
    shared = _ROOT.parent / "shared" / "data"
    return shared if shared.is_dir() else _ROOT / "mhm_langgraph" / "evaluation" / "data"
