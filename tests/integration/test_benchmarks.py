"""The benchmarks run: their size rows at small sizes. What they measure is never asserted."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from benchmarks import evaluation, growth, prompt_cache, retention, sizes
from benchmarks.growth import fitted
from benchmarks.retention_points import LENGTHS
from benchmarks.table import Row, markdown, save


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    themes = (sizes, growth, evaluation)
    return [row for theme in themes for row in theme.measure(quick=True)]


def test_the_size_rows_are_finite_numbers(rows):
    assert all(math.isfinite(row.value) for row in rows)
    assert all(row.value > 0 for row in rows if row.unit.startswith("bytes"))


def test_a_quick_run_claims_no_goal(rows):
    assert {row.verdict for row in rows} == {"-"}


def test_every_place_of_the_document_has_its_row(rows):
    names = "\n".join(row.name for row in rows)
    for place in ("read from a file", "passed inline", "checkpointed parent", "naive", "growth"):
        assert place in names


def test_the_table_is_kept_with_how_it_was_measured(rows, tmp_path: Path):
    save(rows, tmp_path, "a command")
    kept = json.loads((tmp_path / "numbers.json").read_text())
    assert len(kept["rows"]) == len(rows)
    page = (tmp_path / "numbers.md").read_text()
    assert all(row.name in page for row in rows)
    for key in ("command", "machine", "date", "versions"):
        assert kept["measured"][key]
        assert f"- {key}: " in page


def test_a_cell_can_not_break_the_table():
    page = markdown([Row("a | b", "", "", "1", 1, "bytes", None)], {})
    assert "a \\| b" in page


def test_a_straight_line_is_found():
    slope, deviation = fitted([(1, 15), (2, 25), (4, 45)])
    assert slope == pytest.approx(10)
    assert deviation == pytest.approx(0, abs=1e-9)


def test_what_prompts_have_in_common_is_counted_and_kept(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["prompt_cache", "--steps", "6", "--results", str(tmp_path)])
    prompt_cache.main()
    lines = json.loads((tmp_path / "prompt_cache.json").read_text())["lines"]
    assert {(line["questions"], line["heads"]) for line in lines} == {(1, 1), (1, 4), (8, 1), (8, 4)}
    assert all(0 < line["again"] < line["tokens"] for line in lines)
    assert (tmp_path / "prompt_cache.md").read_text().count("document-first") == 4


@pytest.mark.parametrize(
    ("one", "other", "size"),
    [("", "a", 0), ("ab", "ab", 2), ("ab", "abc", 2), ("abx", "aby", 2), ("x", "y", 0)],
)
def test_how_much_two_texts_begin_with_in_common(one: str, other: str, size: int):
    assert prompt_cache.common(one, other) == size


def test_the_retention_is_simulated_drawn_and_kept(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["retention", "--quick", "--results", str(tmp_path)])
    retention.main()
    kept = json.loads((tmp_path / "retention.json").read_text())
    assert {row["heads"] for row in kept["graph"]} == {1, 2, 4, 8}
    assert len(kept["points"]) == 2 * 4 * len(LENGTHS)
    assert all(abs(point["simulated"] - point["expected"]) < 0.2 for point in kept["points"])
    page = (tmp_path / "retention.md").read_text()
    assert "This is a simulation" in page
    for name in re.findall(r"\]\((.*?)\)", page):
        assert (tmp_path / name).stat().st_size > 10_000
        assert "imulation" in (tmp_path / name).with_suffix(".svg").read_text() or "paper" in name
