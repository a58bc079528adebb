"""The tasks: contexts of an asked-for length from real text, reproducibly from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mhm_langgraph import SettingsError
from mhm_langgraph.errors import shown
from mhm_langgraph.evaluation.tasks import babilong, needle, ruler
from mhm_langgraph.evaluation.tasks.base import Request, SampleSet, format_length, parse_length
from mhm_langgraph.tokens import TokenCounter, utf8_tokens

__all__ = ["TASKS", "SampleSet", "Task", "format_length", "open_task", "parse_length"]


@dataclass(frozen=True)
class Task:
    """A task that can be opened.

    Args:
        summary: What it asks, in a line.
        variants: Its kinds, those it has by default; empty where it has one.
        open: Opens it.
    """

    summary: str
    variants: tuple[str, ...]
    open: Callable[[Request, str | Path | None], SampleSet]


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "ruler-hqa": Task(
            "HotpotQA questions, their gold paragraphs among distractor paragraphs", (), ruler.open_ruler
        ),
        "babilong": Task("bAbI stories spread over book text", babilong.VARIANTS, babilong.open_babilong),
        "needle": Task("a code, or a few, hidden in book text", needle.VARIANTS, needle.open_needle),
    }
)
"""The tasks by name."""


def open_task(
    name: str,
    *,
    length: int | str,
    samples: int,
    seed: int = 0,
    data: str | Path | None = None,
    variants: Sequence[str] | None = None,
    count: TokenCounter = utf8_tokens,
) -> SampleSet:
    """Open a task: nothing is built until a sample is asked for.

    Args:
        name: `ruler-hqa`, `babilong` or `needle`.
        length: Tokens of each context, as a number or as `8K` or `1M`; contexts come within about 1% of
            it and never over. Published files are given as they are.
        samples: How many samples, over all variants.
        seed: What all chance is drawn from; with the index of a sample it decides everything in it.
        data: A folder of data files (docs/evaluation.md), or published files of the task; the small sample
            that comes with the package where it is left out.
        variants: Which of the task's kinds, taken in turn; all of them where it is left out.
        count: The token counter.

    Returns:
        The samples.

    Raises:
        SettingsError: The task, a variant or the length is not known, or the data is missing.

    Example:
        >>> samples = open_task("needle", length="4K", samples=3, variants=["single"])
        >>> samples.ids
        ('0000-single', '0001-single', '0002-single')
        >>> one = samples[1]
        >>> one.question
        'What is the access code of the ... office?'
        >>> start, end = one.evidence[0]
        >>> one.answers[0] in one.context[start:end], one.tokens <= 4096
        (True, True)
    """
    if name not in TASKS:
        raise SettingsError(f"task={shown(name)} is not known: choose {', '.join(TASKS)}.")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise SettingsError(f"samples={shown(samples)} is not allowed: ask for 1 or more.")
    task = TASKS[name]
    request = Request(
        task=name,
        length=parse_length(length),
        samples=samples,
        seed=seed,
        variants=_variants(name, task, variants),
        count=count,
    )
    return task.open(request, data)


def _variants(name: str, task: Task, asked: Sequence[str] | None) -> tuple[str, ...]:
    """The variants in the order they are taken."""
    chosen = task.variants if asked is None else tuple(dict.fromkeys(asked))
    unknown = [variant for variant in chosen if variant not in task.variants]
    if unknown or (task.variants and not chosen):
        known = f"choose of {', '.join(task.variants)}" if task.variants else f"{name} has none"
        raise SettingsError(f"variants={shown(list(asked or ()))} is not allowed: {known}.")
    return chosen
