"""Scores put together: rates, intervals, the paired test and the survival curve, by hand where it can be."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhm_langgraph import SettingsError
from mhm_langgraph.evaluation import Score, compare, summarise, survival_curve
from mhm_langgraph.evaluation.summary import scientific

DEFAULT = Score(
    sample="0",
    task="needle",
    variant="",
    length=4096,
    method="mhm-lru",
    run=0,
    error=None,
    steps=10,
    tracked=True,
    captured_at=None,
    lost_at=None,
    kept=None,
    retained=False,
    reachable=False,
    correct=False,
    correct_words=False,
    f1=0.0,
    exact=False,
    input_tokens=100,
    output_tokens=10,
    calls=11,
    seconds=1.0,
)


def made(sample: int, kept: int | None = None, *, end: bool = False, **more: Any) -> Score:
    """A score: captured at step 0 and kept so long, until the end or not."""
    values = {"captured_at": None if kept is None else 0, "kept": kept, "retained": end, "reachable": end}
    return replace(DEFAULT, sample=str(sample), **{**values, **more})


FOUR = [
    made(0, 9, end=True, correct=True, correct_words=True, f1=1.0, exact=True),
    made(1, 9, end=True, correct=True, f1=0.5),
    made(2, 3, reachable=True),
    made(3),
]


def test_the_rates_of_four_samples() -> None:
    (line,) = summarise(FOUR)
    assert (line.task, line.variant, line.length, line.method) == ("needle", "", 4096, "mhm-lru")
    assert (line.samples, line.runs, line.failures) == (4, 1, 0)
    values = {
        name: (getattr(line, name).value, getattr(line, name).n)
        for name in ("mcr", "mrr", "reachable", "accuracy", "accuracy_words", "f1", "exact")
    }
    assert values == {
        "mcr": (0.75, 4),
        "mrr": (pytest.approx(2 / 3), 3),  # of the three that were captured
        "reachable": (1.0, 3),
        "accuracy": (0.5, 4),
        "accuracy_words": (0.25, 4),
        "f1": (0.375, 4),
        "exact": (0.25, 4),
    }
    assert line.accuracy is not None
    assert line.accuracy.low < 0.5 < line.accuracy.high
    assert line.accuracy.std is None
    assert line.input_tokens is not None
    assert (line.input_tokens.value, line.input_tokens.low, line.input_tokens.high) == (100, 100, 100)


def test_verdicts_count_in_accuracy_only() -> None:
    (line,) = summarise([*FOUR, made(4, tracked=False, correct=True)])
    assert line.mcr is not None
    assert line.accuracy is not None
    assert (line.mcr.n, line.accuracy.n, line.accuracy.value) == (4, 5, 0.6)


def test_failures_are_counted_and_in_no_measure() -> None:
    failed = [made(number, error="ReaderError: gone", run=number % 2) for number in (4, 5, 6)]
    (line,) = summarise([*FOUR, *failed])
    assert (line.samples, line.failures) == (4, 3)
    assert line.accuracy is not None
    assert (line.accuracy.value, line.accuracy.n) == (0.5, 4)
    (nothing,) = summarise(failed)
    assert (nothing.samples, nothing.failures, nothing.accuracy, nothing.mcr) == (0, 3, None, None)


def test_a_method_without_memory_has_no_rates_of_memory() -> None:
    (line,) = summarise([made(number, tracked=False, method="llm") for number in range(3)])
    assert (line.mcr, line.mrr, line.reachable) == (None, None, None)
    assert line.accuracy is not None


def test_nothing_captured_has_no_retention() -> None:
    (line,) = summarise([made(0), made(1)])
    assert line.mrr is None
    assert line.mcr is not None
    assert line.mcr.value == 0.0


def test_runs_are_of_the_same_samples() -> None:
    """Three runs of four samples are four samples; the deviation is that of the runs' means."""
    runs = [
        made(sample, run=run, correct=sample < right)
        for run, right in enumerate((1, 2, 3))
        for sample in range(4)
    ]
    (line,) = summarise(runs)
    assert line.accuracy is not None
    assert (line.samples, line.runs, line.accuracy.n) == (4, 3, 4)
    assert line.accuracy.value == 0.5
    assert line.accuracy.std == pytest.approx(0.25)  # of 0.25, 0.5 and 0.75, with n - 1
    once, thrice = (
        summarise(
            [made(sample, run=run, correct=sample % 2 == 0) for run in range(times) for sample in range(20)]
        )
        for times in (1, 3)
    )
    assert once[0].accuracy is not None
    assert thrice[0].accuracy is not None
    assert thrice[0].accuracy.high == once[0].accuracy.high  # more runs alone make nobody surer


@pytest.mark.parametrize(("right", "low", "high"), [(0, 0.0, 0.278), (10, 0.722, 1.0)])
def test_none_or_all_of_ten_still_have_an_interval(right: int, low: float, high: float) -> None:
    """Wilson's, z = 1.96: 10 of 10 is [10 / (10 + z²), 1]."""
    (line,) = summarise([made(sample, correct=sample < right) for sample in range(10)])
    assert line.accuracy is not None
    assert (line.accuracy.low, line.accuracy.high) == pytest.approx((low, high), abs=0.001)


def test_the_interval_is_that_of_a_mean() -> None:
    """64 of 128: the bootstrap comes close to 1.96 standard errors."""
    (line,) = summarise([made(sample, correct=sample % 2 == 0) for sample in range(128)], resamples=9999)
    assert line.accuracy is not None
    assert line.accuracy.low == pytest.approx(0.5 - 1.96 * (0.25 / 128) ** 0.5, abs=0.01)
    assert line.accuracy.high == pytest.approx(0.5 + 1.96 * (0.25 / 128) ** 0.5, abs=0.01)


def test_lines_stand_by_length_and_as_methods_first_came() -> None:
    scores = [
        made(0, length=length, method=method, variant=variant)
        for length in (8192, 4096)
        for method in ("mhm-lru", "closed-book")
        for variant in ("qa1", "qa2")
    ]
    assert [(line.length, line.method) for line in summarise(scores)] == [
        (4096, "mhm-lru"),
        (4096, "closed-book"),
        (8192, "mhm-lru"),
        (8192, "closed-book"),
    ]
    lines = summarise(scores, by_variant=True)
    assert [(line.variant, line.length) for line in lines[:4:2]] == [("qa1", 4096), ("qa1", 8192)]
    assert len(lines) == 8


def test_variants_stand_by_their_numbers() -> None:
    scores = [made(0, variant=variant) for variant in ("qa10", "qa2", "multi-key", "qa1")]
    assert [line.variant for line in summarise(scores, by_variant=True)] == [
        "multi-key",
        "qa1",
        "qa2",
        "qa10",
    ]


def test_the_order_of_scores_does_not_matter() -> None:
    """Runs end in any order; their intervals are the same."""
    scores = [
        made(number, correct=number % 3 == 0, f1=number / 20, run=run)
        for number in range(20)
        for run in (0, 1)
    ]
    turned = random.Random(0).sample(scores, len(scores))
    for one, other in zip(summarise(scores), summarise(turned), strict=True):
        for name in ("accuracy", "f1"):
            first, second = getattr(one, name), getattr(other, name)
            assert (first.low, first.high, first.std) == pytest.approx((second.low, second.high, second.std))
    pairs = against([(number % 2 == 0, number % 3 == 0) for number in range(20)])
    assert compare(pairs, "mhm-lru", "memagent") == compare(pairs[::-1], "mhm-lru", "memagent")


def test_samples_of_two_variants_are_not_the_same() -> None:
    (line,) = summarise([made(0, variant="qa1"), made(0, variant="qa2")])
    assert line.accuracy is not None
    assert line.accuracy.n == 2


def test_nothing_comes_of_nothing() -> None:
    assert summarise([]) == []
    assert compare([], "mhm-lru", "memagent") == []
    assert survival_curve([]) is None
    assert survival_curve([made(0)]) is None


scores = st.lists(
    st.builds(
        made,
        st.integers(0, 6),
        st.none() | st.integers(0, 9),
        end=st.booleans(),
        run=st.integers(0, 2),
        correct=st.booleans(),
        f1=st.floats(0, 1),
        error=st.sampled_from([None, None, None, "gone"]),
        method=st.sampled_from(["mhm-lru", "memagent"]),
    ),
    max_size=40,
)


@given(scores)
def test_intervals_hold_their_value_and_no_warning_is_given(scores: list[Score]) -> None:
    for line in summarise(scores, resamples=200):
        for name in ("mcr", "mrr", "accuracy", "f1"):
            found = getattr(line, name)
            if found is not None:
                assert 0 <= found.low <= found.value + 1e-9
                assert found.value - 1e-9 <= found.high <= 1
    for one in compare(scores, "mhm-lru", "memagent", resamples=99):
        assert one.low - 1e-9 <= one.difference <= one.high + 1e-9
        assert one.difference == pytest.approx(one.value - one.other)
        assert 0 < one.p <= 1
    curve = survival_curve(scores)
    if curve:
        assert list(curve.steps) == sorted(set(curve.steps))
        assert list(curve.share) == sorted(curve.share, reverse=True)
        rows = zip(curve.low, curve.share, curve.high, strict=True)
        assert all(0 <= low <= share <= high <= 1 for low, share, high in rows)


def against(pairs: list[tuple[bool, bool]], **more: Any) -> list[Score]:
    """A sample a pair: whether the method and the baseline are right on it."""
    return [
        made(number, correct=right, method=method, **more)
        for number, pair in enumerate(pairs)
        for method, right in zip(("mhm-lru", "memagent"), pair, strict=True)
    ]


def only(comparisons: list[Any], measure: str) -> Any:
    (found,) = (comparison for comparison in comparisons if comparison.measure == measure)
    return found


def test_the_paired_difference_and_its_exact_p() -> None:
    """Six samples better, none worse: of the 64 ways to flip signs two are so extreme."""
    found = only(
        compare(against([(True, False)] * 6 + [(True, True)] * 4), "mhm-lru", "memagent"), "accuracy"
    )
    assert (found.n, found.value, found.other) == (10, 1.0, 0.4)
    assert found.difference == pytest.approx(0.6)
    assert found.p == pytest.approx(2 / 64)
    assert 0.2 <= found.low < 0.6 < found.high <= 1


def test_no_difference_is_no_evidence() -> None:
    found = only(compare(against([(True, True), (False, False)] * 5), "mhm-lru", "memagent"), "accuracy")
    assert (found.difference, found.p) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("pair", "number", "interval"),
    [
        ((True, True), 10, (-0.2775, 0.2775)),  # Wilson's for 0 of 10, to either side
        ((True, True), 1000, (-0.0038, 0.0038)),
        ((True, False), 10, (1 - 2 * 0.2775, 1)),
        ((False, True), 1, (-1, -1 + 2 * 0.7935)),
    ],
)
def test_samples_that_all_differ_alike_are_no_certainty(
    pair: tuple[bool, bool], number: int, interval: tuple[float, float]
) -> None:
    found = only(compare(against([pair] * number), "mhm-lru", "memagent"), "accuracy")
    assert (found.low, found.high) == pytest.approx(interval, abs=1e-4)


def test_pairing_sees_what_the_separate_intervals_hide() -> None:
    pairs = [(True, True)] * 60 + [(False, False)] * 60 + [(True, False)] * 8
    found = only(compare(against(pairs), "mhm-lru", "memagent"), "accuracy")
    assert found.low > 0
    assert found.p < 0.01
    lines = {line.method: line.accuracy for line in summarise(against(pairs))}
    assert lines["mhm-lru"].low < lines["memagent"].high


def test_retention_is_paired_where_both_captured_and_holding_everywhere() -> None:
    rows = [  # kept and held at the end: the method's, the baseline's
        ((9, True), (9, True)),
        ((9, True), (4, False)),
        ((9, True), (None, False)),  # the baseline never had it
        ((None, False), (9, True)),
    ]
    scores = [
        made(number, kept, end=end, method=method)
        for number, row in enumerate(rows)
        for method, (kept, end) in zip(("mhm-lru", "memagent"), row, strict=True)
    ]
    found = compare(scores, "mhm-lru", "memagent")
    assert (only(found, "mrr").n, only(found, "mrr").difference) == (2, 0.5)
    assert (only(found, "held").n, only(found, "held").difference) == (4, 0.25)
    assert (only(found, "mcr").n, only(found, "mcr").difference) == (4, 0.0)


def test_runs_are_averaged_and_failures_left_out_before_pairing() -> None:
    scores = [
        made(0, run=0, correct=True),
        made(0, run=1, correct=False),
        made(0, run=2, error="gone"),
        made(1, run=0, error="gone"),
        made(0, method="memagent"),
        made(1, method="memagent", correct=True),
    ]
    found = only(compare(scores, "mhm-lru", "memagent"), "accuracy")
    assert (found.n, found.value, found.other) == (1, 0.5, 0.0)


def test_lengths_are_compared_apart_and_other_methods_left_out() -> None:
    scores = [
        *against([(True, False)] * 3),
        *against([(False, True)] * 3, length=8192),
        made(0, method="llm"),
    ]
    found = [one for one in compare(scores, "mhm-lru", "memagent") if one.measure == "accuracy"]
    assert [(one.length, one.difference) for one in found] == [(4096, 1.0), (8192, -1.0)]


def test_the_survival_curve_by_hand() -> None:
    """Lost after 2, 4 and 4 turns; watched to the end for 3 and 6: Kaplan and Meier's products."""
    curve = survival_curve(
        [made(0, 2), made(1, 3, end=True), made(2, 4), made(3, 4), made(4, 6, end=True), made(5)]
    )
    assert curve is not None
    assert (curve.n, curve.lost) == (5, 3)
    assert curve.steps == (0, 2, 3, 4, 6)
    assert curve.share == pytest.approx((1, 4 / 5, 4 / 5, 4 / 5 * 1 / 3, 4 / 5 * 1 / 3))
    assert curve.at_risk == (5, 5, 4, 3, 1)


def test_what_is_never_lost_has_a_level_curve() -> None:
    curve = survival_curve([made(0, 5, end=True), made(1, 7, end=True)])
    assert curve is not None
    assert (curve.share, curve.lost) == ((1.0, 1.0, 1.0), 0)
    assert curve.high == (1.0, 1.0, 1.0)


def test_the_curve_of_a_constant_hazard_is_its_power() -> None:
    """Each turn loses it with probability 0.1, watched 40 turns: after n turns 0.9^n are left."""
    chance = random.Random(0)
    kept = [next((n for n in range(1, 41) if chance.random() < 0.1), None) for _ in range(3000)]
    curve = survival_curve([made(0, turns or 40, end=turns is None) for turns in kept])
    assert curve is not None
    for turns in (1, 5, 10, 20, 40):
        at = curve.steps.index(turns)
        assert curve.share[at] == pytest.approx(0.9**turns, abs=0.03)
        assert curve.low[at] - 0.01 <= 0.9**turns <= curve.high[at] + 0.01


def test_the_packages_for_statistics_are_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(SettingsError, match=r"mhm-langgraph\[eval\]"):
        summarise(FOUR)


def test_importing_the_evaluation_imports_none_of_them() -> None:
    imported = "print({'scipy', 'numpy', 'matplotlib', 'pyarrow'} & set(sys.modules))"
    printed = [
        subprocess.run(  # noqa: S603  # our own words
            [sys.executable, "-c", f"import sys, {package}; {imported}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for package in ("mhm_langgraph", "mhm_langgraph.evaluation")
    ]
    assert printed[0] == printed[1]


def test_they_are_found_where_they_are() -> None:
    numpy, stats = scientific()
    assert numpy.mean([1, 3]) == 2
    assert callable(stats.bootstrap)
