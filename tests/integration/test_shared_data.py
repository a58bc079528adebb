"""The tasks at full length on the full data, where a checkout has it beside it (CI has)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mhm_langgraph.evaluation import TASKS, open_task
from mhm_langgraph.evaluation.tasks.data import SHIPPED, read_hotpot, read_paragraphs, read_stories

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no data beside the checkout")


@pytest.mark.parametrize("name", TASKS)
def test_a_context_of_1m_tokens(name: str) -> None:
    samples = open_task(name, length="1M", samples=128, data=DATA)
    assert len(set(samples.ids)) == 128
    sample = samples[100]
    assert 0.99 * 2**20 <= sample.tokens <= 2**20
    for start, end in sample.evidence:
        assert sample.context[start:end].strip() == sample.context[start:end] != ""
    if name != "babilong":
        found = "".join(sample.context[start:end] for start, end in sample.evidence)
        assert all(answer in found for answer in sample.answers if answer not in {"yes", "no"})


def test_the_same_questions_at_every_length() -> None:
    for name in TASKS:
        short, long = (open_task(name, length=length, samples=20, data=DATA) for length in ("8K", "64K"))
        assert short.ids == long.ids
        assert [short[index].question for index in (0, 7)] == [long[index].question for index in (0, 7)]


def test_the_data_is_what_its_readme_says() -> None:
    assert len(read_hotpot(DATA)) == 628
    assert len(read_paragraphs(DATA)) == 9269
    assert all(len(read_stories(DATA, f"qa{number}")) == 1000 for number in range(1, 11))


def test_every_story_knows_what_its_answer_stands_on() -> None:
    for number in range(1, 11):
        for story in read_stories(DATA, f"qa{number}"):
            assert story.supporting
            assert max(story.supporting) < len(story.facts)


def test_the_sample_that_ships_is_part_of_it() -> None:
    assert set(read_hotpot(SHIPPED)) <= set(read_hotpot(DATA))
    assert set(read_paragraphs(SHIPPED)) <= set(read_paragraphs(DATA))
    for number in range(1, 11):
        shipped = read_stories(SHIPPED, f"qa{number}")
        assert shipped == read_stories(DATA, f"qa{number}")[: len(shipped)]
