"""The `babilong` task: a bAbI story's facts, in order, spread over book text."""

from __future__ import annotations

from pathlib import Path

from mhm_langgraph.evaluation.records import Sample
from mhm_langgraph.evaluation.tasks.answers import babi_answers
from mhm_langgraph.evaluation.tasks.base import Draft, Request, SampleSet, fit, generator, in_turn
from mhm_langgraph.evaluation.tasks.data import (
    BOOKS,
    Books,
    Story,
    babi_file,
    digests,
    folder,
    read_books,
    read_stories,
)
from mhm_langgraph.evaluation.tasks.hiding import depths, hide
from mhm_langgraph.evaluation.tasks.published import find_babilong_files, open_babilong_files

__all__ = ["VARIANTS", "open_babilong"]

VARIANTS = tuple(f"qa{number}" for number in range(1, 11))


def open_babilong(request: Request, data: str | Path | None) -> SampleSet:
    """Samples of the task; see `open_task`."""
    path = folder(data)
    if (path / BOOKS).is_dir():
        return _open(request, path)
    return open_babilong_files(request, find_babilong_files(path, request))


def _open(request: Request, path: Path) -> SampleSet:
    books = read_books(path)
    kinds = [request.variants[index % len(request.variants)] for index in range(request.samples)]
    chosen = [_story(request, path, variant, index) for index, variant in enumerate(kinds)]
    ids = tuple(
        f"{index:04d}-{variant}-{story.id}"
        for index, (variant, story) in enumerate(zip(kinds, chosen, strict=True))
    )

    def build(index: int) -> Sample:
        return _build(request, books, kinds[index], chosen[index], index, ids[index])

    return SampleSet(
        request=request,
        ids=ids,
        build=build,
        description=f"bAbI {', '.join(request.variants)} in {', '.join(books.names)}",
        files=digests(
            [babi_file(path, variant) for variant in request.variants]
            + [path / BOOKS / name for name in books.names]
        ),
    )


def _story(request: Request, path: Path, variant: str, index: int) -> Story:
    """The question of an index: a task's questions in random order, the variants in turn."""
    place = index // len(request.variants)
    return in_turn(read_stories(path, variant), generator(request, variant), place)


def _build(request: Request, books: Books, variant: str, story: Story, index: int, name: str) -> Sample:
    """The sample of an index."""
    chance = generator(request, variant, index)
    begin, places = chance.random(), depths(len(story.facts), chance)

    def draft(size: int) -> Draft:
        text, spans, whole = hide(books, begin, story.facts, places, size)
        return Draft(text, tuple(spans[fact] for fact in story.supporting), whole)

    made, tokens = fit(draft, request, what=f"the book text ({', '.join(books.names)})")
    answers, all_needed = babi_answers(story.answer)
    return Sample(
        id=name,
        task=request.task,
        variant=variant,
        length=request.length,
        tokens=tokens,
        question=story.question,
        context=made.text,
        answers=answers,
        all_needed=all_needed,
        evidence=made.evidence,
    )
