"""The `needle` task: one fact, or a few, hidden in book text."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mhm_langgraph.evaluation.records import Sample
from mhm_langgraph.evaluation.tasks.base import Draft, Request, SampleSet, fit, generator
from mhm_langgraph.evaluation.tasks.data import Books, digests, folder, read_books
from mhm_langgraph.evaluation.tasks.hiding import depths, hide

__all__ = ["VARIANTS", "open_needle"]

VARIANTS = ("single", "multi-key", "multi-value")

_OTHERS = 4  # facts of other keys beside the one that is asked for
_VALUES = 4  # values of one key, as in RULER
_CITIES = (
    *("Amsterdam", "Athens", "Bergen", "Bogota", "Brussels", "Cairo", "Chicago", "Copenhagen", "Denver"),
    *("Dublin", "Florence", "Geneva", "Hamburg", "Helsinki", "Istanbul", "Jakarta", "Kyoto", "Lima"),
    *("Lisbon", "Madrid", "Manila", "Marseille", "Melbourne", "Montreal", "Mumbai", "Nairobi", "Oslo"),
    *("Prague", "Quito", "Reykjavik", "Santiago", "Seattle", "Seville", "Singapore", "Stockholm", "Tallinn"),
    *("Toronto", "Valencia", "Vienna", "Warsaw", "Zagreb", "Zurich"),
)


@dataclass(frozen=True)
class _Needle:
    """What is hidden, and what is asked."""

    question: str
    asked: tuple[str, ...]
    others: tuple[str, ...]
    answers: tuple[str, ...]


def open_needle(request: Request, data: str | Path | None) -> SampleSet:
    """Samples of the task; see `open_task`."""
    path = folder(data)
    books = read_books(path)
    kinds = [request.variants[index % len(request.variants)] for index in range(request.samples)]
    return SampleSet(
        request=request,
        ids=tuple(f"{index:04d}-{kind}" for index, kind in enumerate(kinds)),
        build=lambda index: _build(request, books, kinds[index], index),
        description=f"codes of four digits hidden at sentence ends of {', '.join(books.names)}",
        files=digests([path / "books" / name for name in books.names]),
    )


def _build(request: Request, books: Books, variant: str, index: int) -> Sample:
    """The sample of an index."""
    chance = generator(request, variant, index)
    needle = _NEEDLES[variant](chance, books.text)
    facts = [*needle.asked, *needle.others]
    chance.shuffle(facts)
    begin, places = chance.random(), depths(len(facts), chance)

    def draft(size: int) -> Draft:
        text, spans, whole = hide(books, begin, facts, places, size)
        evidence = [span for fact, span in zip(facts, spans, strict=True) if fact in needle.asked]
        return Draft(text, tuple(evidence), whole)

    made, tokens = fit(draft, request, what=f"the book text ({', '.join(books.names)})")
    return Sample(
        id=f"{index:04d}-{variant}",
        task=request.task,
        variant=variant,
        length=request.length,
        tokens=tokens,
        question=needle.question,
        context=made.text,
        answers=needle.answers,
        all_needed=len(needle.answers) > 1,
        evidence=made.evidence,
    )


def _single(chance: random.Random, text: str) -> _Needle:
    """One code."""
    return _keys(chance, text, others=0)


def _multi_key(chance: random.Random, text: str) -> _Needle:
    """One code among codes of other cities."""
    return _keys(chance, text, others=_OTHERS)


def _keys(chance: random.Random, text: str, *, others: int) -> _Needle:
    cities, codes = chance.sample(_CITIES, others + 1), _codes(others + 1, chance, text)
    facts = [
        f"The access code of the {city} office is {code}." for city, code in zip(cities, codes, strict=True)
    ]
    return _Needle(
        question=f"What is the access code of the {cities[0]} office?",
        asked=(facts[0],),
        others=tuple(facts[1:]),
        answers=(codes[0],),
    )


def _multi_value(chance: random.Random, text: str) -> _Needle:
    """Several codes of one city, each in a place of its own."""
    city, codes = chance.choice(_CITIES), _codes(_VALUES, chance, text)
    return _Needle(
        question=f"What are all the access codes of the {city} office?",
        asked=tuple(f"One of the access codes of the {city} office is {code}." for code in codes),
        others=(),
        answers=tuple(codes),
    )


_NEEDLES: dict[str, Callable[[random.Random, str], _Needle]] = {
    "single": _single,
    "multi-key": _multi_key,
    "multi-value": _multi_value,
}


def _codes(number: int, chance: random.Random, text: str) -> Sequence[str]:
    """Different codes that stand nowhere in a text, not even within a longer number."""
    codes: list[str] = []
    while len(codes) < number:
        code = str(chance.randrange(1000, 10000))
        if code not in codes and code not in text:
            codes.append(code)
    return codes
