"""The `ruler-hqa` task: a HotpotQA question, its gold paragraphs placed among distractor paragraphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mhm_langgraph.evaluation.records import Sample
from mhm_langgraph.evaluation.tasks.base import Draft, Request, SampleSet, fit, generator, in_turn, shuffled
from mhm_langgraph.evaluation.tasks.data import (
    PARAGRAPHS,
    QUESTIONS,
    HotpotQuestion,
    Paragraph,
    digests,
    folder,
    read_hotpot,
    read_paragraphs,
)
from mhm_langgraph.evaluation.tasks.published import find_eval_file, open_eval_file

__all__ = ["open_ruler"]

_LABEL = "Document {number}:\n"
_BETWEEN = "\n\n"
_AROUND = (
    len(_LABEL.format(number=1000)) + len("\n") + len(_BETWEEN)
)  # characters a document costs beside its text


def open_ruler(request: Request, data: str | Path | None) -> SampleSet:
    """Samples of the task; see `open_task`."""
    path = folder(data)
    if path.is_file() or not (path / QUESTIONS).exists():
        return open_eval_file(request, find_eval_file(path, request.length))
    return _open(request, path)


def _open(request: Request, path: Path) -> SampleSet:
    questions, pool = read_hotpot(path), read_paragraphs(path)
    chosen = [in_turn(questions, generator(request), index) for index in range(request.samples)]
    ids = tuple(f"{index:04d}-{question.id}" for index, question in enumerate(chosen))

    def build(index: int) -> Sample:
        return _build(request, chosen[index], pool, index, ids[index])

    return SampleSet(
        request=request,
        ids=ids,
        build=build,
        description=f"HotpotQA: {len(questions):,} questions, {len(pool):,} paragraphs",
        files=digests([path / QUESTIONS, path / PARAGRAPHS]),
    )


@dataclass(frozen=True)
class _Documents:
    """What a context is chosen from: what must stand in it, and the rest in the order it is taken."""

    gold: Sequence[Paragraph]
    others: Sequence[Paragraph]

    def about(self, size: int) -> list[Paragraph]:
        """Paragraphs of about so many characters together, gold first."""
        left, taken = size - sum(map(_size, self.gold)), 0
        while taken < len(self.others) and _size(self.others[taken]) <= left:
            left -= _size(self.others[taken])
            taken += 1
        chosen, rest = [*self.gold, *self.others[:taken]], list(self.others[taken:])
        # Those that fill what is left best: a context of a few thousand tokens may end in a long one else.
        while fitting := [paragraph for paragraph in rest if _size(paragraph) <= left]:
            chosen.append(max(fitting, key=_size))
            rest.remove(chosen[-1])
            left -= _size(chosen[-1])
        return chosen


def _size(paragraph: Paragraph) -> int:
    return len(paragraph.title) + len(paragraph.text) + _AROUND


def _build(
    request: Request, question: HotpotQuestion, pool: Sequence[Paragraph], index: int, name: str
) -> Sample:
    """The sample of an index."""
    documents = _Documents(question.gold, _distractors(request, question, pool, index))

    def draft(size: int) -> Draft:
        chosen = documents.about(size)
        order = shuffled(chosen, generator(request, "places", index))
        text, evidence = _written(order, set(question.gold))
        return Draft(text, evidence, whole=len(chosen) == len(documents.gold) + len(documents.others))

    made, tokens = fit(draft, request, what=f"the pool of {len(pool):,} paragraphs")
    return Sample(
        id=name,
        task=request.task,
        length=request.length,
        tokens=tokens,
        question=question.question,
        context=made.text,
        answers=(question.answer,),
        evidence=made.evidence,
    )


def _distractors(
    request: Request, question: HotpotQuestion, pool: Sequence[Paragraph], index: int
) -> list[Paragraph]:
    """The question's own hard distractors, then the pool at random; gold of other questions is in it."""
    gold, own = {paragraph.title for paragraph in question.gold}, set(question.distractors)
    hard = [paragraph for paragraph in pool if paragraph.title in own - gold]
    rest = [paragraph for paragraph in pool if paragraph.title not in own | gold]
    chance = generator(request, "pool", index)
    return [*shuffled(hard, chance), *shuffled(rest, chance)]


def _written(documents: Sequence[Paragraph], gold: set[Paragraph]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The documents under their numbers, as MemAgent's data set writes them, and where gold text stands."""
    parts: list[str] = []
    evidence, length = [], 0
    for number, paragraph in enumerate(documents, start=1):
        before = f"{_BETWEEN if parts else ''}{_LABEL.format(number=number)}{paragraph.title}\n"
        parts += [before, paragraph.text]
        start = length + len(before)
        length = start + len(paragraph.text)
        if paragraph in gold:
            evidence.append((start, length))
    return "".join(parts), tuple(evidence)
