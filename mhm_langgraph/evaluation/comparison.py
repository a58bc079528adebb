"""Two methods on the same samples: the paired difference, its interval, and a permutation test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mhm_langgraph.evaluation.measures import Score
from mhm_langgraph.evaluation.summary import scientific

__all__ = ["Comparison", "compare"]

_CONFIDENCE = 0.95
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A method against a baseline by one measure, at one length.

    Args:
        task: The task.
        length: Tokens that were asked for.
        method: The method.
        baseline: What it is compared with.
        measure: `accuracy`, `accuracy_words`, `f1`, `mcr`, `held` (in the final memory, over all
            samples) or `mrr` (in the final memory, over the samples that both captured).
        n: Samples in both.
        value: Mean of the method over these samples.
        other: Mean of the baseline over them.
        difference: Mean of the differences, sample by sample.
        low: Lower end of its 95% interval.
        high: Upper end of it.
        p: How likely a difference at least so large is if the two were alike (signs flipped at random).
    """

    task: str
    length: int
    method: str
    baseline: str
    measure: str
    n: int
    value: float
    other: float
    difference: float
    low: float
    high: float
    p: float


_Sums = tuple[float, int]
_MEASURES: dict[str, Callable[[Score], tuple[bool, float]]] = {
    "accuracy": lambda score: (True, score.correct),
    "accuracy_words": lambda score: (True, score.correct_words),
    "f1": lambda score: (True, score.f1),
    "mcr": lambda score: (score.tracked, score.captured),
    "held": lambda score: (score.tracked, score.retained),
    "mrr": lambda score: (score.captured, score.retained),
}


def compare(
    scores: Iterable[Score], method: str, baseline: str, *, resamples: int = 9999
) -> list[Comparison]:
    """Compare a method with a baseline, sample by sample, at each task and length that both have.

    A sample's runs are averaged first, failed ones left out; samples count that both methods have.

    Args:
        scores: The scores, of these and other methods.
        method: The method.
        baseline: What it is compared with.
        resamples: How often the bootstrap and the permutation test draw.

    Returns:
        A comparison for each task, length and measure for which there is a sample.

    Raises:
        SettingsError: The packages for statistics are missing.
    """
    groups: dict[tuple[str, int], dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        if score.error is None and score.method in {method, baseline}:
            groups[score.task, score.length][score.method].append(score)
    found = []
    for (task, length), by_method in sorted(groups.items()):
        for measure in _MEASURES:
            ours, theirs = (_by_sample(by_method[name], measure) for name in (method, baseline))
            if shared := sorted(ours.keys() & theirs.keys()):
                numbers = _compared(
                    [ours[sample] for sample in shared], [theirs[sample] for sample in shared], resamples
                )
                found.append(
                    Comparison(
                        task=task, length=length, method=method, baseline=baseline, measure=measure, **numbers
                    )
                )
    return found


def _by_sample(scores: Sequence[Score], measure: str) -> dict[tuple[str, str], float]:
    """A measure's mean over each sample's runs, of those that count for it."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for score in scores:
        counts, value = _MEASURES[measure](score)
        if counts:
            values[score.variant, score.sample].append(float(value))
    return {sample: sum(found) / len(found) for sample, found in values.items()}


def _compared(ours: Sequence[float], theirs: Sequence[float], resamples: int) -> dict[str, Any]:
    numpy, _ = scientific()
    one, two = numpy.array(ours), numpy.array(theirs)
    low, high, p = _difference(one - two, resamples)
    return {
        "n": len(ours),
        "value": float(one.mean()),
        "other": float(two.mean()),
        "difference": float((one - two).mean()),
        "low": low,
        "high": high,
        "p": p,
    }


def _difference(differences: Any, resamples: int) -> tuple[float, float, float]:
    """The 95% interval of a mean difference, and the p-value of flipping signs."""
    numpy, stats = scientific()
    options = {"vectorized": True, "n_resamples": resamples, "rng": numpy.random.default_rng(_SEED)}
    if numpy.ptp(differences) == 0:
        low, high = _unanimous(float(differences[0]), len(differences))
    else:
        drawn = stats.bootstrap(
            (differences,), numpy.mean, confidence_level=_CONFIDENCE, method="percentile", **options
        )
        low, high = (float(end) for end in drawn.confidence_interval)
    if len(differences) == 1:  # one sample tells nothing
        return low, high, 1.0
    test = stats.permutation_test((differences,), numpy.mean, permutation_type="samples", **options)
    return low, high, float(test.pvalue)


def _unanimous(difference: float, number: int) -> tuple[float, float]:
    """Where all samples differ alike nothing can be drawn, and few of them tell little all the same.

    As many as Wilson's interval allows for may differ otherwise, by anything from -1 to 1.
    """
    _, stats = scientific()
    others = float(stats.binomtest(0, number).proportion_ci(_CONFIDENCE, method="wilson").high)
    return difference - others * (1 + difference), difference + others * (1 - difference)
