"""Grounding: what is honest passes in any form, what is invented does not. Thresholds on real texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mhm_langgraph.evaluation
from benchmarks.grounding import BOUND, measure
from benchmarks.rewrites import HONEST, TAMPERED, passages, proper_names
from mhm_langgraph import SettingsError
from mhm_langgraph.grounding import RULES, Evidence, ground, names, resolve_rule, verbatim

SAMPLE = Path(mhm_langgraph.evaluation.__file__).parent / "data"
CHUNK = (
    "Captain Ahab of Nantucket paid 1,200 dollars, then 1.5 million more, on May 12, 1851. “Have ye seen the "
    "White Whale?” he cried. The naïve harpooneer Queequeg's sister-in-law lived in Kokovoko from 1846–49. "
    "Twenty-three men of the U.S. sailed with the twelfth ship, KX-4471, and Møller measured 2,5 metres. "
    "Russia sent its Third Fleet."
)


def said(sentence: str, chunk: str = CHUNK, question: str = "", memory: tuple[str, ...] = ()) -> bool:
    return names(sentence, Evidence(chunk, memory, question))


@pytest.mark.parametrize(
    "sentence",
    [
        "AHAB PAID 1200 DOLLARS.",
        "ahab paid $1,200.",
        "He paid 1 200 dollars and 1,500,000 more.",
        "Also, Ahab’s payment was 1’200.00 dollars.",
        "On 12 May 1851 Ahab paid.",
        "The date is 1851-05-12.",
        "He cried \"have ye seen the white whale\".",
        "He asked: 'Have ye seen the White Whale?'",
        "“Have ye seen ... Whale?” he cried.",
        "The Naive harpooneer had a sister in law.",
        "Queequegs sister lived there until 1849.",
        "23 men sailed.",
        "Twenty three men of the US sailed on the 12th ship.",
        "The ship KX4471, or KX 4471.",
        "Moller measured 2.5 metres.",
        "The 3rd fleet was Russian.",
        "1. Ahab paid.\n2) Queequeg lived.\n- Møller measured.",
        "Key Facts: Ahab paid. Main Characters: Ahab, Queequeg.",
        "# Summary\nHowever, nobody else paid. Additionally, it rained.",
        "One of them, Ahab, paid.",
    ],
)  # fmt: skip
def test_an_honest_sentence_passes_in_any_form(sentence: str) -> None:
    assert ground(sentence, Evidence(CHUNK), names).unsupported == []


@pytest.mark.parametrize(
    "sentence",
    [
        "Starbuck paid 1,200 dollars.",
        "Ahab paid 1,300 dollars.",
        "Ahab paid 12 hundred and six dollars.",
        "Captain Peleg of Nantucket paid.",
        "He paid thirteen dollars.",
        "He paid 1.6 million.",
        "He paid 2 million.",
        "On 13 May he paid.",
        "On June 12, 1851 he paid.",
        "He cried “Have ye seen the black whale?”",
        "The ship was KX-4472.",
        "The ship was QX-4471.",
        "The ship was kx4470.",
        "Møller measured 25 metres.",
        "The 4th fleet came.",
        "- Ahab paid.\n- Flask paid.",
        "Key Facts: Ishmael paid.",
        "Он заплатил 77.",
    ],
)
def test_an_invented_name_number_or_quotation_does_not(sentence: str) -> None:
    assert len(ground(sentence, Evidence(CHUNK), names).unsupported) == 1


def test_scripts_of_all_kinds() -> None:
    assert said("В Москве жил Иван.", "Иван родился в городе Москва.")
    assert not said("В Москве жил Пётр.", "Иван родился в городе Москва.")
    assert said("白鲸在1851年出现。", "1851年，白鲸出现了。")
    assert not said("白鲸在1852年出现。", "1851年，白鲸出现了。")
    assert said("في عام 1851", "عام ١٨٥١")


def test_the_memory_and_the_question_count_for_names_and_only_the_memory_for_verbatim() -> None:
    sentence = "Ahab is the captain of the Pequod."
    for rule in RULES.values():
        assert rule(sentence, Evidence("It rained.", memory=["Ahab is the captain of the Pequod."]))
    asked = Evidence("It rained.", question="Is Ahab the captain of the Pequod?")
    assert names(sentence, asked)
    assert not verbatim(sentence, asked)


OFFICES = (
    "The access code of the Oslo office is 7319. It rained all day. Nobody came. The access code of the Lima "
    "office is 4410."
)


def test_verbatim_does_not_bind_what_belongs_to_another() -> None:
    given = Evidence(OFFICES, memory=["What is the code of the Lima office?"])
    assert verbatim("The access code of the Oslo office is 7319.", given)
    assert verbatim("Access code of the Lima office: 4410.", given)
    assert names("The access code of the Lima office is 7319.", given)
    assert not verbatim("The access code of the Lima office is 7319.", given)
    assert not verbatim("One enters the Oslo bureau by typing 7319 there.", given), "other words"
    assert not verbatim("Nobody else.", given)
    assert verbatim("Nobody came.", given)


def test_what_is_kept_keeps_its_lines() -> None:
    reply = "## Facts\n\n- Ahab paid. Flask paid.\n- Stubb paid.\n- Ahab sailed.\nThe end."
    grounded = ground(reply, Evidence("Ahab paid and sailed. Facts. The end."), names)
    assert grounded.kept == "## Facts\n\n- Ahab paid.\n- Ahab sailed.\nThe end."
    assert grounded.unsupported == ["Flask paid.", "Stubb paid."]
    assert ground(reply, Evidence(reply), names).kept == reply
    assert ground("Flask paid. ", Evidence("Ahab."), names).kept == ""


@given(st.text(max_size=200), st.text(max_size=200), st.sampled_from(sorted(RULES)))
def test_any_text_can_be_checked_and_is_never_changed_but_by_leaving_out(
    reply: str, chunk: str, rule: str
) -> None:
    found = ground(reply, Evidence(chunk, ["A head."], "A question?"), RULES[rule])
    if not found.unsupported:
        assert found.kept == reply
    assert len(found.kept) <= len(reply)


@given(st.text(max_size=200))
def test_what_is_copied_whole_is_supported(reply: str) -> None:
    assert ground(reply, Evidence(reply), names).unsupported == []


def test_a_rule_of_ones_own_is_a_function() -> None:
    assert resolve_rule("names") is None
    assert resolve_rule(names) is names
    for wrong in (3, None, dict):
        with pytest.raises(SettingsError, match="grounding_rule="):
            resolve_rule(wrong)


@pytest.fixture(scope="module")
def measured():
    """Both rules on passages of the sample that ships."""
    texts = passages(SAMPLE, 1_000)
    proper = proper_names(passage.text for passage in texts)
    return {rule: measure(passages(SAMPLE, 1), proper, rule) for rule in RULES}


def test_false_alarms_on_real_honest_sentences_are_rare(measured) -> None:
    assert measured["names"].false_alarms < 0.02
    assert measured["verbatim"].rate(set(HONEST) - {"with an opening"}) < 0.02
    assert measured["names"].rate(["copied"]) == 0
    assert sum(measured["names"].asked[kind] for kind in HONEST) > 2_000


def test_what_is_invented_is_caught(measured) -> None:
    for rule in RULES:
        assert measured[rule].caught > 0.95
        assert all(measured[rule].asked[kind] > 5 for kind in TAMPERED if kind != "a quotation altered")


def test_only_verbatim_catches_what_is_bound_to_another(measured) -> None:
    assert measured["verbatim"].rate(BOUND) > 0.95
    assert measured["names"].rate(BOUND) < 0.5
    assert measured["verbatim"].rate(["a hidden code, true"]) == 0
