"""How long a captured fact stays in memory: the Kaplan-Meier curve by steps since its capture."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from mhm_langgraph.evaluation.measures import Score
from mhm_langgraph.evaluation.summary import scientific

__all__ = ["Survival", "survival_curve"]

_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Survival:
    """A survival curve: a step function that holds each value until the next of its steps.

    Args:
        steps: Turns since capture, growing, from 0.
        share: Share of captured facts that are still held after so many turns.
        low: Lower end of its 95% band.
        high: Upper end of it.
        at_risk: Facts that were watched so long and still held just before.
        n: Captured facts.
        lost: Those that were lost for good; the others were held when reading ended.
    """

    steps: tuple[int, ...]
    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    at_risk: tuple[int, ...]
    n: int
    lost: int


def survival_curve(scores: Iterable[Score]) -> Survival | None:
    """The survival curve of captured facts.

    A fact that is lost and captured again counts as held until it is gone for good; one that is held at the
    end counts as watched until then (right-censored). Repeated runs of a sample count as facts of their own.

    Args:
        scores: Scores of one method, or of whatever shall share a curve.

    Returns:
        The curve; None where nothing was captured.

    Raises:
        SettingsError: The packages for statistics are missing.
    """
    kept = [(score.kept, score.retained) for score in scores if score.kept is not None]
    if not kept:
        return None
    _, stats = scientific()
    censored = stats.CensoredData.right_censored([turns for turns, _ in kept], [end for _, end in kept])
    with warnings.catch_warnings():  # the band has no width where the share is 0 or 1
        warnings.simplefilter("ignore", RuntimeWarning)
        curve = stats.ecdf(censored).sf
        band = curve.confidence_interval(_CONFIDENCE, method="log-log")
    steps = [int(step) for step in curve.quantiles]
    share = [float(value) for value in curve.probabilities]
    ends = [
        [float(end) if end == end else value for end, value in zip(side.probabilities, share, strict=True)]
        for side in (band.low, band.high)
    ]
    if steps[0] > 0:  # all are held when they are captured
        steps, share, ends = [0, *steps], [1.0, *share], [[1.0, *end] for end in ends]
    return Survival(
        steps=tuple(steps),
        share=tuple(share),
        low=tuple(ends[0]),
        high=tuple(ends[1]),
        at_risk=tuple(sum(turns >= step for turns, _ in kept) for step in steps),
        n=len(kept),
        lost=sum(not end for _, end in kept),
    )
