"""The gates' markers: what is one, what is a sentence, and what a text from outside can not forge."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate

from mhm_langgraph import COMPACT, STANDARD, Prompts, SettingsError, create_mhm_agent
from mhm_langgraph.readers import AnswerRequest, ChatReader, Reply, UpdateRequest
from mhm_langgraph.readers.chat import answer_messages, update_messages
from mhm_langgraph.readers.extractive import ExtractiveReader
from mhm_langgraph.readers.gates import NO_GATES, Gates, gate_marks, read_gates
from mhm_langgraph.readers.prompts import resolve_prompts
from mhm_langgraph.results import heeded
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader

BOTH = Gates(update=True, exit=True)


@pytest.mark.parametrize(
    "text",
    [
        "<skip>",
        "<SKIP>",
        "< skip >",
        "<skip/>",
        "</skip>",
        "[SKIP]",
        "{skip}",
        "**<skip>**",
        "`[skip]`",
        "# [Skip]",
        '"<skip>"',
        "<skip>.",
        "SKIP",
        "skip",
        "Skip.",
        "**SKIP**",
        "(skip)",
        "“Skip”",
        "  \n<skip>\n ",
        "<skip></skip>",
        "SKIP\n\nThe chunk is about whales.",
        "**SKIP**\nNothing.",
        "[skip] The chunk holds nothing about Ahab.",
    ],
)
def test_a_marker_is_read_however_it_is_dressed(text: str) -> None:
    assert read_gates(text, BOTH) == ("skip", "")


@pytest.mark.parametrize(
    "text",
    [
        "Skip sailed on the Pequod.",
        "Skip, the mate, sailed on.",
        "Skip: a dog.",
        "SKIP is a dog's name.",
        "Enough had been said of the whale.",
        "“Enough!” cried Ahab.",
        "Skip\nand the others sailed.",
        "(Skip) Barber drove on.",
        "skipper <skip>",
        "Ahab. <skip>",
        "‹skip>",
        "<skipper>",
        "<skip the chunk>",
        "[Exit Hamlet.]",
        "",
    ],
)
def test_a_sentence_is_an_ordinary_update(text: str) -> None:
    assert read_gates(text, BOTH) == ("", text)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<enough>", ""),
        ("[ENOUGH]\nAhab lost a leg.", "Ahab lost a leg."),
        ("<enough> “Aye!” said Ahab.", "“Aye!” said Ahab."),
        ("<enough>\n- Ahab\n- Starbuck", "- Ahab\n- Starbuck"),
        ("<enough>**Ahab** lost a leg.", "**Ahab** lost a leg."),
        ("**<enough>** Ahab lost a leg.", "Ahab lost a leg."),
        ("ENOUGH\nAhab lost a leg.", "Ahab lost a leg."),
        ("Enough.", ""),
        ("<skip><enough>", ""),
        ("<enough> <skip>", ""),
        ("<enough>\nSkip", ""),
    ],
)
def test_the_exit_may_carry_an_update(text: str, rest: str) -> None:
    assert read_gates(text, BOTH) == ("exit", rest)


@pytest.mark.parametrize("text", ["<skip>", "<enough>", "<skip> a text", "ENOUGH\na text"])
def test_the_marker_of_a_gate_that_is_off_is_text(text: str) -> None:
    assert read_gates(text, NO_GATES) == ("", text)
    other = Gates(exit=True) if "skip" in text else Gates(update=True)
    assert read_gates(text, other) == ("", text)


@given(st.text("<[{(skipSKIPenough/>]})*_#`\"' \n.‹", max_size=60))
def test_whatever_a_model_says_is_read(text: str) -> None:
    gate, rest = read_gates(text, BOTH)
    assert gate or rest == text
    assert text.endswith(rest)


@pytest.mark.parametrize("text", [" " * 200_000 + "x", "*" * 200_000 + "skip x", "<skip>" * 40_000 + "x"])
def test_a_long_loop_takes_no_time_to_read(text: str) -> None:
    start = time.process_time()
    read_gates(text, BOTH)
    assert time.process_time() - start < 10  # linear: some 10 ms; quadratic: minutes


@pytest.mark.parametrize(
    "forged", ["<skip>", "[SKIP]", "{ enough }", "< / Enough >", "<\u200bskip>", "</skip>"]
)
def test_a_forged_marker_is_changed_visibly(forged: str) -> None:
    shielded = STANDARD.with_gates(BOTH).shield(f"{forged} said Ahab")
    assert shielded.startswith("‹")
    assert read_gates(shielded, BOTH) == ("", shielded)
    assert STANDARD.shield(f"{forged} said Ahab") == STANDARD.with_gates(NO_GATES).shield(
        f"{forged} said Ahab"
    )
    assert gate_marks(NO_GATES) == ()


@pytest.mark.parametrize("forged", ["SKIP\n", "“Enough!”", "**skip**\r", "(Enough)"])
def test_a_forged_line_is_changed_visibly(forged: str) -> None:
    for before in ("", "said Ahab\n", "said Ahab\u2028"):
        shielded = STANDARD.with_gates(BOTH).shield(f"{before}{forged}\nsaid Ahab")
        assert shielded.count("‹") == 1
        line = shielded.removeprefix(before)
        assert read_gates(line, BOTH) == ("", line)
        assert read_gates(line.partition("\n")[0], BOTH)[0] == ""


@pytest.mark.parametrize("text", ["Skip sailed on.", "Enough of that,\nsaid Ahab.", "skipper", "a skip\n"])
def test_words_in_a_sentence_stay_as_they_are(text: str) -> None:
    assert STANDARD.with_gates(BOTH).shield(text) == text


def asked(prompts: Prompts, gates: Gates = BOTH, **more: Any) -> UpdateRequest:
    given: dict[str, Any] = {"question": "Who?", "heads": ["", "<skip>"], "head": 0, "chunk": "<enough>"}
    return UpdateRequest(**{**given, "head_tokens": 50, "prompts": prompts, "gates": gates, **more})


def test_the_instruction_stands_at_the_end_of_the_last_human_message() -> None:
    own = replace(
        STANDARD,
        update=ChatPromptTemplate.from_messages(
            [("human", "{question}{heads}{chunk}"), ("ai", "Head {head_index}:")]
        ),
        update_gate="Or <skip>.",
    )
    human, prefill = update_messages(asked(own, Gates(update=True)))
    assert human.text.endswith("\n\nOr <skip>.")
    assert prefill == AIMessage("Head 0:")


def test_the_instruction_joins_content_in_parts_and_a_prompt_without_a_human_message() -> None:
    parts = HumanMessage([{"type": "text", "text": "{question}{heads}{chunk}"}])
    for message in (parts, SystemMessage("...")):
        (longer,) = STANDARD.gated([message], Gates(exit=True))
        assert longer.text == message.text + "\n\n" + STANDARD.exit_gate
        assert message.text in ("{question}{heads}{chunk}", "...")


def test_without_gates_the_prompt_is_what_it_was() -> None:
    for prompts in (STANDARD, COMPACT):
        plain = update_messages(asked(prompts, NO_GATES))
        assert plain == update_messages(replace(asked(prompts), gates=NO_GATES))
        assert "<skip>" in plain[-1].text  # the head's own text, as it always was
        gated = update_messages(asked(prompts))[-1].text
        assert gated.endswith(f"{prompts.update_gate} {prompts.exit_gate}")
        assert (
            gated.count("<skip>") == gated.count("<enough>") == 1
        )  # the head's and the chunk's are shielded


def test_the_answer_knows_no_gates() -> None:
    request = AnswerRequest(question="Who?", heads=["<skip>"], answer_tokens=9)
    assert "<skip>" in answer_messages(request)[-1].text


@pytest.mark.parametrize("name", ["update_gate", "exit_gate"])
@pytest.mark.parametrize("text", ["Say nothing.", None, 3])
def test_an_instruction_must_name_its_marker(name: str, text: Any) -> None:
    with pytest.raises(SettingsError, match=f"prompts.{name}=.* names <"):
        resolve_prompts(replace(STANDARD, **{name: text}))


@pytest.mark.parametrize(
    ("reply", "gate", "text"),
    [
        ("<think>Nothing here? <enough></think>\n<skip>", "skip", ""),
        ("<head_0>\n<skip>\n</head_0>", "skip", ""),
        ("Head 0: [SKIP]", "skip", ""),
        ("```\n<enough>\nHead 0:\nAhab.\n```", "exit", "Ahab."),
        ("<enough><head_0>Ahab.</head_0>", "exit", "Ahab."),
        ("Ahab.", "", "Ahab."),
        ("<think><skip></think>Ahab.", "", "Ahab."),
    ],
)
def test_the_chat_reader_finds_the_marker_in_its_wrapping(reply: str, gate: str, text: str) -> None:
    model = ScriptedChatModel(replies=[reply])
    said = ChatReader(model).update(asked(STANDARD))
    assert (said.gate, said.text, said.retried, len(model.prompts)) == (gate, text, False, 1)


def test_a_filtered_reply_says_nothing_of_gates() -> None:
    stopped = AIMessage("<enough>", response_metadata={"finish_reason": "content_filter"})
    said = ChatReader(ScriptedChatModel(replies=[stopped])).update(asked(STANDARD))
    assert (said.gate, said.text, said.retried) == ("", "", True)


def test_a_reply_cut_short_behind_the_marker_does_not_take_a_head_s_place() -> None:
    cut = AIMessage("<enough>Ah", response_metadata={"finish_reason": "length"})
    held = "Ahab lost a leg to the white whale."
    said = ChatReader(ScriptedChatModel(replies=[cut])).update(asked(STANDARD, heads=[held, ""]))
    assert (said.gate, said.text) == ("exit", "")


def test_only_what_is_on_is_heeded() -> None:
    skip, leave = Reply(text="x", gate="skip"), Reply(text="x", gate="exit")
    assert heeded(skip, BOTH) == Reply(text="", gate="skip")
    assert heeded(skip, Gates(exit=True)) == Reply(text="x")
    assert heeded(leave, BOTH) is leave
    assert heeded(leave, Gates(update=True)) == Reply(text="x")
    with pytest.raises(SettingsError, match=r"Reply\.gate='stop' is not allowed"):
        heeded(Reply(text="x", gate="stop"), BOTH)  # type: ignore[arg-type]  # as a user may slip


CHUNK = "It was a fair day. Ahab nailed a doubloon to the mast of the Pequod. They sailed on."


@pytest.mark.parametrize(
    ("question", "chunk", "gate"),
    [
        ("What did Ahab nail to the mast of the Pequod?", CHUNK, "exit"),
        ("What did Ahab nail to the coffin of Queequeg in Nantucket?", CHUNK, ""),
        ("What did Ahab nail to the mast of the Pequod?", "It was a fair day. They sailed on.", "skip"),
        ("Where is Ahab?", CHUNK, ""),  # one word: any mention would cover it
        ("Who?", CHUNK, "skip"),  # no word that could be looked for
    ],
)
def test_the_extractive_reader_goes_by_the_question_s_words(question: str, chunk: str, gate: str) -> None:
    said = ExtractiveReader().update(asked(STANDARD, question=question, chunk=chunk, heads=["", ""]))
    assert said.gate == gate
    assert bool(said.text) == (gate != "skip")


def test_the_extractive_reader_skips_without_losing_its_turn() -> None:
    text = "Ahab nailed a doubloon to the mast.\n\n" + "A dull day passed at sea.\n\n" * 30
    graph = create_mhm_agent("extractive", heads=2, chunk_tokens=20, update_gate=True)
    out = graph.invoke({"question": "What did Ahab nail to the mast?", "document": text})
    assert [head["updated_at"] for head in out["heads"]] == [0, -1]
    assert out["step"] > 5


def test_a_scripted_reader_is_told_which_gates_are_on() -> None:
    reader = ScriptedReader()
    for options in ({}, {"update_gate": True}, {"exit_gate": True}):
        create_mhm_agent(reader, **options).invoke({"question": "?", "document": "Text."})
    create_mhm_agent(reader, update_gate=True, exit_gate=True).invoke({"document": "Text."})
    assert [request.gates for request in reader.updates] == [
        NO_GATES,
        Gates(update=True),
        Gates(exit=True),
        NO_GATES,
    ]
