"""The tasks on the sample that ships: contexts of real text, the same from the same seed."""

from __future__ import annotations

import gzip
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhm_langgraph import Budget, SettingsError
from mhm_langgraph.evaluation import TASKS, Sample, format_length, open_task, parse_length
from mhm_langgraph.evaluation.tasks.data import (
    SHIPPED,
    read_books,
    read_hotpot,
    read_paragraphs,
    read_stories,
)
from mhm_langgraph.evaluation.tasks.hiding import hide
from mhm_langgraph.sources import InlineSource
from mhm_langgraph.tokens import utf8_tokens

from .texts import read_all

BABI = TASKS["babilong"].variants
KINDS = [
    *(("babilong", variant) for variant in BABI),
    *(("needle", variant) for variant in TASKS["needle"].variants),
    ("ruler-hqa", ""),
]
kinds = st.sampled_from(KINDS)
lengths = st.integers(1500, 40_000)
seeds = st.integers(0, 2**32)
indices = st.integers(0, 200)


def built(
    kind: tuple[str, str], *, length: int | str = 4096, seed: int = 0, index: int = 0, **more
) -> Sample:
    name, variant = kind
    variants = [variant] if variant else None
    return open_task(name, length=length, samples=index + 1, seed=seed, variants=variants, **more)[index]


def evidence(sample: Sample) -> list[str]:
    return [sample.context[start:end] for start, end in sample.evidence]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("8K", 8192),
        ("7k", 7168),
        ("896K", 917_504),
        ("1M", 1_048_576),
        ("1.5 K", 1536),
        ("4096", 4096),
        (5000, 5000),
    ],
)
def test_a_length_is_read_as_people_write_it(text: str | int, tokens: int) -> None:
    assert parse_length(text) == tokens


@pytest.mark.parametrize(
    "text", ["", "K", "0", "-8K", "8G", "1.0001K", "eight", "8K,16K", None, True, "0.0K", "∞"]
)
def test_what_is_no_length_is_refused_by_name(text: object) -> None:
    with pytest.raises(SettingsError, match="length="):
        parse_length(text)  # type: ignore[arg-type]


@given(st.integers(1, 10**9))
def test_a_length_is_written_as_it_is_read(tokens: int) -> None:
    assert parse_length(format_length(tokens)) == tokens


@given(kinds, lengths, seeds, indices)
def test_a_context_comes_close_to_its_length_and_never_over(kind, length, seed, index) -> None:
    sample = built(kind, length=length, seed=seed, index=index)
    assert 0.98 * length <= sample.tokens <= length
    assert sample.tokens == utf8_tokens(sample.context)
    assert (sample.task, sample.variant, sample.length) == (*kind, length)


@given(kinds, lengths, seeds, indices, st.integers(0, 40))
def test_the_same_seed_and_index_give_the_same_sample(kind, length, seed, index, more) -> None:
    """However many were asked for, and in whatever order."""
    name, variants = kind[0], [kind[1]] if kind[1] else None
    larger = open_task(name, length=length, samples=index + 1 + more, seed=seed, variants=variants)
    last = larger[-1]
    assert larger[index] == built(kind, length=length, seed=seed, index=index)
    assert larger[-1] == last


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_seeds_and_indices_differ(kind) -> None:
    contexts = [built(kind, seed=seed, index=index).context for seed in (0, 1) for index in (0, 1, 2)]
    assert len(set(contexts)) == 6


@pytest.mark.parametrize("name", TASKS)
def test_ids_are_known_without_building_and_are_each_samples_own(name: str) -> None:
    samples = open_task(name, length="4K", samples=40)
    assert len(set(samples.ids)) == len(samples) == 40
    assert [sample.id for sample in samples] == list(samples.ids)
    assert samples.description
    assert all(len(digest) == 64 for digest in samples.files.values())
    assert open_task(name, length="16K", samples=10).ids == samples.ids[:10]


def test_variants_come_in_turn() -> None:
    samples = open_task("babilong", length="4K", samples=25)
    assert [sample.variant for sample in samples] == [*BABI, *BABI, *BABI[:5]]
    two = open_task("needle", length="4K", samples=4, variants=["multi-value", "single"])
    assert [sample.variant for sample in two] == ["multi-value", "single"] * 2


def test_an_index_may_be_counted_from_the_end_and_sliced() -> None:
    samples = open_task("needle", length="4K", samples=4)
    assert samples[-1] == samples[3]
    assert samples[1:3] == [samples[1], samples[2]]
    with pytest.raises(IndexError):
        samples[4]


@given(st.sampled_from(KINDS[:-1]), lengths, seeds, indices)
def test_facts_stand_in_order_at_sentence_ends_of_one_piece_of_the_books(kind, length, seed, index) -> None:
    """Taken out again, the book goes on as if nothing had been there, and every cut is a sentence's end."""
    sample = built(kind, length=length, seed=seed, index=index)
    books = read_books(SHIPPED)
    facts = _facts(sample)
    rest, at, places = "", 0, []
    for fact in facts:
        found = sample.context.index(fact, at)
        before = sample.context[at:found]
        at_the_start = not rest + before  # there the space that sets it off is behind it
        assert at_the_start or before.endswith(" ") or not before
        rest += before.removesuffix(" ")
        places.append(len(rest))
        at = found + len(fact) + at_the_start
    rest += sample.context[at:]
    begin = books.text.index(rest) if rest else 0
    ends = set(books.ends)
    assert all(place == 0 or begin + place in ends for place in places)


def _facts(sample: Sample) -> list[str]:
    """What was hidden, in the order in which it stands."""
    if sample.task == "babilong":
        story = next(
            story for story in read_stories(SHIPPED, sample.variant) if sample.id.endswith(f"-{story.id}")
        )
        return list(story.facts)
    parts = sample.context.split("he access code")[1:]
    whole = "The access code" if sample.variant != "multi-value" else "One of the access code"
    return [whole + part[: part.index(".") + 1] for part in parts]


@given(st.sampled_from(BABI), lengths, seeds, indices)
def test_the_evidence_of_a_story_is_its_supporting_facts(variant, length, seed, index) -> None:
    sample = built(("babilong", variant), length=length, seed=seed, index=index)
    story = next(story for story in read_stories(SHIPPED, variant) if sample.id.endswith(f"-{story.id}"))
    assert evidence(sample) == [story.facts[fact] for fact in story.supporting]
    assert sample.question == story.question


def test_the_lists_of_qa8_need_each_part() -> None:
    samples = open_task("babilong", length=2000, samples=10, variants=["qa8"])
    answers = {sample.answers: sample.all_needed for sample in samples}
    assert answers[("milk",)] is False
    assert answers[("football", "apple")] is True


def test_a_story_is_read_with_all_facts_up_to_its_question() -> None:
    story = read_stories(SHIPPED, "qa2")[1]
    assert story.facts == (
        "Mary got the milk there.",
        "John moved to the bedroom.",
        "Sandra went back to the kitchen.",
        "Mary travelled to the hallway.",
        "John got the football there.",
        "John went to the hallway.",
    )
    assert (story.question, story.answer, story.supporting) == ("Where is the football?", "hallway", (4, 5))
    assert story.id == "story1-line8"


@given(lengths, seeds, indices)
def test_both_gold_paragraphs_stand_among_whole_documents(length, seed, index) -> None:
    sample = built(("ruler-hqa", ""), length=length, seed=seed, index=index)
    question = next(q for q in read_hotpot(SHIPPED) if sample.id.endswith(q.id))
    assert sorted(evidence(sample)) == sorted(paragraph.text for paragraph in question.gold)
    pool = {f"{paragraph.title}\n{paragraph.text}" for paragraph in read_paragraphs(SHIPPED)}
    documents = sample.context.split("\n\n")
    for number, document in enumerate(documents, start=1):
        label, _, text = document.partition("\n")
        assert label == f"Document {number}:"
        assert text in pool
    assert len(set(documents)) == len(documents)


def test_hard_distractors_come_before_the_pool() -> None:
    for index in range(8):
        sample = built(("ruler-hqa", ""), length="8K", index=index)
        question = next(q for q in read_hotpot(SHIPPED) if sample.id.endswith(q.id))
        titles = {document.split("\n")[1] for document in sample.context.split("\n\n")}
        assert set(question.distractors) <= titles


def test_gold_paragraphs_stand_anywhere() -> None:
    depths = [
        start / len(sample.context)
        for sample in open_task("ruler-hqa", length="16K", samples=60)
        for start, _ in sample.evidence
    ]
    assert 8 < sum(depth < 0.25 for depth in depths) < 60
    assert 8 < sum(depth > 0.75 for depth in depths) < 60


def test_a_fact_stands_anywhere() -> None:
    depths = [
        sample.evidence[0][0] / len(sample.context)
        for sample in open_task("needle", length="8K", samples=80, variants=["single"])
    ]
    quarters = Counter(int(depth * 4) for depth in depths)
    assert min(quarters[quarter] for quarter in range(4)) > 6


@given(st.sampled_from(TASKS["needle"].variants), lengths, seeds, indices)
def test_codes_stand_once_and_nowhere_else(variant, length, seed, index) -> None:
    sample = built(("needle", variant), length=length, seed=seed, index=index)
    for code in sample.answers:
        assert sample.context.count(code) == 1
        assert code not in sample.question
        assert any(code in text for text in evidence(sample))
    assert len(sample.evidence) == len(sample.answers) == (4 if variant == "multi-value" else 1)
    assert sample.all_needed == (variant == "multi-value")
    facts = _facts(sample)
    assert len(facts) == {"single": 1, "multi-key": 5, "multi-value": 4}[variant]
    city = sample.question.split("of the ")[1].removesuffix("?")
    assert sum(city in fact for fact in facts) == len(sample.answers)


@given(kinds, st.integers(300, 4000), seeds)
def test_another_counter_is_held_to(kind, length, seed) -> None:
    def words(text: str) -> int:
        return len(text.split())

    sample = built(kind, length=length, seed=seed, count=words) if kind[1] != "qa3" else None
    if sample:
        assert 0.95 * length <= sample.tokens == words(sample.context) <= length


def test_a_slow_counter_is_called_a_few_times() -> None:
    called = []

    def count(text: str) -> int:
        called.append(len(text))
        return -(-len(text) // 3)

    sample = built(("needle", "single"), length="16K", count=count)
    assert len(called) <= 4
    assert sample.tokens <= 16384


def test_a_context_is_read_in_chunks_without_loss() -> None:
    sample = built(("babilong", "qa1"), length="16K")
    chunks = read_all(InlineSource(sample.context), Budget(1000, utf8_tokens))
    assert "".join(chunk.text for chunk in chunks) == sample.context


@pytest.mark.parametrize("name", TASKS)
def test_a_length_that_the_sample_can_not_fill_is_refused_with_the_way_out(name: str) -> None:
    samples = open_task(name, length="1M", samples=1)
    with pytest.raises(
        SettingsError, match=r"length=1M \(1,048,576 tokens\) is more than there is.*--data DIR"
    ):
        samples[0]


def test_a_length_that_can_not_hold_the_gold_is_refused() -> None:
    with pytest.raises(SettingsError, match="length=50 is too short"):
        built(("ruler-hqa", ""), length=50)


def test_the_sample_reaches_64k() -> None:
    for name in TASKS:
        assert open_task(name, length="64K", samples=1)[0].tokens > 65_000


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"name": "squad"}, "task='squad'.*ruler-hqa, babilong, needle"),
        ({"samples": 0}, "samples=0"),
        ({"samples": True}, "samples=True"),
        ({"length": "many"}, "length='many'"),
        ({"variants": ["qa11"]}, r"variants=\['qa11'\].*qa10"),
        ({"variants": []}, r"variants=\[\]"),
        ({"name": "ruler-hqa", "variants": ["qa1"]}, "ruler-hqa has none"),
        ({"data": "no/such/folder"}, "no/such/folder.*does not exist"),
    ],
)
def test_what_is_wrong_is_named_when_the_task_is_opened(changed, named) -> None:
    asked = {"name": "babilong", "length": "4K", "samples": 1, **changed}
    with pytest.raises(SettingsError, match=named):
        open_task(asked.pop("name"), **asked)


def test_a_folder_of_ones_own_is_read_and_read_again_when_it_changes(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "data")
    book = tmp_path / "data" / "books" / "own.txt"
    next((tmp_path / "data" / "books").glob("*.gz")).unlink()
    book.write_text("All work and no play makes a dull book. " * 3000, encoding="utf-8")
    assert "dull book" in built(("needle", "single"), data=tmp_path / "data").context
    book.write_text("A bright book is a joy for a year or so. " * 3001, encoding="utf-8")
    assert "bright book" in built(("needle", "single"), data=str(tmp_path / "data")).context


@pytest.mark.parametrize(
    ("spoil", "task", "named"),
    [
        ("hotpotqa_questions.jsonl.gz", "ruler-hqa", "not in the form"),
        ("wiki_paragraphs.jsonl.gz", "ruler-hqa", "not in the form"),
        ("babi/qa1_test.txt", "babilong", "not in the form"),
    ],
)
def test_a_spoilt_file_is_named(tmp_path: Path, spoil: str, task: str, named: str) -> None:
    shutil.copytree(SHIPPED, tmp_path / "data")
    path = tmp_path / "data" / spoil
    path.write_bytes(gzip.compress(b'{"a": 1}\n') if path.suffix == ".gz" else b"one line\n")
    with pytest.raises(SettingsError, match=f"{path.name}.*{named}"):
        open_task(task, length="4K", samples=1, data=tmp_path / "data")[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    with pytest.raises(SettingsError, match="there is no book in"):
        open_task("needle", length="4K", samples=1, data=tmp_path)
    (tmp_path / "books" / "a.txt").write_text("A book. " * 5000)
    with pytest.raises(SettingsError, match=r"qa1_test.txt.*No such file"):
        open_task("babilong", length="4K", samples=1, data=tmp_path)


def test_all_chance_comes_from_the_seed() -> None:
    random.seed(1)
    state = random.getstate()
    open_task("needle", length="4K", samples=2)[1]
    assert random.getstate() == state


def test_what_ships_is_small_and_its_sources_are_told() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 400_000
    readme = (SHIPPED / "README.md").read_text(encoding="utf-8")
    stories = {f"qa{number}_test.txt" for number in range(1, 11)}
    named = {path.name for path in files} - stories - {"README.md"}
    assert all(name in readme for name in (*named, "qaN_test.txt"))
    for licence in ("CC BY-SA 4.0", "CC BY 3.0", "public domain in the USA"):
        assert licence in readme


def test_a_code_that_the_books_hold_is_not_drawn(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    numbers = [f"In {number} it rained." for number in range(1000, 9980)]
    (tmp_path / "books" / "years.txt").write_text(" ".join(numbers))
    samples = open_task("needle", length="4K", samples=30, data=tmp_path)
    assert all(int(code) >= 9980 for sample in samples for code in sample.answers)


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ([0.0, 0.0], "Ha. Ho. One day. Two days.\n\nThree."),
        ([0.99, 0.99], "One day. Two days.\n\nThree. Ha. Ho."),
        ([0.3, 0.6], "One day. Ha. Two days. Ho.\n\nThree."),
        ([0.5, 0.5], "One day. Two days. Ha. Ho.\n\nThree."),
        ([0.1, 0.9], "Ha. One day. Two days.\n\nThree. Ho."),
    ],
)
def test_where_facts_are_put(tmp_path: Path, places: list[float], text: str) -> None:
    """Before the first sentence, after the last, or at any end between: four places here."""
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "short.txt").write_text("One day. Two days.\n\nThree.\n")
    books = read_books(tmp_path)
    size = len("One day. Two days.\n\nThree.") + len(" Ha. Ho.")
    made, spans, whole = hide(books, 0.0, ["Ha.", "Ho."], places, size)
    assert made.rstrip() == text
    assert [made[start:end] for start, end in spans] == ["Ha.", "Ho."]
    assert not whole
