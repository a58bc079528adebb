"""What a trajectory comes to, by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhm_langgraph import Usage
from mhm_langgraph.evaluation import (
    Trajectory,
    Update,
    capture_step,
    captured,
    correct,
    held,
    loss_step,
    retained,
    score,
)

CODE = "The code is 7319."
OTHER = "Nothing of use; 73190 is another."


def trajectory(
    texts: list[str | None], heads: int = 1, *, answers: tuple[str, ...] = ("7319",), **more: Any
) -> Trajectory:
    """The heads in turn, each with the next of the texts; None keeps what it held."""
    return Trajectory(
        **{
            "sample": "one",
            "task": "needle",
            "length": 4096,
            "tokens": 4090,
            "question": "Which code?",
            "answers": answers,
            "method": "mhm-lru",
            "heads": heads,
            "updates": tuple(
                Update(step=step, head=step % heads if heads else 0, span=(step, step + 1), text=text)
                for step, text in enumerate(texts)
            ),
            "answer": "7319",
            **more,
        }
    )


def test_captured_and_kept() -> None:
    one = trajectory([OTHER, CODE, CODE])
    assert held(one) == [False, True, True]
    assert (captured(one), retained(one), correct(one)) == (True, True, True)
    assert (capture_step(one), loss_step(one)) == (1, None)
    assert score(one).kept == 1


def test_captured_and_lost() -> None:
    one = trajectory([OTHER, CODE, CODE, OTHER, OTHER])
    assert held(one) == [False, True, True, False, False]
    assert (captured(one), retained(one)) == (True, False)
    assert (capture_step(one), loss_step(one)) == (1, 3)
    assert score(one).kept == 2


def test_lost_and_captured_again() -> None:
    again = trajectory([CODE, OTHER, CODE, OTHER])
    assert held(again) == [True, False, True, False]
    assert (capture_step(again), loss_step(again), score(again).kept) == (0, 3, 3)
    kept = trajectory([CODE, OTHER, CODE])
    assert (loss_step(kept), retained(kept), score(kept).kept) == (None, True, 2)


def test_never_captured() -> None:
    one = trajectory([OTHER, OTHER], answer="no idea")
    assert (captured(one), retained(one), correct(one)) == (False, False, False)
    assert (capture_step(one), loss_step(one), score(one).kept) == (None, None, None)


def test_a_fact_lives_on_in_any_head() -> None:
    """Head 0 captures it and loses it; head 1 has copied it meanwhile."""
    one = trajectory([CODE, CODE, OTHER, None, None, OTHER], heads=2)
    assert held(one) == [True, True, True, True, True, False]
    assert loss_step(one) == 5


def test_a_head_that_keeps_its_text_keeps_its_fact() -> None:
    assert held(trajectory([None, CODE, None, None])) == [False, True, True, True]


def test_steps_are_told_as_the_trajectory_counts_them() -> None:
    """A thread that had read before does not begin at 0."""
    one = trajectory([OTHER, CODE, OTHER])
    later = trajectory(
        [], updates=tuple(Update(step=u.step + 40, head=0, span=u.span, text=u.text) for u in one.updates)
    )
    assert (capture_step(later), loss_step(later), score(later).kept) == (41, 42, 1)


def test_needed_answers_may_be_in_different_heads() -> None:
    texts: list[str | None] = ["apple", "milk", "milk", "apple"]
    assert held(trajectory(texts, 2, answers=("apple", "milk"), all_needed=True)) == [
        False,
        True,
        False,
        True,
    ]
    assert held(trajectory(texts, 1, answers=("apple", "milk"), all_needed=True)) == [False] * 4
    assert held(trajectory(texts, 1, answers=("apple", "milk"))) == [True] * 4


def test_a_needed_answer_that_is_missing_is_wrong() -> None:
    one = trajectory(["apple milk"], answers=("apple", "milk"), all_needed=True, answer="apple")
    assert (score(one).correct, score(one).exact) == (False, False)
    assert score(trajectory(["x"], answers=("apple", "milk"), all_needed=True, answer="milk, apple")).correct


@pytest.mark.parametrize("gold", ["yes", "no", "maybe"])
def test_verdicts_have_accuracy_only(gold: str) -> None:
    found = score(trajectory([f"{gold} it is"], answers=(gold,), answer=f"{gold.title()}."))
    assert (found.tracked, found.captured, found.retained, found.reachable) == (False, False, False, False)
    assert (found.correct, found.correct_words, found.exact) == (True, True, True)


def test_the_papers_accuracy_is_a_substring_and_the_strict_one_is_not() -> None:
    found = score(trajectory(["x"], answers=("no",), answer="I do not know."))
    assert (found.correct, found.correct_words) == (True, False)


def test_a_failed_run_is_not_scored() -> None:
    found = score(trajectory([CODE], answer=None, error="ReaderError: the model kept failing"))
    assert found.error == "ReaderError: the model kept failing"
    assert (found.tracked, found.captured, found.retained, found.correct, found.f1) == (False,) * 4 + (0.0,)


def test_a_method_without_memory_has_accuracy_only() -> None:
    found = score(trajectory([], heads=0, method="llm", answer="It is 7319."))
    assert (found.tracked, found.captured, found.correct, found.f1) == (
        False,
        False,
        True,
        pytest.approx(0.5),
    )


def test_what_is_recalled_is_reachable() -> None:
    lost = [CODE, OTHER]
    assert not score(trajectory(lost)).reachable
    assert score(trajectory(lost, recalled=(CODE,))).reachable
    assert not score(trajectory(lost, recalled=(CODE,))).retained
    assert score(trajectory([OTHER, CODE])).reachable
    both = trajectory(["apple"], answers=("apple", "milk"), all_needed=True, recalled=("milk",))
    assert score(both).reachable


def test_the_final_answer_of_the_reply_is_scored() -> None:
    found = score(trajectory([CODE], answer="Heads say 7319 or 1234. Answer: 1234"))
    assert not found.correct
    assert score(trajectory([CODE], answer=r"\boxed{7319}")).exact


def test_costs_are_handed_on() -> None:
    found = score(
        trajectory([CODE], usage=Usage(input_tokens=10, output_tokens=4, calls=2), seconds=1.5, run=2)
    )
    assert (found.input_tokens, found.output_tokens, found.calls, found.seconds) == (10, 4, 2, 1.5)
    assert (found.sample, found.method, found.run, found.steps) == ("one", "mhm-lru", 2, 1)


heads_and_texts = st.integers(1, 4).flatmap(
    lambda heads: st.tuples(st.just(heads), st.lists(st.sampled_from([CODE, OTHER, "", None]), max_size=20))
)


@given(heads_and_texts)
def test_it_is_held_where_a_head_says_it(case: tuple[int, list[str | None]]) -> None:
    """Searching changed heads only comes to the same as searching all of them each time."""
    one = trajectory(case[1], case[0])
    has = [any("7319." in text for text in memory) for memory in one.memories()]
    assert held(one) == has
    found = score(one)
    assert found.captured == any(has)
    assert found.retained == found.reachable == (has[-1:] == [True])
    if found.captured:
        first = has.index(True)
        last = len(has) - 1 - has[::-1].index(True)
        assert found.captured_at == first
        assert found.lost_at == (None if last == len(has) - 1 else last + 1)
        assert found.kept == (last - first if found.retained else last + 1 - first)


@given(heads_and_texts)
def test_a_line_of_json_scores_as_the_trajectory_did(case: tuple[int, list[str | None]]) -> None:
    one = trajectory(case[1], case[0])
    assert score(Trajectory.from_json(one.to_json())) == score(one)
