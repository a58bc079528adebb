"""What gates save and miss, and what rounds do to a memory: `python -m benchmarks.beyond --data FOLDER`.

Runs `mhm bench` as a user would, and computes from its trajectories what its tables do not tell. The readers
are the extractive one and the simulation: neither is a language model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from benchmarks.table import conditions, progress
from mhm_langgraph.cli import main as mhm
from mhm_langgraph.evaluation import Estimate, Trajectory, Update, score, summarise
from mhm_langgraph.evaluation.folder import read_trajectories
from mhm_langgraph.tokens import utf8_tokens

__all__ = ["Cost", "Line", "cost_of"]

_RESULTS = Path(__file__).resolve().parent / "results"
_CHUNK_TOKENS, _MEMORY_TOKENS = 1000, 1024  # small, so that heads are full and must let go
_LRU = "mhm-lru"
_GATES = [_LRU, *(f"{_LRU}+{gates}" for gates in ("update_gate=true", "exit_gate=true"))]
_GATES.append(f"{_LRU}+update_gate=true+exit_gate=true")
_WIDTHS = [_LRU, f"{_LRU}+parallel_heads=2", f"{_LRU}+parallel_heads=4"]


@dataclass(frozen=True)
class Cost:
    """What a method did, as a share of what it might have done; means over its trajectories.

    Args:
        read: Of the text, how much was read.
        skipped: Of the chunks read, those after which every head stayed as it was.
        written: Tokens written into heads, for each 1,000 tokens of the text.
        evidence_skipped: Of the chunks with evidence, those that were read and skipped.
        evidence_unread: Of the passages with evidence, those that begin behind where the reading ended.
    """

    read: float
    skipped: float
    written: float
    evidence_skipped: float
    evidence_unread: float


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Args:
        task: The task.
        length: Tokens of the contexts.
        model: The reader.
        method: The method.
        samples: How many.
        capture: MCR, with its interval.
        retention: MRR, the same.
        accuracy: The same.
        cost: What it did.
    """

    task: str
    length: str
    model: str
    method: str
    samples: int
    capture: str
    retention: str
    accuracy: str
    cost: Cost


def cost_of(trajectories: Sequence[Trajectory], sizes: Mapping[str, int]) -> Cost:
    """What a method did.

    Args:
        trajectories: Its trajectories.
        sizes: Characters of each sample's text.

    Returns:
        The means.
    """
    ends = [_end(one) for one in trajectories]
    updates = [(one, update) for one in trajectories for update in one.updates]
    unread = [start >= end for one, end in zip(trajectories, ends, strict=True) for start, _ in one.evidence]
    return Cost(
        read=sum(ends) / sum(sizes[one.sample] for one in trajectories),
        skipped=_share(update.text is None for _, update in updates),
        written=1000
        * sum(utf8_tokens(update.text or "") for _, update in updates)
        / sum(one.tokens for one in trajectories),
        evidence_skipped=_share(update.text is None for one, update in updates if _tells(one, update)),
        evidence_unread=_share(unread),
    )


def _end(one: Trajectory) -> int:
    """Where the reading ended, in characters."""
    return max((update.span[1] for update in one.updates), default=0)


def _tells(one: Trajectory, update: Update) -> bool:
    """Whether a chunk holds evidence, in part at least."""
    start, end = update.span
    return any(first < end and start < last for first, last in one.evidence)


def _share(found: Iterable[bool]) -> float:
    several = list(found)
    return mean(several) if several else 0.0


def _bench(
    asked: argparse.Namespace, model: str, task: str, length: str, methods: Sequence[str]
) -> list[Line]:
    """One run of `mhm bench`, as lines."""
    progress(f"beyond: {task}, {length}, {model}")
    with TemporaryDirectory(prefix="mhm-beyond-") as folder:
        command = ["bench", task, "--model", model, "--methods", ",".join(methods), "--lengths", length]
        command += ["--samples", str(asked.samples), "--seed", str(asked.seed), "--out", folder]
        command += ["--chunk-tokens", str(_CHUNK_TOKENS), "--memory-tokens", str(_MEMORY_TOKENS)]
        code = mhm([*command, "--data", asked.data] if asked.data else command)
        if code:
            raise SystemExit(code)
        trajectories = list(read_trajectories(folder))
    sizes = {one.sample: _end(one) for one in trajectories if one.method == _LRU}  # it reads to the end
    lines = []
    for found in summarise(map(score, trajectories)):
        own = [one for one in trajectories if one.method == found.method]
        mcr, mrr, accuracy = map(_shown, (found.mcr, found.mrr, found.accuracy))
        cost = cost_of(own, sizes)
        lines.append(Line(task, length, model, found.method, len(own), mcr, mrr, accuracy, cost))
    return sorted(lines, key=lambda line: methods.index(line.method))


def _shown(estimate: Estimate | None) -> str:
    """A rate in per cent with its interval."""
    if estimate is None:
        return "-"
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def page(title: str, lines: Sequence[Line], measured: Mapping[str, str]) -> str:
    """The results for people."""
    facts = "\n".join(f"- {key}: {value}" for key, value in measured.items())
    columns = ["task", "length", "reader", "method", "MCR", "MRR", "accuracy", "read", "skipped", "written"]
    columns += ["evidence skipped", "evidence unread"]
    rows = [_cells(line) for line in lines]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows])
    return (
        f"# {title}\n\n{facts}\n"
        "- rates in per cent with 95% intervals; MRR over what was captured\n"
        "- read: share of the text; skipped: share of the chunks read that changed no head; written: tokens "
        "written into heads for 1,000 tokens of text\n"
        "- evidence skipped: share of the chunks holding evidence that changed no head; evidence unread: "
        "share of its passages that lie behind the end of the reading\n\n"
        f"{table}\n"
    )


def _cells(line: Line) -> list[str]:
    cost = line.cost
    shares = f"{100 * cost.read:.0f}%", f"{100 * cost.skipped:.0f}%", f"{cost.written:.0f}"
    missed = f"{100 * cost.evidence_skipped:.1f}%", f"{100 * cost.evidence_unread:.1f}%"
    rates = line.capture, line.retention, line.accuracy
    return [line.task, line.length, line.model, line.method, *rates, *shares, *missed]


def _save(name: str, title: str, lines: Sequence[Line], asked: argparse.Namespace) -> None:
    command = f"python -m benchmarks.beyond {name} --samples {asked.samples} --seed {asked.seed}"
    measured = {
        **conditions(command),
        "text": "the developers' data" if asked.data else "the sample that the package ships",
        "samples": f"{asked.samples} of each length, seed {asked.seed}",
        "sizes": f"chunks of {_CHUNK_TOKENS} tokens, memory of {_MEMORY_TOKENS} tokens in 4 heads",
    }
    print(page(title, lines, measured))
    (_RESULTS / f"{name}.md").write_text(page(title, lines, measured), encoding="utf-8")
    found = {"measured": measured, "lines": [asdict(line) for line in lines]}
    (_RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def gates(asked: argparse.Namespace) -> None:
    """What the gates save and miss, with the extractive reader."""
    lines = [
        line
        for task, length in (
            ("ruler-hqa", "32K"),
            ("ruler-hqa", "128K"),
            ("needle", "32K"),
            ("babilong", "32K"),
        )
        for line in _bench(asked, "extractive", task, length, _GATES)
    ]
    _save("gates", "Gates: what they save and miss", lines, asked)


def rounds(asked: argparse.Namespace) -> None:
    """What rounds do to capture, retention and accuracy."""
    lines = [
        line
        for model, task, length in (
            ("extractive", "ruler-hqa", "32K"),
            ("extractive", "needle", "32K"),
            ("simulation", "needle", "128K"),
            ("simulation", "ruler-hqa", "128K"),
        )
        for line in _bench(asked, model, task, length, _WIDTHS)
    ]
    _save("rounds", "Rounds: what they do to a memory", lines, asked)


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["gates", "rounds"])
    parser.add_argument("--data", help="folder of the developers' data; else the package's sample")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    {"gates": gates, "rounds": rounds}[asked.what](asked)


if __name__ == "__main__":
    main()
