"""The archive and the choice from it: pure, and safe whatever lies in a store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import Embeddings

from mhm_langgraph import SettingsError
from mhm_langgraph.recall import archived, bm25_scores, by_embeddings, choose, keep_entries, lineage
from mhm_langgraph.recall.archive import Entry
from mhm_langgraph.recall.stores import namespace
from mhm_langgraph.tokens import utf8_tokens


def head(text: str, step: int, archived: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"text": text, "updated_at": step, "span": [step, step + 1], "source": None}
    return made if archived is None else {**made, "archived": archived}


def written(texts: list[str], index: int = 0) -> tuple[dict[str, Any], dict[str, Entry]]:
    """A head that held these texts one after the other, and its archive."""
    now, archive = head(texts[0], 0), dict[str, Entry]()
    for step, text in enumerate(texts[1:], start=1):
        key, entry = archived(now, index)
        archive[key] = entry
        now = head(text, step, key)
    return now, archive


def entry(text: str, step: int = 0) -> Entry:
    return Entry(text=text, head=0, step=step, span=None, source=None, before=None)


def chosen(question: str, memory: list[str], texts: list[str], **options: Any) -> list[str]:
    settings: dict[str, Any] = {"number": 4, "tokens": 100, "count": utf8_tokens, "rank": bm25_scores}
    found = choose(question, memory, [entry(text) for text in texts], **{**settings, **options})
    return [one["text"] for one in found]


# The archive.


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=12))
def test_the_past_of_a_head_is_what_it_held_the_latest_first(texts: list[str]) -> None:
    now, archive = written(texts)
    assert [found["text"] for found in lineage([now], archive)] == texts[-2::-1] * (len(texts) > 1)


def test_two_branches_share_their_past_and_nothing_else() -> None:
    trunk, archive = written(["a", "b", "c"])
    tips = []
    for text in ("left", "right"):
        key, lost = archived(trunk, 0)
        archive[key] = lost
        key, lost = archived(head(text, 3, key), 0)
        archive[key] = lost
        tips.append(head("now", 4, key))
    left, right = ([found["text"] for found in lineage([tip], archive)] for tip in tips)
    assert left == ["left", "c", "b", "a"]
    assert right == ["right", "c", "b", "a"]


def test_the_same_past_has_the_same_key_and_another_head_another() -> None:
    assert archived(head("a", 1), 0) == archived(head("a", 1), 0)
    assert (
        len({archived(head("a", 1), 0)[0], archived(head("a", 1), 1)[0], archived(head("a", 2), 0)[0]}) == 3
    )


def test_a_gap_ends_a_past_and_a_ring_does_not_end_the_run() -> None:
    now, archive = written(["a", "b", "c"])
    missing = {key: found for key, found in archive.items() if found["text"] != "a"}
    assert [found["text"] for found in lineage([now], missing)] == ["b"]
    ring = {"x": {**entry("x"), "before": "y"}, "y": {**entry("y"), "before": "x"}}
    assert len(lineage([head("now", 1, "x")], ring)) == 2  # type: ignore[arg-type]


@given(st.lists(st.dictionaries(st.text(max_size=2), st.just(entry("a")), max_size=3), max_size=5))
def test_the_reducer_may_be_fed_in_any_batches(writes: list[dict[str, Entry]]) -> None:
    """What LangGraph asks of a delta channel."""
    at_once = keep_entries({}, writes)
    one_by_one: dict[str, Entry] = {}
    for write in writes:
        one_by_one = keep_entries(one_by_one, [write])
    assert at_once == one_by_one


def test_a_thread_s_namespace_is_its_own() -> None:
    names = ["a", "a.b", "a%2Eb", "", "%", "%25", "a%b"]
    assert len({namespace(name) for name in names if name != "%"}) == len(names) - 1
    assert all("." not in label and label for name in names for label in namespace(name))


# The choice.


def test_the_texts_that_bear_most_come_first_and_those_that_do_not_bear_stay_out() -> None:
    texts = ["It rained in Oslo.", "The code of Oslo is 7319.", "Nobody came."]
    assert chosen("What is the code of Oslo?", [], texts) == [texts[1], texts[0]]


def test_what_is_in_memory_or_chosen_is_not_shown_again() -> None:
    texts = [
        "Oslo has snow. The code is 1.",
        "the code IS  1.",
        "Oslo has snow.",
        "The code is 2. Oslo has snow.",
    ]
    assert chosen("code of Oslo", ["Oslo has snow."], texts) == ["The code is 1.", "The code is 2."]
    assert chosen("code of Oslo", texts, texts) == []


def test_number_and_tokens_hold() -> None:
    texts = [f"The code of gate {number} is {number}{number}." for number in range(9)]
    assert len(chosen("code of the gate", [], texts, number=3)) == 3
    found = chosen("code of the gate", [], texts, number=9, tokens=20)
    assert 1 <= len(found) < 9
    assert sum(map(utf8_tokens, found)) <= 20


@given(
    st.lists(st.text(max_size=60), max_size=5),
    st.lists(st.text(max_size=60), max_size=3),
    st.integers(1, 30),
)
def test_whatever_the_texts_budget_and_number_hold(texts: list[str], memory: list[str], tokens: int) -> None:
    found = chosen("a b c the code", memory, texts, tokens=tokens, rank=lambda _, given: [1.0] * len(given))
    assert sum(map(utf8_tokens, found)) <= tokens
    assert len(found) <= min(4, len(texts))
    assert all(found)


def test_a_ranking_that_gives_too_few_scores_is_told() -> None:
    with pytest.raises(SettingsError, match="1 scores for 2 texts"):
        chosen("?", [], ["a", "b"], rank=lambda question, texts: [1.0])


def test_a_vector_is_computed_once() -> None:
    class Counting:
        asked: list[str] = []  # noqa: RUF012

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            self.asked += texts
            return [[float("code" in text), 1.0] for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return [1.0, 0.0]

    counting = Counting()
    rank = by_embeddings(counting)  # type: ignore[arg-type]
    assert rank("?", ["rain", "code"]) == [0.0, pytest.approx(0.7071, abs=1e-3)]
    rank("?", ["code", "rain", "code"])
    assert counting.asked == ["rain", "code"]


class Letters(Embeddings):
    """A vector for each text, from its letters."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(text.count(letter)) for letter in "0123456789"] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_threads_rank_more_texts_than_are_remembered_by_embeddings() -> None:
    rank = by_embeddings(Letters())

    def ranked(number: int) -> bool:
        texts = [f"{number}-{part}" for part in range(3000)]
        scores = rank("1", texts)
        return len(scores) == 3000 and scores[0] == pytest.approx(by_embeddings(Letters())("1", texts[:1])[0])

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ranked, range(8)))


def test_a_vector_without_length_bears_on_nothing() -> None:
    rank = by_embeddings(Letters())
    assert rank("1", ["no digit", "1"]) == [0.0, pytest.approx(1)]
    assert rank("no digit", ["1"]) == [0.0]
    assert rank("1", []) == []
