"""Scores put together: one line for each task, length and method, with intervals."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mhm_langgraph import SettingsError
from mhm_langgraph.evaluation.measures import Score

__all__ = ["Estimate", "Summary", "scientific", "summarise"]

_CONFIDENCE = 0.95
_RATES = {"mcr", "mrr", "reachable", "accuracy", "accuracy_words", "exact"}  # of things that are so or not
_SEED = 0  # intervals are the same each time


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with how sure it is.

    Args:
        value: The mean over all samples and runs.
        low: Lower end of its 95% interval.
        high: Upper end of it.
        n: Samples it is over, each counted once however often it was run.
        std: Standard deviation of the runs' own means; None with one run.
    """

    value: float
    low: float
    high: float
    n: int
    std: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One line of a table. A measure is None where no sample counts for it.

    Args:
        task: The task.
        variant: The variant; empty for all together.
        length: Tokens that were asked for.
        method: The method.
        samples: Samples that were scored, each counted once.
        runs: Runs there are.
        failures: Runs of a sample that failed; in no measure.
        mcr: Memory capture rate.
        mrr: Memory retention rate, over what was captured.
        reachable: The same, counting what was recalled for the answer beside the final memory.
        accuracy: The paper's accuracy (substring).
        accuracy_words: Accuracy in whole words.
        f1: HotpotQA's F1.
        exact: HotpotQA's exact match.
        input_tokens: Tokens of prompts, a sample.
        output_tokens: Tokens of replies, a sample.
        calls: Model calls, a sample.
        seconds: Wall time, a sample.
    """

    task: str
    variant: str
    length: int
    method: str
    samples: int
    runs: int
    failures: int
    mcr: Estimate | None
    mrr: Estimate | None
    reachable: Estimate | None
    accuracy: Estimate | None
    accuracy_words: Estimate | None
    f1: Estimate | None
    exact: Estimate | None
    input_tokens: Estimate | None
    output_tokens: Estimate | None
    calls: Estimate | None
    seconds: Estimate | None


_Value = Callable[[Score], float | None]


def _if(condition: str, value: str) -> _Value:
    """A measure over those only for which a condition holds."""
    return lambda score: float(getattr(score, value)) if getattr(score, condition) else None


def _always(value: str) -> _Value:
    return lambda score: float(getattr(score, value))


_MEASURES: dict[str, _Value] = {
    "mcr": _if("tracked", "captured"),
    "mrr": _if("captured", "retained"),
    "reachable": _if("captured", "reachable"),
    "accuracy": _always("correct"),
    "accuracy_words": _always("correct_words"),
    **{name: _always(name) for name in ("f1", "exact", "input_tokens", "output_tokens", "calls", "seconds")},
}


def summarise(scores: Iterable[Score], *, by_variant: bool = False, resamples: int = 2000) -> list[Summary]:
    """Put scores together by task, length and method.

    Args:
        scores: The scores, in any order.
        by_variant: Whether each variant has lines of its own, in place of all variants together.
        resamples: How often the bootstrap draws.

    Returns:
        The lines by task, variant and length, methods in the order in which they first come.

    Raises:
        SettingsError: The packages for statistics are missing.
    """
    groups: dict[tuple[str, str, int, str], list[Score]] = defaultdict(list)
    for score in scores:
        groups[score.task, score.variant if by_variant else "", score.length, score.method].append(score)
    methods = list(dict.fromkeys(method for *_, method in groups))
    order = sorted(groups, key=lambda key: (key[0], _natural(key[1]), key[2], methods.index(key[3])))
    return [_summary(key, groups[key], resamples) for key in order]


def _natural(name: str) -> list[tuple[int, str]]:
    """What names with numbers are sorted by: qa2 before qa10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _summary(key: tuple[str, str, int, str], scores: Sequence[Score], resamples: int) -> Summary:
    task, variant, length, method = key
    scored = [score for score in scores if score.error is None]
    estimates = {
        name: _estimate(scored, value, resamples, rate=name in _RATES) for name, value in _MEASURES.items()
    }
    return Summary(
        task=task,
        variant=variant,
        length=length,
        method=method,
        samples=len({score.sample for score in scored}),
        runs=len({score.run for score in scores}),
        failures=len(scores) - len(scored),
        **estimates,
    )


def _estimate(scores: Sequence[Score], value: _Value, resamples: int, *, rate: bool) -> Estimate | None:
    """The mean of a measure over samples and runs, its interval from drawing whole samples anew."""
    by_sample: dict[tuple[str, str], list[float]] = defaultdict(list)
    by_run: dict[int, list[float]] = defaultdict(list)
    for score in scores:
        if (measured := value(score)) is not None:
            by_sample[score.variant, score.sample].append(measured)
            by_run[score.run].append(measured)
    if not by_sample:
        return None
    numpy, _ = scientific()
    ordered = [by_sample[sample] for sample in sorted(by_sample)]  # or the draws would tell who came first
    sums, counts = numpy.array([sum(values) for values in ordered]), numpy.array(list(map(len, ordered)))
    low, high = _interval(sums, counts, resamples, rate=rate)
    means = [sum(values) / len(values) for values in by_run.values()]
    return Estimate(
        value=float(sums.sum() / counts.sum()),
        low=low,
        high=high,
        n=len(by_sample),
        std=float(numpy.std(means, ddof=1)) if len(means) > 1 else None,
    )


def _interval(sums: Any, counts: Any, resamples: int, *, rate: bool) -> tuple[float, float]:
    """The 95% interval of a mean over samples that were each run a number of times."""
    numpy, stats = scientific()
    means = sums / counts
    if numpy.ptp(means) == 0:
        return _unanimous(float(means[0]), len(means), rate=rate)
    drawn = stats.bootstrap(
        (sums, counts),
        lambda total, number, axis: total.sum(axis=axis) / number.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=numpy.random.default_rng(_SEED),
    )
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def _unanimous(value: float, number: int, *, rate: bool) -> tuple[float, float]:
    """Where all samples agree nothing can be drawn; of a rate of 0 or 1, Wilson's interval still tells."""
    if not rate or value not in {0.0, 1.0}:
        return value, value
    _, stats = scientific()
    interval = stats.binomtest(round(value * number), number).proportion_ci(_CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def scientific() -> tuple[Any, Any]:
    """NumPy and SciPy's statistics.

    Raises:
        SettingsError: They are not installed.
    """
    try:
        import numpy
        from scipy import stats
    except ImportError as error:
        raise SettingsError(
            'intervals and tests need packages for statistics: pip install "mhm-langgraph[eval]"'
        ) from error
    return numpy, stats
