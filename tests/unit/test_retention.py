"""How long a fact stays: the closed form, the chain, and the rule for the number of heads."""

from __future__ import annotations

import random
import re
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhm_langgraph import SettingsError
from mhm_langgraph.retention import (
    AUTO_HEADS,
    LEAST_HEAD_TOKENS,
    Rates,
    best_heads,
    expected_retention,
    retention_without_copies,
    survival,
)

chances = st.floats(0, 1)
heads_ = st.integers(1, 6)
steps_ = st.integers(1, 60)


def played(heads: int, steps: int, rates: Rates, generator: random.Random) -> list[bool]:
    """One fact's life, told as plainly as it can be: a list of heads, rewritten in turn."""
    holds = [False] * heads
    holds[0] = True  # captured at step 0
    alive = [True]
    for step in range(1, steps + 1):
        head = step % heads
        others = any(holds[:head] + holds[head + 1 :])
        kept = holds[head] and generator.random() >= rates.forget
        holds[head] = kept or (others and generator.random() < rates.copy)
        alive.append(any(holds))
    return alive


@pytest.mark.parametrize("copy", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("heads", [1, 2, 3, 4, 8])
def test_survival_is_what_lives_played_one_by_one_show(heads: int, copy: float) -> None:
    rates, lives = Rates(forget=0.3, copy=copy), 4000
    generator = random.Random(f"{heads} {copy}")
    played_lives = [played(heads, 40, rates, generator) for _ in range(lives)]
    expected = survival(heads, 40, rates)
    for since in (0, 1, heads, 2 * heads, 20, 40):
        share = statistics.fmean(life[since] for life in played_lives)
        error = (expected[since] * (1 - expected[since]) / lives) ** 0.5
        assert share == pytest.approx(expected[since], abs=4 * error + 1e-12)


@given(heads_, steps_, chances)
def test_the_closed_form_is_the_mean_of_the_survivals(heads: int, steps: int, forget: float) -> None:
    rates = Rates(forget=forget, copy=0)
    assert retention_without_copies(heads, steps, forget) == pytest.approx(
        expected_retention(heads, steps, rates), abs=1e-6
    )


@given(heads_, steps_, chances)
def test_the_chain_without_copies_is_the_closed_form(heads: int, steps: int, forget: float) -> None:
    """A copy so rare that it never happens takes the chain's way instead of the closed form's."""
    assert survival(heads, steps, Rates(forget=forget, copy=1e-12)) == pytest.approx(
        survival(heads, steps, Rates(forget=forget, copy=0)), abs=1e-6
    )


@given(heads_, steps_, chances, chances)
def test_a_fact_that_is_gone_never_comes_back(heads: int, steps: int, forget: float, copy: float) -> None:
    chances = survival(heads, steps, Rates(forget=forget, copy=copy))
    assert len(chances) == steps + 1
    assert chances[:heads] == pytest.approx([1.0] * len(chances[:heads]))
    assert all(-1e-9 <= later <= earlier + 1e-9 for earlier, later in pairwise(chances))


@given(heads_, steps_, chances, chances, chances)
def test_more_copies_never_hurt(heads: int, steps: int, forget: float, one: float, other: float) -> None:
    less, more = (Rates(forget=forget, copy=copy) for copy in sorted((one, other)))
    assert expected_retention(heads, steps, less) <= expected_retention(heads, steps, more) + 1e-9


def test_the_defaults_are_near_the_papers_ablation() -> None:
    """RULER-HQA, 896K tokens, chunks of 5,000: MRR .27 (1 head), .75 (4), .87 (8)."""
    expected = [expected_retention(heads, 184) for heads in (1, 4, 8)]
    assert expected == pytest.approx([0.2653, 0.7467, 0.8712], abs=0.015)


@pytest.mark.parametrize(
    ("steps", "memory_tokens", "heads"),
    [
        (1, 4096, 1),  # one chunk: there is nothing to protect from
        (2, 4096, 1),
        (3, 4096, 2),
        (6, 4096, 4),
        (200, 4096, 8),
        (100_000, 4096, 8),
        (200, 8 * LEAST_HEAD_TOKENS - 1, 4),  # a head would be too small
        (200, 2 * LEAST_HEAD_TOKENS, 2),
        (200, 1, 1),
        (None, 4096, 4),  # the paper's, where the length is not known
        (None, 4 * LEAST_HEAD_TOKENS - 1, 2),
        (0, 4096, 1),
    ],
)
def test_the_rule(steps: int | None, memory_tokens: int, heads: int) -> None:
    assert best_heads(steps, memory_tokens) == heads


@given(st.integers(1, 3000), st.integers(1, 10_000))
def test_the_rule_keeps_what_it_promises(steps: int, memory_tokens: int) -> None:
    heads = best_heads(steps, memory_tokens)
    assert heads in AUTO_HEADS
    assert heads == 1 or memory_tokens // heads >= LEAST_HEAD_TOKENS
    longer = best_heads(steps + 50, memory_tokens)
    assert longer >= heads


def test_a_reader_that_forgets_nothing_needs_one_head() -> None:
    assert best_heads(200, 4096, Rates(forget=0)) == 1


def test_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "retention.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    code = "\n".join(blocks)
    exec(compile(code, "retention.md", "exec"), {})  # noqa: S102  # our own page
    said = re.findall(r"^print\(.*\n# (.*)$", code, flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said
    assert len(said) == 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rates(forget=-0.1), "forget=-0.1 is not allowed: a probability from 0 to 1"),
        (lambda: Rates(copy=float("nan")), "copy=nan"),
        (lambda: Rates(capture=True), "capture=True"),
        (lambda: Rates(capture="x"), "capture='x'"),  # type: ignore[arg-type]  # that is the mistake
        (lambda: survival(0, 4), "heads=0 is not allowed: a whole number from 1"),
        (lambda: survival(2, -1), "steps=-1 is not allowed: a whole number from 0"),
        (lambda: survival(17, 4), "heads=17 is not allowed: the chain has"),
        (lambda: expected_retention(2, 0), "steps=0 is not allowed"),
    ],
)
def test_what_is_no_probability_or_number_is_refused(call, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        call()
    assert message in str(caught.value)
