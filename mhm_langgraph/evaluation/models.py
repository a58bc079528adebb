"""From the model that a bench names to the reader for each sample and run."""

from __future__ import annotations

from copy import copy
from typing import Any

from langchain_core.language_models import BaseChatModel

from mhm_langgraph import Reader, SettingsError
from mhm_langgraph.evaluation.records import Sample
from mhm_langgraph.evaluation.simulation import Simulation
from mhm_langgraph.readers import ChatReader, resolve_reader

__all__ = ["OpenModels", "SimulatedModels", "open_models"]


class OpenModels:
    """The readers of a bench, by sample and run.

    Args:
        name: What the model is called.
        reader: The reader, or a chat model's.
        options: Options of the chat model's sampling.
        seed: Seed of the first run's sampling, None where the model takes none.
    """

    def __init__(self, name: str, reader: Reader, options: dict[str, Any], seed: int | None) -> None:
        self.name, self.reader, self._options, self._seed = name, reader, options, seed
        self._runs: dict[int, Reader] = {}

    @property
    def model(self) -> BaseChatModel | None:
        """The chat model; None where the reader is none."""
        return self.reader.model if isinstance(self.reader, ChatReader) else None

    def __call__(self, sample: Sample, run: int) -> Reader:
        """The reader for a sample and a run."""
        if not isinstance(self.reader, ChatReader):
            return self.reader
        if run not in self._runs:
            seed = {} if self._seed is None else {"seed": self._seed + run}
            sampled = copy(self.reader)
            sampled.model = self.reader.model.model_copy(update={**self._options, **seed})
            self._runs[run] = sampled
        return self._runs[run]


class SimulatedModels:
    """As `OpenModels`, for the simulation: its reader has to know the sample's facts.

    Args:
        simulation: The simulation.
    """

    model = None

    def __init__(self, simulation: Simulation) -> None:
        self._simulation, self.name = simulation, simulation.name

    def __call__(self, sample: Sample, run: int) -> Reader:
        """The reader for a sample and a run."""
        return self._simulation.reader(sample, run)


def open_models(
    model: Any,
    *,
    base_url: str | None = None,
    call_timeout: float = 300.0,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> OpenModels | SimulatedModels:
    """The readers of a bench.

    Args:
        model: What `create_mhm_agent` takes as its model, or `simulation:...` (`Simulation.parse`).
        base_url: Address of an OpenAI-compatible server, for `"openai:NAME"`.
        call_timeout: Seconds that a model call may take.
        temperature: Of the model's sampling; None leaves it to the model.
        top_p: Of the model's sampling; None leaves it to the model.
        seed: Seed of the first run's sampling, where the model takes one; each further run has the next.

    Returns:
        A function from a sample and a run to a reader.

    Raises:
        SettingsError: The model is none, or takes no temperature or top_p.
    """
    asked = {"temperature": temperature, "top_p": top_p}
    options = {name: value for name, value in asked.items() if value is not None}
    if isinstance(model, str) and model.partition(":")[0] == "simulation":
        if options:
            raise SettingsError(f"{next(iter(options))} is not allowed: a simulation takes none.")
        return SimulatedModels(Simulation.parse(model))
    reader = resolve_reader(model, base_url, call_timeout)
    declared = type(reader.model).model_fields if isinstance(reader, ChatReader) else {}
    for name, value in options.items():
        if name not in declared:
            raise SettingsError(f"{name}={value} is not allowed: {reader.description} takes none.")
    name = model if isinstance(model, str) else reader.description
    return OpenModels(name, reader, options, seed if "seed" in declared else None)
