"""The chat benchmark runs at a small size. What it measures is never asserted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import chat
from benchmarks.chat_models import SimulatedNotes
from benchmarks.chat_talk import LAGS, make_talk
from mhm_langgraph.retention import Rates


def test_a_conversation_holds_its_facts_and_no_value_of_them_elsewhere():
    talk = make_talk(7)
    assert talk == make_talk(7) != make_talk(8)
    assert len(talk.facts) == 12
    assert sum(len(fact.statements) == 2 for fact in talk.facts) == 6
    whole = "\n".join(talk.turns)
    for fact in talk.facts:
        assert fact.statements[-1].turn + max(LAGS) < len(talk.turns)
        for said in fact.statements:
            assert said.text in talk.turns[said.turn]
            assert len(re.findall(rf"\b{said.value}\b", whole)) == 1


@pytest.mark.parametrize("method", ["4 heads", "1 head", "summary", "summary, untrimmed"])
def test_a_model_that_forgets_nothing_knows_everything_whatever_the_memory(method):
    sure = Rates(capture=1, forget=0, copy=0)
    setting = chat.Setting(
        name="sure",
        trigger=2000,
        keep=10,
        conversations=1,
        model=lambda talk, seed: SimulatedNotes(facts=talk.facts, rates=sure, seed=seed),
        methods=(method,),
    )
    (result,) = chat.run_setting(setting)
    assert len(result.probes) == 12 * len(LAGS)
    assert all(probe.newest for probe in result.probes)
    assert result.memory_calls > 5
    assert result.memory_tokens > 0


def test_results_are_tabled_drawn_and_kept(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["chat", "--only", "simulation", "--conversations", "1", "--results", str(tmp_path)]
    )
    monkeypatch.setattr(chat, "simulations", lambda n: _few())
    chat.main()
    kept = json.loads((tmp_path / "chat.json").read_text())["simulation"]
    assert {row["method"] for row in kept["rows"]} == {"4 heads", "summary"}
    page = (tmp_path / "chat.md").read_text()
    assert "| small | 4 heads |" in page
    assert "4 heads minus" in page
    assert (tmp_path / "chat.png").stat().st_size > 10_000


def _few():
    return [
        chat.Setting(
            name="small",
            trigger=2000,
            keep=10,
            conversations=1,
            model=lambda talk, seed: SimulatedNotes(facts=talk.facts, seed=seed),
            methods=("4 heads", "summary"),
        )
    ]
