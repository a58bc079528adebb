"""Data sets as others published them: MemAgent's `eval_N.json`, and BABILong's rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mhm_langgraph import SettingsError
from mhm_langgraph.evaluation.records import Sample
from mhm_langgraph.evaluation.tasks.answers import babi_answers
from mhm_langgraph.evaluation.tasks.base import Request, SampleSet, format_length
from mhm_langgraph.evaluation.tasks.data import BOOKS, QUESTIONS, digests
from mhm_langgraph.evaluation.tasks.rows import open_rows

__all__ = ["find_babilong_files", "find_eval_file", "open_babilong_files", "open_eval_file"]

_EVAL_FILE = re.compile(r"eval_(\d+)\.jsonl?")
# MemAgent names its files by their number of documents: 50 are the 7K column of the tables.
_TOKENS_PER_DOCUMENT = 7 * 1024 / 50
_TOLERANCE = 0.1
_SUFFIXES = (".json", ".jsonl", ".parquet")


def find_eval_file(data: Path, length: int) -> Path:
    """The `eval_N.json` of a length: the file itself, or the one in a folder.

    Raises:
        SettingsError: There is none of that length; the message names those there are.
    """
    paths = [data] if data.is_file() else sorted(data.rglob("eval_*.json*"))
    found = {path: int(match[1]) for path in paths if (match := _EVAL_FILE.fullmatch(path.name))}
    for path, documents in found.items():
        if abs(documents * _TOKENS_PER_DOCUMENT - length) <= _TOLERANCE * length:
            return path
    if not found:
        raise SettingsError(
            f"{str(data)!r} holds neither {QUESTIONS} nor MemAgent's eval_N.json: docs/evaluation.md says "
            "how a data folder is laid out."
        )
    there = sorted({round(documents * _TOKENS_PER_DOCUMENT) for documents in found.values()})
    raise SettingsError(
        f"length={format_length(length)}: {str(data)!r} holds contexts of "
        f"{', '.join(map(format_length, there))} only."
    )


def open_eval_file(request: Request, path: Path) -> SampleSet:
    """The first samples of one of MemAgent's files, as they are; see `open_task`."""
    rows = open_rows(path)
    _check_number(request, len(rows), path)
    _check_row(rows[0], ("input", "context", "answers"), path)
    ids = tuple(f"{path.stem}-{index:04d}" for index in range(request.samples))

    def build(index: int) -> Sample:
        row = rows[index]
        return _sample(
            request, row, ids[index], context=row["context"], question=row["input"], answers=row["answers"]
        )

    return SampleSet(
        request=request,
        ids=ids,
        build=build,
        description=f"MemAgent's data set as published, {path.name}: {len(rows):,} samples",
        files=digests([path], f"{format_length(request.length)}/"),
    )


def find_babilong_files(data: Path, request: Request) -> dict[str, Path]:
    """BABILong's file of each variant: such as `qa1/8k.json` or `8k/qa1-00000-of-00001.parquet`.

    Returns:
        The files by variant.

    Raises:
        SettingsError: There is none of this length for one of the variants.
    """
    if data.is_file():
        if len(request.variants) == 1:
            return {request.variants[0]: data}
        raise SettingsError(f"{str(data)!r} is one file: say of which variant it is, as variants=['qa1'].")
    label = format_length(request.length).lower()
    paths = sorted(path for path in data.rglob("*") if path.suffix in _SUFFIXES)
    found = {variant: _babilong_file(paths, variant, label) for variant in request.variants}
    missing = [variant for variant, path in found.items() if path is None]
    if missing:
        raise SettingsError(
            f"{str(data)!r} holds neither a folder {BOOKS!r} nor BABILong's rows of length {label} for "
            f"{', '.join(missing)}: docs/evaluation.md says how a data folder is laid out."
        )
    return {variant: path for variant, path in found.items() if path is not None}


def _babilong_file(paths: Sequence[Path], variant: str, label: str) -> Path | None:
    """`**/VARIANT/LENGTH.*` or `**/LENGTH/VARIANT.*`; a shard's number may follow."""
    for parent, name in ((variant, label), (label, variant)):
        named = re.compile(rf"{name}(?:-\d+-of-\d+)?")
        for path in paths:
            if path.parent.name.lower() == parent and named.fullmatch(path.stem.lower()):
                return path
    return None


def open_babilong_files(request: Request, files: Mapping[str, Path]) -> SampleSet:
    """The first samples of BABILong's files, the variants in turn; see `open_task`."""
    opened = {variant: open_rows(path) for variant, path in files.items()}
    variants = [request.variants[index % len(request.variants)] for index in range(request.samples)]
    for variant, rows in opened.items():
        _check_number(request, len(rows) * len(files), files[variant])
        _check_row(rows[0], ("input", "question", "target"), files[variant])
    ids = tuple(
        f"{index:04d}-{variant}-{index // len(request.variants):04d}"
        for index, variant in enumerate(variants)
    )

    def build(index: int) -> Sample:
        variant = variants[index]
        row = opened[variant][index // len(request.variants)]
        answers, all_needed = babi_answers(row["target"])
        return _sample(
            request,
            row,
            ids[index],
            context=row["input"],
            question=row["question"].strip(),
            answers=answers,
            variant=variant,
            all_needed=all_needed,
        )

    return SampleSet(
        request=request,
        ids=ids,
        build=build,
        description=f"BABILong as published: {', '.join(sorted({path.name for path in files.values()}))}",
        files=_digests(request, files),
    )


def _digests(request: Request, files: Mapping[str, Path]) -> dict[str, str]:
    """By length and variant: the files' own names may be the same."""
    label = format_length(request.length)
    named = [digests([path], f"{label}/{variant}/") for variant, path in files.items()]
    return {name: digest for one in named for name, digest in one.items()}


def _sample(
    request: Request,
    row: Mapping[str, Any],
    name: str,
    *,
    context: str,
    question: str,
    answers: Sequence[str],
    variant: str = "",
    all_needed: bool = False,
) -> Sample:
    if not isinstance(context, str):
        raise SettingsError(
            f"sample {name} holds numbers of documents in place of their text, as MemAgent's files of over "
            "1M tokens do: these can not be read here."
        )
    return Sample(
        id=name,
        task=request.task,
        variant=variant,
        length=request.length,
        tokens=request.count(context),
        question=question,
        context=context,
        answers=tuple(answers),
        all_needed=all_needed,
    )


def _check_number(request: Request, there: int, path: Path) -> None:
    if request.samples > there:
        raise SettingsError(f"samples={request.samples} is more than {path.name} allows: {there}.")


def _check_row(row: Any, keys: Sequence[str], path: Path) -> None:
    missing = [key for key in keys if key not in row]
    if missing:
        raise SettingsError(
            f"{path.name} is not in the published form: its rows have no {', '.join(missing)}."
        )
