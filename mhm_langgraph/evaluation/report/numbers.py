"""From the folders of a bench to the numbers of its report: sections, each of one bench."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mhm_langgraph import SettingsError
from mhm_langgraph.evaluation.comparison import Comparison, compare
from mhm_langgraph.evaluation.folder import read_bench, read_trajectories
from mhm_langgraph.evaluation.measures import Score, score
from mhm_langgraph.evaluation.report.paper import Figure, figures_of
from mhm_langgraph.evaluation.summary import Summary, summarise
from mhm_langgraph.evaluation.survival import Survival, survival_curve
from mhm_langgraph.evaluation.tasks import TASKS

__all__ = ["MEASURES", "Section", "read_section", "read_sections"]

MEASURES = ("accuracy", "mcr", "mrr")
"""What the paper reports, and what is plotted."""

_BASELINES = ("memagent", "mhm-lru+heads=1")  # by two names: the single memory
_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Section:
    """The numbers of one bench.

    Args:
        name: What to call it: its folder's name.
        settings: The bench's settings, as `bench.json` keeps them.
        starts: When, where and with what it was started.
        summaries: A line for each length and method.
        variants: The same for each of the task's kinds; empty where there is one.
        comparisons: Each method against the baseline.
        survivals: The survival curve of captured facts, by length and method.
        baseline: What is compared with; None where the bench has no such method.
        expected: Runs that the settings ask for.
        found: Runs that are there, failed ones too.
    """

    name: str
    settings: Mapping[str, Any]
    starts: Sequence[Mapping[str, Any]] = ()
    summaries: Sequence[Summary] = ()
    variants: Sequence[Summary] = ()
    comparisons: Sequence[Comparison] = ()
    survivals: Mapping[tuple[int, str], Survival] = field(default_factory=dict)
    baseline: str | None = None
    expected: int = 0
    found: int = 0

    @property
    def task(self) -> str:
        """The task."""
        return str(self.settings["task"])

    @property
    def model(self) -> str:
        """The model, as it was named."""
        return str(self.settings["model"])

    @property
    def lengths(self) -> list[int]:
        """The lengths there are results for, growing."""
        return sorted({line.length for line in self.summaries})

    @property
    def methods(self) -> list[str]:
        """The methods there are results for."""
        return list(dict.fromkeys(line.method for line in self.summaries))

    @property
    def caution(self) -> str | None:
        """What every title says of a reader whose figures are not those of a full-size language model."""
        kind = self.model.partition(":")[0]
        if kind == "local" and self.task != "needle":
            return _SMALL
        return _CAUTIONS.get(kind)

    def line(self, length: int, method: str) -> Summary | None:
        """The line of one cell."""
        return next((line for line in self.summaries if (line.length, line.method) == (length, method)), None)

    def paper(self) -> list[tuple[Summary, Figure]]:
        """The paper's figures beside one's own lines: task, length and method are the same.

        Its figures of a task are over all the task's kinds, so a bench of some of them has none beside it.
        """
        asked = self.settings.get("variants")
        if asked and not set(TASKS[self.task].variants) <= set(asked):
            return []
        return [
            (line, figure)
            for line in self.summaries
            for measure in MEASURES
            for figure in figures_of(line.task, line.length, line.method, measure)
        ]

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "name": self.name,
            "caution": self.caution,
            "settings": dict(self.settings),
            "starts": [dict(start) for start in self.starts],
            "expected": self.expected,
            "found": self.found,
            "baseline": self.baseline,
            "summaries": [asdict(line) for line in self.summaries],
            "variants": [asdict(line) for line in self.variants],
            "comparisons": [asdict(one) for one in self.comparisons],
            "survival": [
                {"length": length, "method": method, **asdict(curve)}
                for (length, method), curve in self.survivals.items()
            ],
            "paper": [asdict(figure) for _, figure in self.paper()],
        }


_CAUTIONS = {
    "simulation": "simulation, not a language model",
    "extractive": "extractive reader, not a language model",
    "local": "a model of 135M parameters",
}
_SMALL = "a model of 135M parameters: at its floor on questions like these, no measure of the methods"


def read_sections(folders: Iterable[str | Path], baseline: str | None = None) -> list[Section]:
    """The numbers of several benches.

    Args:
        folders: Folders that `mhm bench` wrote, or is still writing.
        baseline: The method to compare the others with; None is the single memory, `memagent` or
            `mhm-lru+heads=1`, where there is one.

    Returns:
        A section a folder, in their order. Names are made to differ.

    Raises:
        SettingsError: A folder is none of a bench, has no results yet, or lacks the baseline.
    """
    paths = list(dict.fromkeys(Path(folder) for folder in folders))
    names = [path.resolve().name for path in paths]
    unique = [
        name if names.count(name) == 1 else f"{path.resolve().parent.name}-{name}"
        for path, name in zip(paths, names, strict=True)
    ]
    return [read_section(path, name, baseline) for path, name in zip(paths, unique, strict=True)]


def read_section(folder: Path, name: str, baseline: str | None = None) -> Section:
    """The numbers of one bench; its trajectories are scored as they are read, and none is kept."""
    bench = read_bench(folder)
    scores = [score(trajectory) for trajectory in read_trajectories(folder)]
    if not scores:
        raise SettingsError(f"{folder} holds no finished run yet: wait for mhm bench, or start it again.")
    settings = bench["settings"]
    order = {method: place for place, method in enumerate(settings["methods"])}
    scores.sort(key=lambda one: order.get(one.method, len(order)))  # runs end in any order
    methods = list(dict.fromkeys(one.method for one in scores))
    if baseline is not None and baseline not in methods:
        raise SettingsError(
            f"baseline={baseline!r:.80} is none of this bench's methods: {', '.join(methods)} ({folder})."
        )
    against = baseline or next((method for method in _BASELINES if method in methods), None)
    kinds = {one.variant for one in scores}
    return Section(
        name=name,
        settings=settings,
        starts=bench.get("starts", ()),
        summaries=summarise(scores, resamples=_RESAMPLES),
        variants=summarise(scores, by_variant=True, resamples=_RESAMPLES) if len(kinds) > 1 else (),
        comparisons=_comparisons(scores, methods, against),
        survivals=_survivals(scores),
        baseline=against,
        expected=_expected(settings),
        found=len(scores),
    )


def _comparisons(scores: Sequence[Score], methods: Sequence[str], baseline: str | None) -> list[Comparison]:
    if baseline is None:
        return []
    others = [method for method in methods if method != baseline]
    return [one for method in others for one in compare(scores, method, baseline, resamples=_RESAMPLES)]


def _survivals(scores: Iterable[Score]) -> dict[tuple[int, str], Survival]:
    groups: dict[tuple[int, str], list[Score]] = {}
    for one in scores:
        groups.setdefault((one.length, one.method), []).append(one)
    curves = {
        key: survival_curve(group) for key, group in sorted(groups.items(), key=lambda item: item[0][0])
    }
    return {key: curve for key, curve in curves.items() if curve is not None}


def _expected(settings: Mapping[str, Any]) -> int:
    return int(len(settings["lengths"]) * len(settings["methods"]) * settings["samples"] * settings["runs"])
