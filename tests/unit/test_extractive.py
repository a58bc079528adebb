"""The extractive reader: it finds words and quotes sentences, the same every time."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhm_langgraph import Budget
from mhm_langgraph.readers import AnswerRequest, PickRequest, UpdateRequest
from mhm_langgraph.readers.extractive import ExtractiveReader
from mhm_langgraph.sources import InlineSource
from mhm_langgraph.tokens import utf8_tokens

from .texts import counters, moby_dick, read_all, texts

READER = ExtractiveReader()
CHUNK = (
    "It was a fair day. The white whale took Ahab's leg off Japan. The cook made chowder. "
    "Starbuck is the chief mate of the Pequod. They sailed on."
)


def update(
    heads: list[str], head: int = 0, *, question: str | None = None, chunk: str = CHUNK, **values: Any
) -> str:
    request = UpdateRequest(
        **{"question": question, "heads": heads, "head": head, "chunk": chunk, "head_tokens": 40, **values}
    )
    return READER.update(request).text


def answer(heads: list[str], question: str, answer_tokens: int = 200) -> str:
    return READER.answer(AnswerRequest(question=question, heads=heads, answer_tokens=answer_tokens)).text


def read_whole(question: str | None, text: str, *, heads: int = 4, head_tokens: int = 200) -> list[str]:
    """The loop without a graph: the head least recently written is rewritten from each chunk."""
    memory = [""] * heads
    for step, chunk in enumerate(read_all(InlineSource(text), Budget(1000, utf8_tokens))):
        head = step % heads
        new = update(memory, head, question=question, chunk=chunk.text, head_tokens=head_tokens)
        memory[head] = new or memory[head]
    return memory


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "What does Ahab promise to whoever raises the white whale?",
            "he shall have this gold ounce, my boys!",
        ),
        ("Who dismasted Ahab?", "it was Moby Dick that dismasted me"),
        ("What does he say of the Right Whale's oil in commerce?", "an inferior article in commerce"),
        (
            "Which whales are the type of the folio, the octavo and the duodecimo?",
            "of the OCTAVO, the _Grampus_",
        ),
    ],
)
def test_a_question_about_a_real_book_is_answered_with_the_right_quote(question: str, expected: str) -> None:
    memory = read_whole(question, moby_dick())
    assert expected in answer(memory, question)
    assert all(utf8_tokens(text) <= 200 for text in memory)


def test_every_kept_sentence_is_in_the_book() -> None:
    book = " ".join(moby_dick().split())
    memory = read_whole("Who is Ahab?", moby_dick())
    kept = [line for text in memory for line in text.splitlines()]
    assert len(kept) > 10
    assert all(" ".join(line.split()) in book for line in kept)


def test_the_heads_do_not_hold_the_same_sentence_twice() -> None:
    memory = read_whole("Who is Ahab?", moby_dick() + moby_dick())
    kept = [line for text in memory for line in text.splitlines()]
    assert len(kept) == len(set(kept))


def test_the_same_again_is_the_same() -> None:
    memories = [
        read_whole(question, moby_dick()[:30_000]) for question in ("Who is Ahab?", None) for _ in range(2)
    ]
    assert memories[0] == memories[1]
    assert memories[2] == memories[3]
    assert memories[0] != memories[2]


def test_another_process_with_other_hashes_finds_the_same() -> None:
    """Sets of words are iterated somewhere; their order differs from process to process."""
    code = (
        "from mhm_langgraph.readers.extractive import ExtractiveReader as R;"
        "from mhm_langgraph.readers import UpdateRequest as U; import sys;"
        "print(R().update(U(question='Which whale, mate, cook or day?', heads=['', ''], head=0,"
        "chunk=sys.argv[1], head_tokens=25)).text)"
    )
    found = subprocess.run(  # noqa: S603  # this very Python
        [sys.executable, "-c", code, CHUNK],
        env={"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert found
    assert found == update(["", ""], question="Which whale, mate, cook or day?", head_tokens=25)


@given(
    heads=st.lists(texts | st.just(""), min_size=1, max_size=4),
    question=texts | st.none(),
    chunk=texts,
    head_tokens=st.integers(1, 60),
    count=counters,
)
def test_any_text_is_kept_within_the_budget(
    heads: list[str], question: str | None, chunk: str, head_tokens: int, count: Any
) -> None:
    request = UpdateRequest(
        question=question, heads=heads, head=0, chunk=chunk, head_tokens=head_tokens, count=count
    )
    reply = READER.update(request)
    assert count(reply.text) <= head_tokens
    assert reply == READER.update(request)
    assert reply.usage == {"input_tokens": 0, "output_tokens": 0, "calls": 0}
    asked = READER.answer(
        AnswerRequest(question=question or "Who?", heads=heads, answer_tokens=head_tokens, count=count)
    )
    assert count(asked.text) <= head_tokens
    picked = READER.pick(PickRequest(question=question, heads=heads, chunk=chunk))
    assert picked.head is None or 0 <= picked.head < len(heads)


def test_what_bears_on_the_question_is_kept_in_the_texts_order() -> None:
    kept = update(["", ""], question="Who is the mate, and who took the leg?")
    assert kept.splitlines() == [
        "The white whale took Ahab's leg off Japan.",
        "Starbuck is the chief mate of the Pequod.",
    ]


def test_the_best_is_kept_where_there_is_no_room_for_all() -> None:
    kept = update([""], question="Who took Ahab's leg off Japan, a mate?", head_tokens=11)
    assert kept == "The white whale took Ahab's leg off Japan."


def test_words_are_found_in_other_forms() -> None:
    assert "Starbuck" in update([""], question="Which mates had the ships?")


def test_what_a_head_holds_is_kept_beside_the_new() -> None:
    kept = update(["Ahab's leg was of ivory."], question="What of Ahab's leg?")
    assert kept.splitlines() == ["Ahab's leg was of ivory.", "The white whale took Ahab's leg off Japan."]


def test_what_another_head_holds_is_not_kept_twice() -> None:
    others = "The white whale took Ahab's leg off Japan."
    assert update(["", others], question="Who took Ahab's leg?") == ""


@pytest.mark.parametrize("question", ["What of the zeppelin?", "Who is the of and?", "???", "漢字"])
def test_where_nothing_bears_on_the_question_nothing_is_written(question: str) -> None:
    """An empty reply leaves the head as it is (Contract 9)."""
    assert update(["Ahab's ivory."], question=question) == ""
    assert "Nothing in memory" in answer(["The cook made chowder."], question)


def test_a_head_smaller_than_every_sentence_stays_as_it_is() -> None:
    assert update([""], question="Who took Ahab's leg?", head_tokens=3) == ""


def test_without_a_question_what_is_most_like_the_chunk_is_kept() -> None:
    best = "The whale rose beside the ship, and the ship turned for the whale."
    chunk = f"Dogs bark. {best} The cat slept."
    assert update([""], chunk=chunk, head_tokens=utf8_tokens(best)) == best


@pytest.mark.parametrize(
    ("chunk", "question", "expected"),
    [
        ("今天天气很好。白鲸咬断了船长的腿。他们继续航行。", "船长的腿是谁咬断的？", "白鲸咬断了船长的腿。"),
        (
            "天気がよい。白い鯨が船長の足を奪った。船は進んだ。",
            "船長の足を奪ったのは何か。",
            "白い鯨が船長の足を奪った。",
        ),
        (
            "날씨가 좋다. 흰 고래가 선장의 다리를 가져갔다. 배는 떠났다.",
            "선장의 다리",
            "흰 고래가 선장의 다리를 가져갔다.",
        ),
    ],
    ids=["chinese", "japanese", "korean"],
)
def test_words_that_are_not_set_apart_by_spaces_are_found(chunk: str, question: str, expected: str) -> None:
    kept = update([""], question=question, chunk=chunk, head_tokens=utf8_tokens(expected))
    assert kept == expected
    assert expected in answer([kept], question)


def test_an_answer_quotes() -> None:
    heads = ["The white whale took Ahab's leg off Japan.", "The cook made chowder."]
    assert answer(heads, "Who took Ahab's leg?") == "“The white whale took Ahab's leg off Japan.”"


def test_an_answer_does_not_quote_quotes() -> None:
    assert answer(["“I took the leg,” said the whale."], "Who took the leg?").count("“") == 1


def test_an_answer_quotes_the_best_only() -> None:
    heads = [f"The leg of chair {number} is brown." for number in range(10)]
    heads.append("Ahab's leg was taken by the white whale.")
    quoted = answer(heads, "Who took Ahab's leg, the whale?")
    assert quoted.count("“") == 1
    assert "white whale" in quoted
    assert answer(heads[:-1], "Whose leg is brown?").count("“") == 3


def test_an_answer_too_long_is_cut_and_says_so() -> None:
    request = AnswerRequest(question="Who took Ahab's leg?", heads=[CHUNK], answer_tokens=5)
    reply = READER.answer(request)
    assert reply.cut
    assert 0 < utf8_tokens(reply.text) <= 5


def test_an_empty_memory_answers_that_there_is_nothing() -> None:
    assert "Nothing in memory" in answer(["", ""], "Who took Ahab's leg?")


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (["The ship sails.", "The cook makes chowder."], 1),
        (["The ship sails.", ""], 1),
        (["", ""], 0),
        (["Ice.", "Fire."], None),
        (["The cook.", "The cook and his chowder."], 1),
    ],
    ids=["closest", "empty", "all-empty", "none", "closer"],
)
def test_the_head_closest_to_the_chunk_is_picked(heads: list[str], expected: int | None) -> None:
    chunk = "Chowder again: the cook knows no other dish."
    assert READER.pick(PickRequest(question=None, heads=heads, chunk=chunk)).head == expected


def test_it_says_of_itself_what_it_is() -> None:
    assert "not a language model" in READER.description


@pytest.mark.parametrize("chunk", ["\0 The whale.", "\u202e The whale."], ids=ascii)
def test_odd_characters_break_nothing(chunk: str) -> None:
    assert "whale" in update([""], question="Where is the whale?", chunk=chunk)
