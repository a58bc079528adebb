"""The methods that are a reading loop: the public graph, with a reader and a selector for each sample."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mhm_langgraph import MHMGraph, Reader, SettingsError, create_mhm_agent
from mhm_langgraph.evaluation.methods.base import Outcome, Parts, Settings, Trial, trajectory
from mhm_langgraph.evaluation.records import Sample, Trajectory, Update
from mhm_langgraph.state import no_usage

__all__ = ["SETTINGS", "LoopMethod", "outcome_of"]

# What the runner gives to all methods alike, and what makes no sense here.
_OURS = {"model", "token_counter", "sources", "base_url", "checkpointer", "store", "name"}
SETTINGS = tuple(name for name in inspect.signature(create_mhm_agent).parameters if name not in _OURS)
"""The settings that a method's name may carry."""


@dataclass(frozen=True)
class LoopMethod:
    """A method that reads chunk by chunk, through `create_mhm_agent` as a user would call it.

    Args:
        name: What it is called, its settings included.
        settings: Settings of `create_mhm_agent` that make the method what it is.
        share: How many blocks of memory share the budget, where the settings do not say it by `heads`.
        parts: Builds reader and selector for one sample; None takes the trial's reader as it is.
    """

    name: str
    settings: Settings
    share: int | None = None
    parts: Callable[[str, Trial, Settings], Parts] | None = field(default=None, repr=False)

    def built(self, trial: Trial) -> tuple[MHMGraph, Reader]:
        """The graph of one trial, and its reader.

        Raises:
            SettingsError: A setting is wrong.
        """
        settings = {
            **self._sizes(trial.memory_tokens),
            "chunk_tokens": trial.chunk_tokens,
            "answer_tokens": trial.answer_tokens,
            "call_timeout": trial.patience.call_timeout,
            "max_retries": trial.patience.max_retries,
            "seed": trial.seed,
            "prompts": trial.prompts,
            **self.settings,
        }
        reader = trial.reader
        if self.parts is not None:
            reader, selector = self.parts(self.name, trial, settings)
            settings |= {} if selector is None else {"selector": selector}
        if settings.get("selector") == "relevance" and type(reader).pick is Reader.pick:
            raise SettingsError(
                f"method {self.name!r} needs a reader that can pick a head; {type(reader).__name__} has no "
                "pick method. Leave the method out, or give it one."
            )
        graph = create_mhm_agent(reader, token_counter=trial.count, **settings)
        return graph, reader

    def check(self, trial: Trial) -> None:
        """As `Method.check`."""
        self.built(trial)

    async def run(self, sample: Sample, trial: Trial) -> Trajectory:
        """As `Method.run`."""
        began = time.perf_counter()
        graph, reader = self.built(trial)
        given = {"question": sample.question, "document": sample.context}
        parts = [part async for part in graph.astream(given, stream_mode=["custom", "updates"])]
        outcome = outcome_of(parts)
        if recalled := getattr(reader, "recalled", ""):  # remem's own; the loop's stands in its event
            outcome = replace(outcome, recalled=[recalled])
        return trajectory(sample, self.name, trial.run, outcome, began)

    def _sizes(self, memory_tokens: int) -> dict[str, int]:
        """The memory, shared out among the heads; the settings may say otherwise."""
        heads = self.settings.get("heads", 1) if self.share is None else self.share
        if heads == "auto":
            return {"memory_tokens": memory_tokens}
        if not isinstance(heads, int) or heads < 1:
            return {}  # what is wrong with it is said when the graph is built
        if memory_tokens < heads:
            raise SettingsError(
                f"memory_tokens={memory_tokens} is not allowed: method {self.name!r} shares it among {heads} "
                "heads, of a token at least."
            )
        return {"head_tokens": memory_tokens // heads}


def outcome_of(parts: list[Any]) -> Outcome:
    """What a run streamed, as an outcome.

    Args:
        parts: Pairs of `"custom"` and an event, or `"updates"` and what the nodes wrote.

    Returns:
        The outcome.
    """
    events = [data for mode, data in parts if mode == "custom"]
    told: dict[str, Any] = next((event for event in events if event["type"] == "answered"), {})
    written = {(write["step"], write["head"]): write for write in _writes(parts)}
    return Outcome(
        answer=told.get("answer") or "",
        usage=told.get("usage") or no_usage(),
        heads=_number_of_heads(parts),
        updates=[
            Update(
                step=event["step"],
                head=event["head"],
                span=(event["span"][0], event["span"][1]),
                text=written.get((event["step"], event["head"]), {}).get("text"),
            )
            # In a round they come as they end.
            for event in sorted(events, key=lambda event: event["step"])
            if event["type"] == "head_updated"
        ],
        recalled=[found["text"] for found in told.get("recalled") or ()],
    )


def _writes(parts: list[Any]) -> Iterator[Mapping[str, Any]]:
    """What was written to heads, in order."""
    for mode, data in parts:
        if mode == "updates":
            for update in data.values():
                heads = (update or {}).get("heads")
                for write in heads if isinstance(heads, list) else [heads]:
                    if isinstance(write, Mapping) and {"head", "step"} <= write.keys():
                        yield write


def _number_of_heads(parts: list[Any]) -> int:
    """The memory's size, as the first node writes it."""
    for mode, data in parts:
        if mode == "updates" and isinstance(heads := (data.get("read_chunk") or {}).get("heads"), list):
            return len(heads)
    return 0
