"""A reader that captures, forgets and copies facts by chance: a simulation, not a language model.

It shows what the architecture does by itself, at any length; docs/retention.md holds its sums against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from random import Random
from typing import TYPE_CHECKING, Any

from mhm_langgraph import Reader, Reply, SettingsError, Usage
from mhm_langgraph.evaluation.records import Sample
from mhm_langgraph.readers import AnswerRequest, UpdateRequest
from mhm_langgraph.readers.gates import Gate
from mhm_langgraph.retention import Rates
from mhm_langgraph.text import sentences

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Fact", "Fates", "SimulatedReader", "Simulation", "facts_of", "simulate"]

_NAME = "simulation"
_NOTHING = "-"  # of a head that holds nothing any more: an empty reply would leave it as it was
_ONE_CALL = Usage(input_tokens=0, output_tokens=0, calls=1)


@dataclass(frozen=True)
class Fact:
    """What a simulated reader can know of a text.

    Args:
        line: How it stands in memory: one line.
        places: Where it begins in the text, in characters; twice where the text says it twice.
    """

    line: str
    places: tuple[int, ...]


def facts_of(sample: Sample) -> list[Fact]:
    """The facts of a sample: of each passage of its evidence the sentence with the gold answer.

    Where no sentence of a passage has it, the first one stands for the passage.

    Example:
        >>> facts_of(Sample(
        ...     id="1", task="needle", length=20, tokens=20, question="Which code?", answers=("7319",),
        ...     context="It rained. Then it was fair. The code is 7319. It rained.", evidence=((11, 46),)))
        [Fact(line='The code is 7319.', places=(11,))]
    """
    places: dict[str, list[int]] = {}
    for start, end in sample.evidence:
        lines = [" ".join(sentence.split()) for sentence in sentences(sample.context[start:end])]
        telling = (line for line in lines if any(answer.lower() in line.lower() for answer in sample.answers))
        places.setdefault(next(telling, next(filter(None, lines), _NOTHING)), []).append(start)
    return [Fact(line, tuple(starts)) for line, starts in places.items()]


class SimulatedReader(Reader):
    """Knows the facts of its text beforehand, and holds, loses and copies them by chance.

    The same seed, step, head and fact have the same chance, whatever the order of the calls: a run that
    was stopped goes on as if it had not been.

    Args:
        facts: What there is to be captured. Their places count in characters of the text.
        rates: What a rewrite does to each of them.
        seed: Of all chances.

    Example:
        >>> from mhm_langgraph import create_mhm_agent
        >>> text = "It rained. " * 20 + "The code is 7319. " + "It rained. " * 20
        >>> sure = Rates(capture=1, forget=0, copy=0)
        >>> reader = SimulatedReader([Fact("The code is 7319.", (220,))], rates=sure)
        >>> graph = create_mhm_agent(reader, heads=2, chunk_tokens=20)
        >>> graph.invoke({"question": "Which code?", "document": text})["answer"]
        'The code is 7319.'
    """

    description = "simulation: captures, forgets and copies facts by chance; it is not a language model"

    def __init__(self, facts: Iterable[Fact], *, rates: Rates = Rates(), seed: int | str = 0) -> None:  # noqa: B008  # frozen
        self.facts, self.rates, self.seed = tuple(facts), rates, seed

    def update(self, request: UpdateRequest) -> Reply:
        """Rewrite a head: each fact is kept, copied or captured by its own chance.

        It knows where its facts stand, so of gates that are on it makes the best use there is: it skips
        every chunk without a fact, and exits once all of them are in memory.
        """
        if request.gates.update and not any(_in_chunk(fact, request) for fact in self.facts):
            return Reply(text="", usage=_ONE_CALL, gate="skip")
        here = set(request.heads[request.head].splitlines())
        others = _lines(text for index, text in enumerate(request.heads) if index != request.head)
        others |= _lines(request.recalled)
        kept: list[str] = []
        cut = False
        for number, fact in enumerate(self.facts):
            if not self._holds(number, request, fact.line in here, fact.line in others):
                continue
            if request.count("\n".join([*kept, fact.line])) <= request.head_tokens:
                kept.append(fact.line)
            else:
                cut = True
        held = {*kept, *_lines(text for index, text in enumerate(request.heads) if index != request.head)}
        enough = bool(self.facts) and all(fact.line in held for fact in self.facts)
        gate: Gate = "exit" if request.gates.exit and enough else ""
        return Reply(text="\n".join(kept) or _NOTHING, usage=_ONE_CALL, cut=cut, gate=gate)

    def answer(self, request: AnswerRequest) -> Reply:
        """All facts that memory holds, or that are recalled."""
        held = _lines([*request.heads, *request.recalled])
        known = [fact.line for fact in self.facts if fact.line in held]
        return Reply(text="\n".join(known) or _NOTHING, usage=_ONE_CALL)

    def _holds(self, number: int, request: UpdateRequest, here: bool, elsewhere: bool) -> bool:
        """Whether the head holds a fact after its turn."""

        def happens(what: str, chance: float) -> bool:
            seed = f"{self.seed}:{request.step}:{request.head}:{number}:{what}"
            return Random(seed).random() < chance  # noqa: S311  # not for secrets

        return (
            (here and not happens("forget", self.rates.forget))
            or (elsewhere and happens("copy", self.rates.copy))
            or (_in_chunk(self.facts[number], request) and happens("capture", self.rates.capture))
        )


def _in_chunk(fact: Fact, request: UpdateRequest) -> bool:
    start, end = request.span
    return any(start <= place < end for place in fact.places)


def _lines(texts: Iterable[str]) -> set[str]:
    return {line for text in texts for line in text.splitlines()}


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Which simulation is meant, as `--model simulation:forget=0.05,copy=0` names it.

    Args:
        rates: What a rewrite does to a fact.
        seed: Of all chances.
    """

    rates: Rates = field(default_factory=Rates)
    seed: int = 0

    @classmethod
    def parse(cls, name: str) -> Simulation:
        """The simulation of a name.

        Args:
            name: `simulation`, or with some of its numbers: `simulation:forget=0.05,copy=0,seed=1`.

        Returns:
            The simulation.

        Raises:
            SettingsError: A part of the name is unknown or no number.

        Example:
            >>> Simulation.parse("simulation:forget=0.5,seed=3")
            Simulation(rates=Rates(capture=0.7, forget=0.5, copy=0.01), seed=3)
            >>> Simulation.parse("simulation:luck=1")
            Traceback (most recent call last):
            mhm_langgraph.errors.SettingsError: model='simulation:luck=1' is not allowed: 'luck=1' is ...
        """
        kind, colon, given = name.partition(":")
        if kind != _NAME:
            raise SettingsError(f"model={name!r:.80} is no simulation: such a name begins with {_NAME!r}.")
        values = dict(_parsed(name, part) for part in given.split(",")) if colon else {}
        seed = int(values.pop("seed", cls.seed))
        return cls(rates=Rates(**values), seed=seed)

    @property
    def name(self) -> str:
        """Its name with all numbers, to be parsed again."""
        rates = ",".join(f"{rate.name}={getattr(self.rates, rate.name):g}" for rate in fields(Rates))
        return f"{_NAME}:{rates},seed={self.seed}"

    def reader(self, sample: Sample, run: int = 0) -> SimulatedReader:
        """The reader for one sample. Another run has other chances, other methods have the same."""
        seed = f"{self.seed}:{run}:{sample.task}:{sample.id}"
        return SimulatedReader(facts_of(sample), rates=self.rates, seed=seed)


def _parsed(name: str, part: str) -> tuple[str, float]:
    """One `key=value` of a simulation's name."""
    key, _, value = part.strip().partition("=")
    try:
        if key == "seed":
            return key, int(value)
        if key in {rate.name for rate in fields(Rates)}:
            return key, float(value)
    except ValueError:
        pass
    raise SettingsError(
        f"model={name!r:.80} is not allowed: {part!r:.40} is none of capture=, forget=, copy= with a "
        "probability, or seed= with a whole number."
    )


@dataclass(frozen=True, kw_only=True)
class Fates:
    """What became of many facts, one in each of many readings.

    Args:
        retained: Of each captured fact, whether the final memory holds it.
        at_risk: How many captured facts were looked at k steps after their capture, for each k.
        alive: How many of those still stood in some head.
    """

    retained: NDArray[Any]
    at_risk: NDArray[Any]
    alive: NDArray[Any]

    @property
    def retention(self) -> float:
        """The share of captured facts that the final memory holds (MRR)."""
        return float(self.retained.mean())


def simulate(heads: int, steps: int, rates: Rates = Rates(), *, facts: int = 10_000, seed: int = 0) -> Fates:  # noqa: B008  # frozen
    """The simulated reader's process for many readings at once, without graph and text.

    Args:
        heads: Number of heads.
        steps: Steps of each reading.
        rates: What a rewrite does.
        facts: How many readings, each with one fact at a step of its own.
        seed: Of all chances.

    Returns:
        What became of the facts that were captured.

    Example:
        >>> simulate(4, 200, Rates(capture=1, forget=0), facts=10).retention
        1.0
    """
    import numpy as np

    chance = np.random.default_rng(seed)
    place = chance.integers(0, steps, facts)
    held: NDArray[Any] = np.zeros((heads, facts), dtype=bool)
    captured: NDArray[Any] = np.zeros(facts, dtype=bool)
    at_risk: NDArray[Any] = np.zeros(steps, dtype=int)
    alive: NDArray[Any] = np.zeros(steps, dtype=int)
    for step in range(steps):
        head = step % heads  # what lru comes to
        elsewhere = np.delete(held, head, axis=0).any(axis=0)
        kept = held[head] & (chance.random(facts) >= rates.forget)
        copied = elsewhere & (chance.random(facts) < rates.copy)
        new = (place == step) & (chance.random(facts) < rates.capture)
        held[head] = kept | copied | new
        captured |= new
        since, stands = step - place[captured], held[:, captured].any(axis=0)
        at_risk += np.bincount(since, minlength=steps)
        alive += np.bincount(since[stands], minlength=steps)
    return Fates(retained=np.logical_or.reduce(held[:, captured]), at_risk=at_risk, alive=alive)
