"""Heads against a summary over long chats: what is still known 50, 100 and 200 turns later.

    python -m benchmarks.chat                     the simulation and the small local model
    python -m benchmarks.chat --only simulation

Facts are stated once in conversations of 312 turns, half of them are corrected later, and real text lies
between. At every turn that is asked for, what the agent's model is shown is searched for the fact's values:
memory and kept messages together, as it would see them with the question.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate
from langgraph.checkpoint.memory import InMemorySaver
from scipy import stats

from benchmarks.chat_models import Costs, Listener, SimulatedNotes
from benchmarks.chat_talk import LAGS, Fact, Talk, data_folder, make_talk
from benchmarks.table import conditions, progress
from mhm_langgraph.chat import COMPACT_CHAT
from mhm_langgraph.evaluation.report.style import COLOURS, MARKERS, drawing, save, share_axis
from mhm_langgraph.middleware import MultiHeadMemoryMiddleware
from mhm_langgraph.retention import Rates

__all__ = ["Probe", "Result", "Setting", "main", "run_talk"]

_RESULTS = Path(__file__).resolve().parent / "results"
_HEADS, _SUMMARY, _UNTRIMMED, _ONE = "4 heads", "summary", "summary, untrimmed", "1 head"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is the same for all methods.

    Args:
        name: What the row is called.
        memory: Tokens of memory in all: the heads together, or the summary's limit.
        trigger: When to read, in tokens.
        keep: How many messages stay.
        conversations: How many.
        filler: What the user says between: a paragraph or a sentence.
        model: Makes the model that keeps the memory, for a conversation.
        methods: Which methods are compared.
        compact: Whether the prompts are those for small models, the same instruction for both.
    """

    name: str
    memory: int = 2048
    trigger: int
    keep: int
    conversations: int
    filler: str = "paragraph"
    model: Callable[[Talk, str], BaseChatModel]
    methods: tuple[str, ...] = (_HEADS, _ONE, _SUMMARY, _UNTRIMMED)
    compact: bool = False


@dataclass(frozen=True)
class Probe:
    """What was shown of one fact, so many turns after its last statement."""

    conversation: int
    fact: int
    lag: int
    corrected: bool
    newest: bool
    older: bool


@dataclass
class Result:
    """One method in one setting."""

    setting: str
    method: str
    probes: list[Probe] = field(default_factory=list)
    turns: int = 0
    agent_tokens: int = 0
    memory_tokens: int = 0
    memory_calls: int = 0
    most_calls: int = 0
    seconds: float = 0.0

    def share(self, of: Callable[[Probe], bool], among: Callable[[Probe], bool]) -> dict[str, Any]:
        """A share with its 95% interval, from conversations drawn anew; from facts, where these are few."""
        groups: dict[Any, list[float]] = {}
        few = len({probe.conversation for probe in self.probes}) < 5
        for probe in filter(among, self.probes):
            key = (probe.conversation, probe.fact) if few else probe.conversation
            groups.setdefault(key, []).append(float(of(probe)))
        means = [float(np.mean(values)) for values in groups.values()]
        return {
            "value": float(np.mean(means)),
            "interval": interval(means),
            "n": sum(map(len, groups.values())),
        }


def interval(values: Sequence[float]) -> list[float]:
    """The 95% interval of a mean."""
    if len(set(values)) == 1:
        return [values[0], values[0]]
    drawn = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0))
    return [float(end) for end in drawn.confidence_interval]


def middleware(method: str, model: BaseChatModel, setting: Setting) -> Any:
    """The memory under test. A summary is given its limit as the model's own, as it has none itself."""
    sizes: Any = {"trigger": ("tokens", setting.trigger), "keep": ("messages", setting.keep)}
    if method in (_HEADS, _ONE):
        heads = int(method[0])
        return MultiHeadMemoryMiddleware(
            model,
            heads=heads,
            head_tokens=setting.memory // heads,
            prompts="compact" if setting.compact else None,
            chunk_tokens=setting.trigger if setting.compact else 8000,
            **sizes,
        )
    if setting.compact:
        sizes["summary_prompt"] = _compact_summary(COMPACT_CHAT.read)
    if method == _UNTRIMMED:
        sizes["trim_tokens_to_summarize"] = None
    limited = model.model_copy(update={"max_tokens": setting.memory})
    return SummarizationMiddleware(limited, **sizes)


def _compact_summary(read: ChatPromptTemplate) -> str:
    """The instruction of the compact prompt, for a summary, which has no heads."""
    text = read.format_messages(other_heads="", head="", chunk="")[0].text
    return "Text:\n{messages}\n\n" + text.splitlines()[-1]


def run_talk(
    talk: Talk, number: int, method: str, setting: Setting, model: BaseChatModel, result: Result
) -> None:
    """One conversation with one memory; what is found goes into the result."""
    costs = Costs()
    listener = Listener(reply="Noted.") if setting.filler == "sentence" else Listener()
    memory = middleware(method, model.model_copy(update={"callbacks": [costs]}), setting)
    agent = create_agent(listener, middleware=[memory], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": str(number)}}
    due = {(fact.statements[-1].turn + lag): [] for fact in talk.facts for lag in LAGS}  # type: ignore[var-annotated]
    for fact in talk.facts:
        for lag in LAGS:
            due[fact.statements[-1].turn + lag].append((fact, lag))
    began = time.perf_counter()
    for turn, text in enumerate(talk.turns):
        before = costs.calls
        given: Any = {"messages": [("user", text)]}
        agent.invoke(given, thread)
        result.most_calls = max(result.most_calls, costs.calls - before)
        result.probes += [probe(number, fact, lag, listener.shown) for fact, lag in due.get(turn, ())]
    result.seconds += time.perf_counter() - began
    result.turns += len(talk.turns)
    result.agent_tokens += listener.tokens
    result.memory_tokens += costs.tokens
    result.memory_calls += costs.calls


def probe(conversation: int, fact: Fact, lag: int, shown: str) -> Probe:
    """Whether the newest and older values of a fact are in what the model is shown."""
    *older, newest = [bool(re.search(rf"\b{re.escape(said.value)}\b", shown)) for said in fact.statements]
    return Probe(conversation, fact.key, lag, len(fact.statements) > 1, newest, any(older))


def run_setting(setting: Setting) -> list[Result]:
    """Every method on the same conversations."""
    results = [Result(setting.name, method) for method in setting.methods]
    for number in range(setting.conversations):
        talk = make_talk(number, filler=setting.filler)
        for result in results:
            run_talk(talk, number, result.method, setting, setting.model(talk, f"{number}"), result)
            progress(f"{setting.name}: conversation {number}, {result.method}: {result.seconds:.0f} s in all")
    return results


def simulations(conversations: int) -> list[Setting]:
    """The simulated settings: a model as the paper's figures suggest, a forgetful one, and a long trigger."""

    def notes(rates: Rates, notices: float) -> Callable[[Talk, str], BaseChatModel]:
        return lambda talk, seed: SimulatedNotes(facts=talk.facts, rates=rates, notices=notices, seed=seed)

    often: Any = {"trigger": 2000, "keep": 10, "conversations": conversations}
    rarely: Any = {"trigger": 8000, "keep": 20, "conversations": conversations}
    return [
        Setting(name="forget=.02, trigger 2,000", model=notes(Rates(), 0.0), **often),
        Setting(name="forget=.10, trigger 2,000", model=notes(Rates(forget=0.1), 0.0), **often),
        Setting(
            name="forget=.10, notices=.7, trigger 2,000",
            model=notes(Rates(forget=0.1), 0.7),
            methods=(_HEADS,),  # a single block has no other
            **often,
        ),
        Setting(name="forget=.10, trigger 8,000 (defaults)", model=notes(Rates(forget=0.1), 0.0), **rarely),
    ]


@contextmanager
def local_settings(conversations: int) -> Iterator[list[Setting]]:
    """The settings of the small local model: both with the same short instruction, and each with its own."""
    from langchain_openai import ChatOpenAI

    from mhm_langgraph.local import serve_local

    with serve_local(slots=1, threads=1) as server:  # two threads wait for each other on a busy machine

        def real(talk: Talk, seed: str) -> BaseChatModel:
            return ChatOpenAI(
                model=server.model,
                base_url=server.base_url,
                api_key="none",  # type: ignore[arg-type]  # pydantic makes it a secret
                temperature=0.7,
                seed=int(seed),
                max_retries=0,
                timeout=300,
                profile={"max_input_tokens": server.window},
            )

        sizes: Any = {
            "memory": 512,
            "trigger": 2000,
            "keep": 10,
            "conversations": conversations,
            "filler": "sentence",
            "model": real,
        }
        yield [
            Setting(name="one short instruction", compact=True, methods=(_HEADS, _ONE, _UNTRIMMED), **sizes),
        ]


def rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """The table's figures."""
    found = []
    for result in results:
        row: dict[str, Any] = {"setting": result.setting, "method": result.method}
        for lag in LAGS:
            row[f"recall_{lag}"] = result.share(lambda p: p.newest, lambda p, lag=lag: p.lag == lag)  # type: ignore[misc]
        corrected: Callable[[Probe], bool] = lambda p: p.corrected  # noqa: E731
        row["stale"] = result.share(lambda p: p.older and not p.newest, corrected)
        row["both"] = result.share(lambda p: p.older and p.newest, corrected)
        for name in ("agent_tokens", "memory_tokens", "memory_calls"):
            row[f"{name}_a_turn"] = getattr(result, name) / result.turns
        row |= {"most_calls_a_turn": result.most_calls, "seconds": result.seconds, "turns": result.turns}
        found.append(row)
    return found


def differences(results: Sequence[Result]) -> list[dict[str, Any]]:
    """4 heads against each other method, paired by conversation and fact."""
    found = []
    for ours in (result for result in results if result.method == _HEADS):
        for other in results:
            if other.setting != ours.setting or other is ours:
                continue
            row: dict[str, Any] = {"setting": ours.setting, "against": other.method}
            for lag in LAGS:
                pairs = _paired(ours, other, lag)
                few = len({key[0] for key in pairs}) < 5
                groups: dict[Any, list[float]] = {}
                for key, value in pairs.items():
                    groups.setdefault(key if few else key[0], []).append(value)
                means = [float(np.mean(values)) for values in groups.values()]
                row[f"recall_{lag}"] = {"value": float(np.mean(means)), "interval": interval(means)}
            found.append(row)
    return found


def _paired(ours: Result, other: Result, lag: int) -> dict[tuple[int, int], float]:
    theirs = {(p.conversation, p.fact): p.newest for p in other.probes if p.lag == lag}
    return {
        (p.conversation, p.fact): float(p.newest) - theirs[p.conversation, p.fact]
        for p in ours.probes
        if p.lag == lag
    }


def _share(figure: Any) -> str:
    low, high = figure["interval"]
    return f"{figure['value']:.2f} [{low:.2f}, {high:.2f}]"


def markdown(parts: dict[str, Any]) -> str:
    """The page of results."""
    lines = ["# Heads against a summary over long chats", "", f"{__doc__}".split("\n\n", 2)[2].strip(), ""]
    for name, part in parts.items():
        lines += [f"## {name}", "", part["note"], ""]
        lines += [f"- {key}: {value}" for key, value in part["measured"].items()]
        lines += [
            "",
            "| setting | memory | known after 50 turns | 100 | 200 | stale | both | agent's tokens a turn | "
            "memory's tokens a turn | memory calls a turn (most) |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in part["rows"]:
            recall = " | ".join(_share(row[f"recall_{lag}"]) for lag in LAGS)
            lines.append(
                f"| {row['setting']} | {row['method']} | {recall} | {_share(row['stale'])} | "
                f"{row['both']['value']:.2f} | {row['agent_tokens_a_turn']:.0f} | "
                f"{row['memory_tokens_a_turn']:.0f} | {row['memory_calls_a_turn']:.3f} "
                f"({row['most_calls_a_turn']}) |"
            )
        lines += ["", "| setting | 4 heads minus | after 50 turns | 100 | 200 |", "|---|---|---|---|---|"]
        for row in part["differences"]:
            recall = " | ".join(_share(row[f"recall_{lag}"]) for lag in LAGS)
            lines.append(f"| {row['setting']} | {row['against']} | {recall} |")
        lines.append("")
    return "\n".join(lines)


def draw(parts: dict[str, Any], path: Path) -> None:
    """What is known against turns since it was said, a panel a setting."""
    panels = [
        (f"{name}: {setting}", [row for row in part["rows"] if row["setting"] == setting])
        for name, part in parts.items()
        for setting in dict.fromkeys(row["setting"] for row in part["rows"])
    ]
    panels = [panel for panel in panels if len(panel[1]) > 1]  # else there is nothing to compare
    names = list(dict.fromkeys(row["method"] for _, shown in panels for row in shown))
    with drawing():
        import matplotlib.pyplot as plt

        columns = 2
        lines = -(-len(panels) // columns)
        figure, axes = plt.subplots(lines, columns, figsize=(9, 3.1 * lines), squeeze=False, sharey=True)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, (title, shown) in zip(axes.flat, panels, strict=False):
            for row in shown:
                look = names.index(row["method"])
                values = [row[f"recall_{lag}"] for lag in LAGS]
                shares = np.array([value["value"] for value in values])
                ends = np.array([value["interval"] for value in values]).T
                axis.errorbar(
                    np.array(LAGS) + 2 * (look - 1.5),
                    shares,
                    yerr=np.abs(ends - shares),
                    color=COLOURS[look],
                    marker=MARKERS[look],
                    label=row["method"],
                    capsize=2,
                )
            axis.set_title(title, fontsize=9)
            axis.set_xticks(LAGS)
            share_axis(axis, "facts still known")
        for axis in axes[-1]:
            axis.set_xlabel("turns since the last statement")
        figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="lower center", ncols=len(names))
        figure.tight_layout(rect=(0, 0.06, 1, 1))
        save(figure, path)
        plt.close(figure)


_NOTES = {
    "simulation": (
        "A simulation, no language model: the same simulated model keeps all four memories. It captures a "
        "fact with probability .7 (the same ones for all four), copies one from another head with .01, and "
        "forgets a kept one at a rewrite with the probability named; with `notices=.7` it drops an old value "
        "where another head has the new one with .7, else never. Memory is 2,048 tokens in all. `known`: the "
        "newest value is in what the agent's model is shown; `stale`: of corrected facts, only an old value "
        "is; `both`: old and new are, and the numbers of their messages tell which is newer. Intervals are "
        "over conversations."
    ),
    "local model": (
        "SmolLM2-135M-Instruct on this machine keeps the memories, 512 tokens in all; filler is a sentence a "
        'turn. Heads and summary are given the same short instruction (`prompts="compact"`). Intervals are '
        "over facts, since the conversations are few."
    ),
}


def main() -> None:
    """Measure, and write `chat.json`, `chat.md` and the plot. A part that is not run stays as it was."""
    asked = _arguments()
    folder: Path = asked.results
    kept = folder / "chat.json"
    parts: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    if asked.only in (None, "simulation"):
        results = [result for setting in simulations(asked.conversations) for result in run_setting(setting)]
        parts["simulation"] = _part("simulation", results)
    if asked.only in (None, "local"):
        with local_settings(asked.local) as settings:
            results = [result for setting in settings for result in run_setting(setting)]
        parts["local model"] = _part("local model", results)
    kept.write_text(json.dumps(parts, indent=1) + "\n")
    kept.with_suffix(".md").write_text(markdown(parts))
    draw(parts, folder / "chat")


def _part(name: str, results: list[Result]) -> dict[str, Any]:
    conversations = len({probe.conversation for probe in results[0].probes})
    options = f"--only local --local {conversations}" if name != "simulation" else "--only simulation"
    measured = conditions(f"python -m benchmarks.chat {options}") | {
        "text": f"paragraphs of HotpotQA ({data_folder().name})",
        "conversations": str(conversations),
    }
    return {
        "note": _NOTES[name],
        "measured": measured,
        "rows": rows(results),
        "differences": differences(results),
        "probes": [_written(result) for result in results],
    }


def _written(result: Result) -> dict[str, Any]:
    """What was found of every fact, a line each, so that the figures can be computed anew."""
    names = [column.name for column in fields(Probe)]
    lines = [" ".join(str(int(getattr(found, name))) for name in names) for found in result.probes]
    return {"setting": result.setting, "method": result.method, "columns": " ".join(names), "lines": lines}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chat", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--only", choices=["simulation", "local"], help="one part; the other stays as it was")
    parser.add_argument("--conversations", type=int, default=20, help="simulated conversations")
    parser.add_argument("--local", type=int, default=4, help="conversations of the local model, minutes each")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder for what is written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
