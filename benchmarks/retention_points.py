"""What is simulated and summed for `benchmarks.retention`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mhm_langgraph import create_mhm_agent
from mhm_langgraph.evaluation import Sample
from mhm_langgraph.evaluation.simulation import Simulation, simulate
from mhm_langgraph.retention import Rates, expected_retention

__all__ = [
    "CHUNK_TOKENS",
    "COPIES",
    "FACTS",
    "HEADS",
    "LENGTHS",
    "Point",
    "interval",
    "measure",
    "named",
    "setting",
    "steps_of",
    "through_the_graph",
]

CHUNK_TOKENS: Final = 5000
HEADS: Final = (1, 2, 4, 8)
LENGTHS: Final = tuple(k * 1024 for k in (7, 14, 28, 56, 112, 224, 448, 896, 1024))
COPIES: Final = (0.0, Rates.copy)
FACTS: Final = 2000  # a point: few enough that the intervals can be seen

_READINGS = 60  # a number of heads, through the real graph
_FILLER = "It rained on the harbour all day long.\n\n"
_LINE = "The code of Ghent is 7319."


@dataclass(frozen=True, kw_only=True)
class Point:
    """The retention at one length, as simulated and as summed.

    Args:
        copy: The chance of a copy.
        heads: Number of heads.
        length: Tokens of the text.
        steps: Steps of the reading.
        captured: How many facts were captured.
        simulated: The share of them in the final memory.
        interval: Its 95% interval (Wilson).
        expected: What the closed form or the chain says.
    """

    copy: float
    heads: int
    length: int
    steps: int
    captured: int
    simulated: float
    interval: tuple[float, float]
    expected: float


def steps_of(length: int) -> int:
    """Steps of a text with chunks of 5,000 tokens."""
    return -(-length // CHUNK_TOKENS)


def interval(successes: int, number: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson)."""
    from scipy.stats import binomtest

    low, high = binomtest(successes, number).proportion_ci(method="wilson")
    return float(low), float(high)


def measure(facts: int = FACTS) -> list[Point]:
    """Every number of heads at every length, without and with copies."""
    return [_point(copy, heads, length, facts) for copy in COPIES for heads in HEADS for length in LENGTHS]


def _point(copy: float, heads: int, length: int, facts: int) -> Point:
    rates, steps = Rates(copy=copy), steps_of(length)
    fates = simulate(heads, steps, rates, facts=facts, seed=length * 100 + heads)
    kept, captured = int(fates.retained.sum()), len(fates.retained)
    return Point(
        copy=copy,
        heads=heads,
        length=length,
        steps=steps,
        captured=captured,
        simulated=kept / captured,
        interval=interval(kept, captured),
        expected=expected_retention(heads, steps, rates),
    )


def through_the_graph(readings: int = _READINGS, steps: int = 200) -> Iterator[dict[str, Any]]:
    """The same through `create_mhm_agent`: whole readings of so many chunks, one fact in each."""
    for heads in HEADS:
        captured = kept = 0
        for number in range(readings):
            sample = _sample(number, number * steps // readings, steps)
            reader = Simulation(rates=Rates(capture=1)).reader(sample)
            graph = create_mhm_agent(reader, heads=heads, chunk_tokens=len(_FILLER) // 4 + 1)
            out = graph.invoke({"question": sample.question, "document": sample.context})
            assert out["step"] == steps, out["step"]
            captured += 1
            kept += out["answer"] == _LINE
        yield {
            "heads": heads,
            "steps": steps,
            "readings": captured,
            "retention": kept / captured,
            "interval": interval(kept, captured),
            "expected": expected_retention(heads, steps),
        }


def _sample(number: int, place: int, steps: int) -> Sample:
    start = len(_FILLER) * place
    return Sample(
        id=str(number),
        task="needle",
        length=10 * steps,
        tokens=10 * steps,
        question="Which code?",
        context=_FILLER * place + _LINE + "\n\n" + _FILLER * (steps - 1 - place),
        answers=("7319",),
        evidence=((start, start + len(_LINE)),),
    )


def named(heads: int) -> str:
    """A number of heads, in words."""
    return f"{heads} head{'s' * (heads > 1)}"


def setting(copy: float) -> str:
    """A chance of a copy, and what its sum is."""
    return "no copies (c = 0): closed form" if copy == 0 else f"copies (c = {copy:g}): Markov chain"
