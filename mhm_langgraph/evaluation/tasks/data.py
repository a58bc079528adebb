"""Reading the data that tasks are built from; each file is parsed once a process."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from mhm_langgraph import SettingsError
from mhm_langgraph.text import sentence_ends

__all__ = [
    "BOOKS",
    "PARAGRAPHS",
    "QUESTIONS",
    "SHIPPED",
    "Books",
    "HotpotQuestion",
    "Paragraph",
    "Story",
    "babi_file",
    "digests",
    "folder",
    "read_books",
    "read_hotpot",
    "read_paragraphs",
    "read_stories",
]

SHIPPED = Path(__file__).parents[1] / "data"
"""The sample of each file that comes with the package."""

QUESTIONS = "hotpotqa_questions.jsonl.gz"
PARAGRAPHS = "wiki_paragraphs.jsonl.gz"
BOOKS = "books"

_T = TypeVar("_T")
_BETWEEN_BOOKS = "\n\n"
_LAYOUT = "docs/evaluation.md says how a data folder is laid out."


@dataclass(frozen=True)
class Paragraph:
    """A Wikipedia paragraph of HotpotQA."""

    title: str
    text: str


@dataclass(frozen=True)
class HotpotQuestion:
    """A question of HotpotQA.

    Args:
        id: The data set's own id.
        question: The question.
        answer: The gold answer.
        gold: The paragraphs it stands on, two.
        distractors: Titles of the other paragraphs of its own original context: the hard distractors.
    """

    id: str
    question: str
    answer: str
    gold: tuple[Paragraph, ...]
    distractors: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """A question of bAbI with all facts of its story up to it.

    Args:
        id: Number of the story in its file, and of the question's line in the story.
        facts: The facts in order.
        question: The question.
        answer: The gold answer, as the file has it.
        supporting: Which of the facts the answer stands on.
    """

    id: str
    facts: tuple[str, ...]
    question: str
    answer: str
    supporting: tuple[int, ...]


@dataclass(frozen=True)
class Books:
    """Book text to hide facts in: all books in a row, the first again after the last.

    Args:
        names: The files' names.
        text: The books' text, twice: a context may begin anywhere and run over the end.
        ends: Where sentences end in it, before the white space that follows.
        size: Characters of it that are not repeated.
    """

    names: tuple[str, ...]
    text: str
    ends: tuple[int, ...]
    size: int


def folder(data: str | Path | None) -> Path:
    """The folder that is meant: the shipped sample where none is named.

    Raises:
        SettingsError: There is nothing of that name.
    """
    path = SHIPPED if data is None else Path(data).expanduser()
    if not path.exists():
        raise SettingsError(
            f"data={str(path)!r} does not exist: name a folder of data files, or leave it out."
        )
    return path


def read_hotpot(data: Path) -> tuple[HotpotQuestion, ...]:
    """The questions of `hotpotqa_questions.jsonl.gz`, in the file's order."""
    return _once(_parse_hotpot, data / QUESTIONS)


def read_paragraphs(data: Path) -> tuple[Paragraph, ...]:
    """The pool of `wiki_paragraphs.jsonl.gz`, in the file's order; gold paragraphs are in it."""
    return _once(_parse_paragraphs, data / PARAGRAPHS)


def babi_file(data: Path, variant: str) -> Path:
    """Where the stories of a bAbI task stand."""
    return data / "babi" / f"{variant}_test.txt"


def read_stories(data: Path, variant: str) -> tuple[Story, ...]:
    """The questions of a bAbI task, such as `qa1`, each with its story up to it."""
    return _once(_parse_stories, babi_file(data, variant))


def read_books(data: Path) -> Books:
    """All `books/*.txt` and `books/*.txt.gz`, in the order of their names.

    Raises:
        SettingsError: There is none.
    """
    paths = sorted([*(data / BOOKS).glob("*.txt"), *(data / BOOKS).glob("*.txt.gz")])
    if not paths:
        raise SettingsError(f"there is no book in {str(data / BOOKS)!r}: put .txt or .txt.gz files there.")
    return _joined(tuple(_stamped(path) for path in paths))


def digests(paths: Sequence[Path], within: str = "") -> dict[str, str]:
    """The sha256 of each file's content, by the file's name, after what it is a part of (such as `7K/`)."""
    return {f"{within}{path.name}": _once(_digest, path) for path in paths}


@dataclass(frozen=True)
class _Stamped:
    """A file as it is now: when it changes it is read again."""

    path: Path
    changed: int
    size: int


def _stamped(path: Path) -> _Stamped:
    try:
        found = path.stat()
    except OSError as error:
        raise SettingsError(f"{str(path)!r} can not be read ({error.strerror}); {_LAYOUT}") from error
    return _Stamped(path, found.st_mtime_ns, found.st_size)


def _once(parse: Callable[[Path], _T], path: Path) -> _T:
    parsed: _T = _parsed(parse, _stamped(path))
    return parsed


@lru_cache(maxsize=64)
def _parsed(parse: Callable[[Path], Any], file: _Stamped) -> Any:
    try:
        return parse(file.path)
    except (ValueError, KeyError, TypeError, EOFError, gzip.BadGzipFile) as error:
        raise SettingsError(
            f"{str(file.path)!r} is not in the form that is read here ({type(error).__name__}: "
            f"{error!s:.200}); {_LAYOUT}"
        ) from error


def _lines(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        yield from file


def _parse_hotpot(path: Path) -> tuple[HotpotQuestion, ...]:
    return tuple(
        HotpotQuestion(
            id=record["id"],
            question=record["question"],
            answer=record["answer"],
            gold=tuple(Paragraph(title, text) for title, text in record["gold"]),
            distractors=tuple(record["distractor_titles"]),
        )
        for record in map(json.loads, _lines(path))
    )


def _parse_paragraphs(path: Path) -> tuple[Paragraph, ...]:
    return tuple(Paragraph(record["title"], record["text"]) for record in map(json.loads, _lines(path)))


def _parse_stories(path: Path) -> tuple[Story, ...]:
    found, number = [], 0
    facts: dict[int, str] = {}  # by the line's number in its story
    for line in _lines(path):
        place, text = line.rstrip("\n").split(" ", 1)
        if place == "1":
            facts, number = {}, number + 1
        if "\t" not in text:
            facts[int(place)] = text.strip()
            continue
        question, answer, supporting = text.split("\t")
        lines = list(facts)
        found.append(
            Story(
                id=f"story{number}-line{place}",
                facts=tuple(facts.values()),
                question=question.strip(),
                answer=answer.strip(),
                supporting=tuple(lines.index(int(line)) for line in supporting.split()),
            )
        )
    return tuple(found)


@lru_cache(maxsize=4)
def _joined(files: tuple[_Stamped, ...]) -> Books:
    once = _BETWEEN_BOOKS.join("".join(_lines(file.path)).strip() for file in files) + _BETWEEN_BOOKS
    ends = _plain_ends(once)
    return Books(
        names=tuple(file.path.name for file in files),
        text=once * 2,
        ends=(*ends, *(end + len(once) for end in ends)),
        size=len(once),
    )


def _plain_ends(text: str) -> list[int]:
    """Where sentences end, white space left to the next; blank lines between them are no sentences."""
    return [
        start + len(sentence)
        for start, end in pairwise([0, *sentence_ends(text)])
        if (sentence := text[start:end].rstrip())
    ]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
