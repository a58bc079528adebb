"""From a model's reply to head text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from mhm_langgraph.readers.replies import clean, head_number, usage_of, was_cut

from .texts import watchdog

FACTS = "Ahab lost a leg.\nThe ship is the Pequod."


@pytest.mark.parametrize("name", ["think", "thinking", "thought", "reasoning", "reflection", "THINK"])
@pytest.mark.parametrize(
    "reply",
    [
        "<{0}>Which one?</{0}>" + FACTS,
        "<{0}>\nWhich one?\n\nThat one.\n</{0}>\n\n" + FACTS,
        "<{0}></{0}>" + FACTS,
        "<{0}>One.</{0}>\n<{0}>Two.</{0}>\n" + FACTS,
        '<{0} effort="high">One.</{0} >' + FACTS,
        FACTS + "\n<{0}>Was that right?</{0}>",
        "Which one?\n</{0}>\n" + FACTS,  # the chat template ate the opening tag
        FACTS + "\n<{0}>And now for someth",  # the limit ate the closing one
        "<{0}>Inner <{0}>thoughts</{0}> end.</{0}>" + FACTS,
    ],
    ids=[
        "closed",
        "lines",
        "empty",
        "two",
        "attribute",
        "at-the-end",
        "only-closing",
        "unclosed",
        "nested",
    ],
)
def test_reasoning_goes(reply: str, name: str) -> None:
    assert clean(reply.format(name), 0) == FACTS
    assert clean(reply.format(name)) == FACTS


@pytest.mark.parametrize("reply", ["<think>Nothing but thoughts", "<think>a</think>", "  \n", ""])
def test_a_reply_of_reasoning_alone_is_empty(reply: str) -> None:
    assert clean(reply, 0) == clean(reply) == ""


@pytest.mark.parametrize("word", ["thinking about Ahab", "a <b>thought</b>", "1 < 2 and 3 > 2", "<thinker>"])
def test_words_that_only_look_alike_stay(word: str) -> None:
    assert clean(word, 0) == word


@pytest.mark.parametrize(
    "reply",
    [
        "```\n{}\n```",
        "```text\n{}\n```",
        "```markdown\n{}```",
        "````\n{}\n````",
        "~~~\n{}\n~~~",
        "\n\n```\n\n{}\n\n```\n\n",
        "```\n{}\n  ```",
    ],
    ids=["plain", "named", "no-last-line", "four", "tildes", "blank-lines", "indented"],
)
def test_a_fence_goes(reply: str) -> None:
    assert clean(reply.format(FACTS), 0) == FACTS
    assert clean(reply.format(FACTS)) == FACTS


@pytest.mark.parametrize(
    "reply",
    [
        "See:\n```\ncode\n```\nand more.",
        "`Ahab` lost a leg.",
        "```\nthe fence does not end",
        "```inline```",
    ],
    ids=["inside", "inline", "open", "one-line"],
)
def test_a_fence_within_the_text_stays(reply: str) -> None:
    assert clean(reply, 0) == reply


@pytest.mark.parametrize(
    "reply",
    [
        "Head 2:\n{}",
        "Head 2: {}",
        "head_2:\n{}",
        "HEAD 2\n{}",
        "**Head 2:**\n{}",
        "### Head 2\n{}",
        "The new text of head 2:\n{}",
        "New text of head 2:\n\n{}",
        "Updated head 2: {}",
        "Rewritten text:\n{}",
        "**Updated memory:** {}",
        "<head_2>\n{}\n</head_2>",
        "<HEAD_2>{}</HEAD_2>",
        "<head>{}</head>",
        "<memory>\n{}\n</memory>",
        "{}\n</head_2>",
        "<head_2>\n{}",
        "Head 2:\n<head_2>\n{}\n</head_2>",
        "<head_2>\nHead 2:\n{}\n</head_2>",
        "```\n<head_2>\n{}\n</head_2>\n```",
        "<head_2>\n```\n{}\n```\n</head_2>",
        "Head 2:\n```\n{}\n```",
        "<think>Hm.</think>\n**New text of head 2:**\n```text\n{}\n```",
    ],
    ids=lambda reply: reply.replace("\n", "|"),
)
def test_labels_of_the_prompt_go_in_whatever_order_they_are_wrapped(reply: str) -> None:
    assert clean(reply.format(FACTS), 2) == FACTS


@pytest.mark.parametrize(
    "text",
    [
        "Head and shoulders above the rest.",
        "The headmaster: Mr. Coffin.",
        "New Bedford: a port.",
        "Memory fails him: he forgot the leg.",
        "Heads: 4",
        "Question: who took the leg? The whale.",
    ],
)
def test_text_that_only_starts_like_a_label_stays(text: str) -> None:
    assert clean(text, 2) == text


@pytest.mark.parametrize(
    "reply",
    [
        "Answer: 42",
        "**Answer:** 42",
        "Final answer: 42",
        "<answer>42</answer>",
        "answer:\n42",
        "### Answer: 42",
    ],
)
def test_labels_of_an_answer_go(reply: str) -> None:
    assert clean(reply) == "42"


def test_an_answer_may_speak_of_heads() -> None:
    assert clean("Head 2: the whale's.") == "Head 2: the whale's."


@pytest.mark.parametrize("head", [0, 1, 2, 3])
@pytest.mark.parametrize("unclosed", [False, True])
def test_of_a_reply_with_every_head_written_out_the_own_block_is_meant(head: int, unclosed: bool) -> None:
    blocks = [f"<head_{index}>\ntext of {index}\n</head_{index}>" for index in range(4)]
    reply = "Here are the heads:\n" + "\n".join(blocks)
    if unclosed and head == 3:
        reply = reply.removesuffix("</head_3>")
    assert clean(reply, head) == f"text of {head}"


def test_head_1_is_not_head_10() -> None:
    reply = "<head_10>ten</head_10>\n<head_1>one</head_1>"
    assert clean(reply, 1) == "one"
    assert clean(reply, 10) == "ten"


def test_an_own_block_that_is_empty_is_an_empty_reply() -> None:
    assert clean("<head_0>kept</head_0>\n<head_1>\n</head_1>", 1) == ""


parts = st.lists(
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "<reasoning>",
            "</reasoning >",
            "<thi",
            "nk>",
            "```",
            "```\n",
            "\n```",
            "~~~\n",
            "\n~~~",
            "<head_1>",
            "</head_1>",
            "<head_2>",
            "<head>",
            "</memory>",
            "<answer>",
            "</answer>",
            "Head 1:",
            "Head 1\n",
            "**New text:**",
            "Answer:",
            "final answer : ",
            "*",
            "#",
            "\n",
            "  ",
            "Ahab",
            "Call me Ishmael. ",
            "\u00a0",
        ]
    )
    | st.text(max_size=3),
    max_size=12,
).map("".join)


wrapped = st.recursive(
    parts,
    lambda inner: st.builds(
        str.format,
        st.sampled_from(
            [
                "<think>{}</think>",
                "<think>Hm.</think>{}",
                "```\n{}\n```",
                "~~~text\n{}\n~~~",
                "<head_1>{}</head_1>",
                "<answer>\n{}\n</answer>",
                "Head 1:\n{}",
                "**Answer:** {}",
            ]
        ),
        inner,
    ),
    max_leaves=6,
)


@given(parts | wrapped, st.none() | st.integers(0, 2))
@settings(max_examples=300)
def test_a_clean_text_is_clean(reply: str, head: int | None) -> None:
    """What goes into a head comes back in the next reply: cleaning twice must change nothing."""
    once = clean(reply, head)
    assert clean(once, head) == once
    assert once == once.strip()


@given(parts, st.none() | st.integers(0, 2))
def test_cleaning_adds_nothing(reply: str, head: int | None) -> None:
    left = iter(reply.replace("\0", "\ufffd"))
    assert all(character in left for character in clean(reply, head)), "a subsequence of the reply"


@given(st.text(alphabet="abcé漢 .,\n", max_size=60), st.none() | st.integers(0, 3))
def test_plain_text_stays_as_it_is(text: str, head: int | None) -> None:
    assert clean(text, head) == text.strip()


@pytest.mark.parametrize(
    "reply",
    [
        "<think>" * 150_000,
        "<think " * 150_000,
        "</think" * 150_000,
        "```\n" + " " * 1_000_000 + "x",
        "```\n" + "\n" * 1_000_000 + "x",
        "`" * 1_000_000,
        "<head_1>" * 20_000,
        "<head_1>" + " " * 1_000_000,
        "Head 1:\n" * 20_000,
        "*" * 1_000_000,
        "# " * 500_000 + "x",
        "the new " * 120_000,
        "</" + " " * 1_000_000,
        "Answer: " * 20_000,
    ],
    ids=lambda reply: f"{reply[:9]!a}",
)
def test_a_model_that_repeats_itself_does_not_hang_the_run(reply: str) -> None:
    """Small models end in loops like these; a pattern that backtracks would take minutes to hours."""
    with watchdog(8):
        clean(reply, 1)
        clean(reply)


@pytest.mark.parametrize("unstorable", ["\0", "\ud83d"], ids=ascii)
def test_what_no_checkpoint_can_store_is_replaced(unstorable: str) -> None:
    assert clean(f"Ahab {unstorable} smiled.", 0) == "Ahab \ufffd smiled."


# The number of a head.


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("2", 2),
        ("Head 2", 2),
        ("head_2", 2),
        ("<head_2>", 2),
        ("**2**", 2),
        ("```\n2\n```", 2),
        ("Number 7 of 10 is not there; 1 is.", 1),
        ("<think>0 or 3?</think>\n2.", 2),
        ("</think>3", 3),
        ("Answer: 0", 0),
        ("4", None),
        ("none of them", None),
        ("", None),
        ("<think>2", None),
        ("9" * 5000, None),
        ("9" * 5000 + " or rather 3", 3),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_number_of_a_head(reply: str, expected: int | None) -> None:
    assert head_number(reply, 4) == expected


@given(st.text(max_size=30), st.integers(1, 20))
def test_any_reply_gives_a_head_or_none(reply: str, heads: int) -> None:
    number = head_number(reply, heads)
    assert number is None or 0 <= number < heads


# What a reply tells of itself.


@pytest.mark.parametrize(
    "metadata",
    [
        {"finish_reason": "length"},  # OpenAI's chat completions, vLLM, llama.cpp, Mistral
        {"finish_reason": "model_length"},  # Mistral
        {"finish_reason": "MAX_TOKENS"},  # Gemini, Cohere
        {"stop_reason": "max_tokens"},  # Anthropic
        {"stopReason": "max_tokens"},  # Bedrock's converse
        {"done_reason": "length"},  # Ollama
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},  # OpenAI's responses
    ],
    ids=str,
)
def test_a_reply_cut_by_its_limit_is_known_in_every_dialect(metadata: dict[str, Any]) -> None:
    assert was_cut(AIMessage("text", response_metadata=metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"finish_reason": "stop"},
        {"stop_reason": "end_turn"},
        {"stop_reason": None},
        {"stopReason": "end_turn"},
        {"done_reason": "stop"},
        {"finish_reason": "STOP"},
        {"finish_reason": "content_filter"},
        {"incomplete_details": None},
        {"incomplete_details": {}},
        {"incomplete_details": {"reason": "content_filter"}},
        {"incomplete_details": "not what was agreed"},
        {"length": 5},
    ],
    ids=str,
)
def test_a_reply_that_ended_by_itself_is_not_cut(metadata: dict[str, Any]) -> None:
    assert not was_cut(AIMessage("text", response_metadata=metadata))


def test_usage_is_what_the_model_reports() -> None:
    message = AIMessage("text", usage_metadata={"input_tokens": 7, "output_tokens": 2, "total_tokens": 9})
    assert usage_of(message) == {"input_tokens": 7, "output_tokens": 2, "calls": 1}


def test_a_call_without_a_report_is_a_call_all_the_same() -> None:
    assert usage_of(AIMessage("text")) == {"input_tokens": 0, "output_tokens": 0, "calls": 1}
