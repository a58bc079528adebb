"""Whether a text says a gold answer: the paper's normal form, whole words, HotpotQA's own scores."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhm_langgraph.evaluation import (
    exact_match,
    f1,
    final_answer,
    is_verdict,
    normalise,
    says,
    says_words,
)

from .texts import texts

words = st.lists(
    st.sampled_from(["paris", "the", "a", "temple", "7", "1750", "us", "chief", "of", "navy"]), max_size=12
)
marks = st.sampled_from(["", "-", "'", ", ", ". ", " ", "\n", " — ", "(", ")", '"'])


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Chief of Protocol", "chief of protocol"),
        ("  An  apple,\n a  day. ", "apple day"),
        ("U.S. Navy's", "us navys"),
        ("Theatre and Anne", "theatre and anne"),  # articles are whole words
        ("1,750", "1750"),
        ("1964–1970", "1964–1970"),  # only ASCII's punctuation goes
        ("the", ""),
        ("", ""),
    ],
)
def test_the_normal_form(text: str, normal: str) -> None:
    assert normalise(text) == normal


@given(texts)
def test_the_normal_form_is_hotpotqas(text: str) -> None:
    """Said as the official script says it: lower case, punctuation, articles, white space, in this order."""
    lower = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    assert normalise(text) == " ".join(re.sub(r"\b(a|an|the)\b", " ", lower).split())


@pytest.mark.parametrize(
    ("text", "answer", "plain", "whole"),
    [
        ("He was Chief of Protocol.", "chief of protocol", True, True),
        ("chief  of the\nProtocol", "Chief of Protocol", True, True),
        ("Paris-based", "Paris", True, True),
        ("Shirley Temple's role", "Shirley Temple", True, True),
        ("the “Paris”", "Paris", True, True),
        ("Parisian", "Paris", True, False),
        ("in 1750", "7", True, False),
        ("7.5 or 1,750", "7", True, False),
        ("about 7, or 8.", "7", True, True),
        ("at 7.", "7", True, True),
        ("1939-1945", "1945", True, True),
        ("I do not know", "no", True, False),
        ("No.", "no", True, True),
        ("someone", "one", True, False),
        ("the US Navy", "U.S. Navy", True, True),
        ("the U.S. Navy", "US Navy", True, True),
        ("applefootball", "apple", True, False),
        ("nothing", "something", False, False),
        ("1 11 1", "1 1", True, False),
        ("11 1 1", "1 1", True, True),
        ("a7319b 7319", "7319", True, True),
        ("Zürich's", "Zürich", True, True),
        ("", "x", False, False),
        ("any text", "The", False, False),  # an answer that is an article only stands for itself
        ("the text", "The", True, True),
        ("a, a", "a a", True, True),
        ("anything", "", False, False),
        ("New-York", "New York", False, False),  # one word to the paper
        ("New - York", "New York", True, True),
        ("chief the-of", "chief of", False, False),
        ("chief, the of", "chief of", True, True),
    ],
)
def test_a_gold_answer_in_a_text(text: str, answer: str, plain: bool, whole: bool) -> None:
    assert says(text, [answer]) is plain
    assert says_words(text, [answer]) is whole


@given(words, words, words)
def test_whole_words_are_words_in_a_row(before: list[str], answer: list[str], after: list[str]) -> None:
    """Among plain words, both are what anybody would do by hand."""
    gold = " ".join(answer)
    text = " ".join([*before, *answer, *after])
    wanted = normalise(gold)
    if wanted:
        assert says_words(text, [gold])
        assert says(text, [gold])
        other = " ".join([*before, *after])
        assert says_words(other, [gold]) == (f" {wanted} " in f" {normalise(other)} ")
        assert says(other, [gold]) == (wanted in normalise(other))


pieces = st.lists(st.tuples(st.sampled_from(["chief", "of", "a", "the", "7", "x"]), marks), max_size=12)


@given(pieces, pieces)
def test_what_is_said_in_whole_words_is_a_substring_too(text: list[tuple[str, str]], answer) -> None:
    """Whatever parts the words; so that the strict accuracy is never above the paper's."""
    written, gold = ("".join(f"{word}{mark}" for word, mark in part) for part in (text, answer))
    assert says(written, [gold]) or not says_words(written, [gold])


@given(texts, texts)
def test_no_text_is_too_strange(text: str, answer: str) -> None:
    assert says(text, [answer]) or not says_words(text, [answer])


def test_some_or_all_of_the_answers() -> None:
    assert says_words("milk and apples", ["apple", "milk"])
    assert not says_words("milk and apples", ["apple", "milk"], all_needed=True)
    assert says_words("apple, milk", ["milk", "apple"], all_needed=True)
    assert says("applemilk", ["milk", "apple"], all_needed=True)


def test_a_long_text_of_marks_takes_no_time() -> None:
    assert not says_words("7" + "." * 100_000 + "the " * 20_000, ["7 3 1 9"])
    assert not says_words("aa " * 50_000, ["a" * 40])


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        (["yes"], True),
        (["No."], True),
        (["maybe"], True),
        (["noanswer"], True),
        (["none"], False),
        (["yes", "oui"], False),
    ],
)
def test_verdicts(answers: list[str], verdict: bool) -> None:
    assert is_verdict(answers) is verdict


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Oslo", "Oslo"),
        ("  Oslo.\n", "Oslo."),
        ("Answer: Oslo", "Oslo"),
        ("**Final answer:** Oslo", "Oslo"),
        ("**Answer**: *Oslo*", "Oslo"),
        ("Head 1 says Bergen.\nAnswer: Oslo\nnot Bergen", "Oslo\nnot Bergen"),
        ("Answer: Bergen. No: Answer: Oslo", "Oslo"),
        ("So the answer is Oslo.", "Oslo."),
        ("The correct answer is: Oslo", "Oslo"),
        (r"It is \boxed{Oslo}.", "Oslo"),
        (r"\boxed{Bergen}, no, \boxed{\text{Oslo}}", r"\text{Oslo}"),
        (r"Answer: \boxed{Oslo} in Norway", "Oslo"),
        (r"\boxed{Oslo", "Oslo"),
        (r"\boxed{} Oslo", r"\boxed{} Oslo"),
        ("<think>Answer: Bergen</think>Oslo", "Oslo"),
        ("Answer:", "Answer:"),
        ("“Oslo.”", "Oslo."),
        ("Answer: « Oslo »", "Oslo"),
        ("“Oslo” or “Bergen”", "“Oslo” or “Bergen”"),
        ("‘Tis Oslo", "‘Tis Oslo"),
        ("“”", "“”"),
        ("The answering machine said Oslo", "The answering machine said Oslo"),
        ("", ""),
    ],
)
def test_the_final_answer_of_a_reply(reply: str, answer: str) -> None:
    assert final_answer(reply) == answer


@pytest.mark.parametrize(
    ("said", "gold", "score", "exact"),
    [
        ("Chief of Protocol", "the Chief of Protocol", 1.0, True),
        ("chief", "Chief of Protocol", 0.5, False),  # precision 1, recall 1/3
        ("the chief of protocol of the United States", "Chief of Protocol", 2 * (3 / 6) / (3 / 6 + 1), False),
        ("Oslo", "Bergen", 0.0, False),
        ("yes", "yes", 1.0, True),
        ("Yes.", "yes", 1.0, True),
        ("yes, both", "yes", 0.0, False),  # a verdict is all or nothing
        ("no", "no way", 0.0, False),
        ("yes", "no", 0.0, False),
        ("noanswer", "Oslo noanswer", 0.0, False),
        ("maybe so", "maybe", 2 / 3, False),  # the script knows yes, no and noanswer only
        ("", "Oslo", 0.0, False),
        ("a b b", "b b c", 2 / 3 / 1.0 * 1.0 * 2 * (2 / 2) / (2 / 2 + 2 / 3) * 0 + 0.8, False),
    ],
)
def test_hotpotqas_scores(said: str, gold: str, score: float, exact: bool) -> None:
    assert f1(said, [gold]) == pytest.approx(score)
    assert exact_match(said, [gold]) is exact


def test_the_best_of_several_answers_counts() -> None:
    assert f1("Oslo", ["Bergen", "Oslo city"]) == pytest.approx(2 / 3)
    assert exact_match("Oslo", ["Bergen", "Oslo"])


def test_needed_answers_are_scored_together() -> None:
    assert f1("apple", ["apple", "milk"], all_needed=True) == pytest.approx(2 / 3)
    assert f1("milk, apple", ["apple", "milk"], all_needed=True) == 1.0
    assert exact_match("milk, apple", ["apple", "milk"], all_needed=True)
    assert not exact_match("milk", ["apple", "milk"], all_needed=True)
