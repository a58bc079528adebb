"""When a conversation is read and how much of it stays."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately

from mhm_langgraph import SettingsError
from mhm_langgraph.chat.sizes import (
    Keep,
    kept_from,
    prompt_tokens,
    resolve_counters,
    resolve_keep,
    resolve_trigger,
)


@pytest.mark.parametrize(
    ("trigger", "fires", "not_yet"),
    [
        (("tokens", 100), (100, 1), (99, 50)),
        (("messages", 10), (1, 10), (5000, 9)),
        (("fraction", 0.5), (500, 1), (499, 50)),
        ({"tokens": 100, "messages": 10}, (100, 10), (5000, 9)),
        ([("tokens", 100), ("messages", 10)], (0, 10), (99, 9)),
        ([{"fraction": 0.1, "messages": 5}, ("messages", 50)], (100, 5), (99, 49)),
        (("tokens", 100.0), (100, 0), (99, 0)),
    ],
)
def test_the_forms_of_a_trigger(trigger: Any, fires: Any, not_yet: Any) -> None:
    resolved = resolve_trigger(trigger, window=1000)
    assert resolved.fires(*fires)
    assert not resolved.fires(*not_yet)


@pytest.mark.parametrize("trigger", [None, [], {}])
def test_no_trigger_never_fires(trigger: Any) -> None:
    assert not resolve_trigger(trigger, None).fires(10**9, 10**9)


@pytest.mark.parametrize(
    ("name", "value", "window", "words"),
    [
        ("trigger", ("words", 5), 1000, r"trigger=\('words', 5\) is not allowed: pass \('tokens', 8000\)"),
        ("trigger", 5, 1000, "trigger=5 is not allowed"),
        ("trigger", ("tokens", 0), 1000, r"trigger=\('tokens', 0\).*whole number from 1 on"),
        ("trigger", ("tokens", 1.5), 1000, "whole number"),
        ("trigger", ("tokens", True), 1000, "is not allowed"),
        ("trigger", ("fraction", 80), 1000, "a fraction lies above 0, up to 1"),
        ("trigger", ("fraction", 0.8), None, "needs a model whose window is known"),
        ("trigger", {"tokens": -5}, 1000, "whole number"),
        ("keep", [("messages", 5), ("tokens", 5)], 1000, "keep=.* is not allowed"),
        ("keep", ("messages", 0), 1000, "whole number"),
        ("keep", None, 1000, "keep=None is not allowed"),
    ],
)
def test_a_wrong_size_is_named(name: str, value: Any, window: Any, words: str) -> None:
    resolve = resolve_trigger if name == "trigger" else resolve_keep
    with pytest.raises(SettingsError, match=words):
        resolve(value, window)


@pytest.mark.parametrize(
    ("keep", "first"),
    [
        (Keep("messages", 2), 3),
        (Keep("messages", 9), 0),
        (Keep("tokens", 100), 0),
        (Keep("tokens", 29), 3),
        (Keep("tokens", 1), 4),
    ],
)
def test_what_is_kept(keep: Keep, first: int) -> None:
    assert kept_from([10] * 5, keep) == first


def test_a_counter_of_messages_and_a_counter_of_texts_are_told_apart() -> None:
    talk = [HumanMessage("word " * 50)]
    of_messages = resolve_counters(count_tokens_approximately)
    assert of_messages.messages(talk) == count_tokens_approximately(talk)
    of_texts = resolve_counters(lambda text: len(text.split()))
    assert (of_texts.text("two words"), of_texts.messages(talk)) == (2, 53)
    # Both of these take a list without complaint, and see nothing of the text in it.
    assert resolve_counters(len).text("four") == 4
    assert resolve_counters(lambda text: len(text) // 4).messages(talk) == 62 + 3


def test_the_default_counts_as_langchain_does() -> None:
    call = {"name": "look", "args": {"at": "the sea"}, "id": "1"}
    talk = [HumanMessage("word " * 50), AIMessage("", tool_calls=[call])]
    assert resolve_counters(None).messages(talk) == count_tokens_approximately(talk)
    assert resolve_counters(lambda text: len(text.split())).messages(talk[1:]) > 5, "calls count"


def test_a_counter_that_does_not_count_is_refused() -> None:
    with pytest.raises(SettingsError, match="token_counter="):
        resolve_counters(lambda text: "many")


def told(total: int, name: str) -> AIMessage:
    usage = {"input_tokens": total - 1, "output_tokens": 1, "total_tokens": total}
    return AIMessage("x", id=name, usage_metadata=usage)  # type: ignore[arg-type]


def test_what_the_model_reports_counts_system_message_and_tools_too() -> None:
    talk = [HumanMessage("a", id="0"), told(900, "1"), HumanMessage("b" * 40, id="2")]
    assert prompt_tokens(talk, len, 0, None) == 901
    assert prompt_tokens(talk, count_tokens_approximately, 0, None) == 900 + count_tokens_approximately(
        talk[2:]
    )
    assert prompt_tokens(talk, lambda messages: 5000, 950, None) == 5950


def test_what_was_reported_before_the_last_reading_is_out_of_date() -> None:
    talk = [told(900, "1"), HumanMessage("b", id="2")]
    assert prompt_tokens(talk, len, 0, "2") == 2, "the reading came after it"
    assert prompt_tokens(talk, len, 0, "0") == 901, "it was said after the reading"
    assert prompt_tokens([*talk, told(300, "3")], len, 0, "2") == 300
