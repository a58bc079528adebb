"""How often the grounding rules are wrong, on real texts: `python -m benchmarks.grounding --data FOLDER`."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.rewrites import (
    HONEST,
    TAMPERED,
    Passage,
    bound_wrongly,
    offices,
    passages,
    proper_names,
)
from benchmarks.table import conditions, progress
from mhm_langgraph.grounding import RULES, Evidence, GroundingRule, ground

__all__ = ["Rates", "measure"]

_RESULTS = Path(__file__).resolve().parent / "results"
_REPLY = 4096  # characters: a head of 1,024 tokens


@dataclass
class Rates:
    """What one rule said of many sentences.

    Args:
        rule: The rule's name.
        asked: Sentences, by how they were made.
        flagged: Those of them that it did not find supported.
    """

    rule: str
    asked: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)

    def note(self, what: str, flagged: bool) -> None:
        """One more sentence."""
        self.asked[what] += 1
        self.flagged[what] += flagged

    def rate(self, what: Iterable[str]) -> float:
        """The share of flagged ones among all sentences made in these ways."""
        chosen = set(what)
        asked = sum(self.asked[key] for key in chosen)
        return sum(self.flagged[key] for key in chosen) / asked if asked else 0.0

    @property
    def false_alarms(self) -> float:
        """The share of honest sentences that were flagged."""
        return self.rate(HONEST)

    @property
    def caught(self) -> float:
        """The share of invented names, numbers, codes and quotations that were flagged."""
        return self.rate(TAMPERED)


BOUND = ("another sentence's number", "another office's code")


def measure(given: Sequence[Passage], names: set[str], rule: str, seed: int = 0) -> Rates:
    """Ask a rule about the sentences of passages, honest and not.

    Args:
        given: The passages; each sentence is held to its own.
        names: Proper names, to replace others with.
        rule: The rule's name.
        seed: Of all choices.

    Returns:
        The rates.
    """
    rates, generator = Rates(rule), random.Random(seed)  # noqa: S311  # not for secrets
    for passage in given:
        evidence = Evidence(passage.text)
        for sentence, following in zip(passage.sentences, [*passage.sentences[1:], ""], strict=True):
            for what, rewrite in HONEST.items():
                _note(rates, what, rewrite(sentence, following, generator), evidence)
            for what, tamper in TAMPERED.items():
                _note(rates, what, tamper(sentence, passage, names, generator), evidence)
        for false in bound_wrongly(passage, names, generator):
            _note(rates, BOUND[0], false, evidence)
        _offices(rates, passage, generator)
    return rates


def _note(rates: Rates, what: str, sentence: str | None, evidence: Evidence) -> None:
    if sentence is not None:
        rates.note(what, bool(ground(sentence, evidence, RULES[rates.rule]).unsupported))


def _offices(rates: Rates, passage: Passage, generator: random.Random) -> None:
    """Five codes hidden in a passage; what a wrong one is bound to stands in the question and in a head."""
    text, question, facts, false = offices(passage, generator)
    evidence = Evidence(text, memory=[question, facts[-1]], question=question)
    for fact in facts:
        _note(rates, "a hidden code, true", fact, evidence)
    for sentence in false:
        _note(rates, BOUND[1], sentence, evidence)


def seconds(passage: Passage, rule: GroundingRule) -> float:
    """Processor time to hold a reply of a full head to a chunk, with four full heads."""
    reply = passage.text[:_REPLY]
    heads = [passage.text[start : start + _REPLY] for start in range(0, 4 * _REPLY, _REPLY)]
    times = []
    for _ in range(10):
        began = time.process_time()  # neighbours on the machine do not count
        ground(reply, Evidence(passage.text, heads, "Who paid the captain?"), rule)
        times.append(time.process_time() - began)
    return min(times)


def _page(results: Sequence[Rates], times: dict[str, float], measured: dict[str, str]) -> str:
    """The results for people."""
    lines = ["# Grounding rules, measured", "", *(f"- {key}: {value}" for key, value in measured.items()), ""]
    lines.append(
        "A sentence is held to the chunk of 20,000 characters that it comes from. Flagged is right for what "
        "is false, wrong for what is honest."
    )
    head = "| sentence | sentences | " + " | ".join(f"flagged by `{r.rule}`" for r in results) + " |"
    lines += ["", head, "|---|---|" + "---|" * len(results)]
    groups = {
        "**honest, all**": [*HONEST],
        **{f"honest: {what}": [what] for what in [*HONEST, "a hidden code, true"]},
        "**invented, all**": [*TAMPERED],
        **{f"invented: {what}": [what] for what in TAMPERED},
        **{f"bound wrongly: {what}": [what] for what in BOUND},
    }
    for name, keys in groups.items():
        count = sum(results[0].asked[key] for key in keys)
        shares = " | ".join(f"{100 * rates.rate(keys):.2f} %" for rates in results)
        lines.append(f"| {name} | {count} | {shares} |")
    took = ", ".join(f"`{rule}` {1000 * value:.1f} ms" for rule, value in times.items())
    lines += [
        "",
        "Processor time for a reply of 1,024 tokens, a chunk of 5,000 and four full heads (best of 10): "
        f"{took}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write `results/grounding.md` and `.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grounding", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with books, paragraphs and bAbI")
    parser.add_argument("--each", type=int, default=10, help="chunks of each kind of text")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder for the results")
    asked = parser.parse_args()
    names = proper_names(passage.text for passage in passages(asked.data, 1_000_000))
    chosen = passages(asked.data, asked.each)
    results = []
    for rule in RULES:
        progress(f"{rule}: {len(chosen)} chunks")
        results.append(measure(chosen, names, rule))
    times = {name: seconds(chosen[0], rule) for name, rule in RULES.items()}
    command = f"python -m benchmarks.grounding --data DATA --each {asked.each}"
    measured = conditions(command) | {
        "text": f"{asked.each} chunks each of three novels, of HotpotQA's paragraphs and of bAbI stories"
    }
    asked.results.mkdir(parents=True, exist_ok=True)
    page = _page(results, times, measured)
    (asked.results / "grounding.md").write_text(page, encoding="utf-8")
    table = {
        "measured": measured,
        "seconds": times,
        "rules": {
            rates.rule: {
                "false_alarms": rates.false_alarms,
                "caught": rates.caught,
                "bound_wrongly_caught": rates.rate(BOUND),
                "by_kind": {key: [rates.flagged[key], rates.asked[key]] for key in rates.asked},
            }
            for rates in results
        },
    }
    (asked.results / "grounding.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
