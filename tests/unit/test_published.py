"""Data sets as others published them: MemAgent's eval_N.json and BABILong's rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhm_langgraph import SettingsError
from mhm_langgraph.evaluation import open_task
from mhm_langgraph.evaluation.tasks.rows import open_rows
from mhm_langgraph.tokens import utf8_tokens

DATA = Path(__file__).parents[1] / "data" / "evaluation"
MEMAGENT, BABILONG = DATA / "memagent", DATA / "babilong"


@pytest.mark.parametrize("data", [MEMAGENT, MEMAGENT / "eval_50.json"], ids=["folder", "file"])
def test_memagents_file_is_read_as_it_is(data: Path) -> None:
    rows = json.loads((MEMAGENT / "eval_50.json").read_text(encoding="utf-8"))
    samples = open_task("ruler-hqa", length="7K", samples=2, data=data)
    for sample, row in zip(samples, rows, strict=True):
        assert (sample.context, sample.question) == (row["context"], row["input"])
        assert sample.answers == tuple(row["answers"])
        assert sample.tokens == utf8_tokens(row["context"])
        assert sample.length == 7168
    assert samples.ids == ("eval_50-0000", "eval_50-0001")
    assert "eval_50.json" in samples.description
    assert list(samples.files) == ["7K/eval_50.json"]


def test_memagents_files_are_found_by_length(tmp_path: Path) -> None:
    rows = json.loads((MEMAGENT / "eval_50.json").read_text(encoding="utf-8"))
    for documents in (50, 100, 6400):
        text = json.dumps([{**row, "input": f"{documents}?"} for row in rows])
        (tmp_path / f"eval_{documents}.json").write_text(text)
    for length, documents in (("7K", 50), ("14K", 100), ("896K", 6400)):
        assert open_task("ruler-hqa", length=length, samples=1, data=tmp_path)[0].question == f"{documents}?"
    with pytest.raises(SettingsError, match=r"length=28K.*7K, 14K, 896K only"):
        open_task("ruler-hqa", length="28K", samples=1, data=tmp_path)


def test_more_samples_than_published_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"samples=3.*eval_50.json allows: 2"):
        open_task("ruler-hqa", length="7K", samples=3, data=MEMAGENT)
    with pytest.raises(SettingsError, match=r"samples=7.*8k.json allows: 6"):
        open_task("babilong", length="8K", samples=7, variants=["qa1", "qa8"], data=BABILONG)


def test_files_of_numbers_instead_of_texts_are_refused(tmp_path: Path) -> None:
    """MemAgent's files of over 1M tokens hold the documents' numbers in another file."""
    row = {"context": [4, 2], "input": "?", "answers": ["x"], "num_docs": 12800, "index": 0}
    (tmp_path / "eval_12800.json").write_text(json.dumps([row]))
    with pytest.raises(SettingsError, match="numbers of documents"):
        open_task("ruler-hqa", length="1792K", samples=1, data=tmp_path)[0]


def test_a_folder_with_nothing_of_the_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="neither hotpotqa_questions"):
        open_task("ruler-hqa", length="7K", samples=1, data=tmp_path)
    with pytest.raises(SettingsError, match="neither a folder 'books' nor BABILong"):
        open_task("babilong", length="8K", samples=1, data=tmp_path)


def test_babilongs_rows_are_read_as_they_are() -> None:
    samples = open_task("babilong", length="8K", samples=6, variants=["qa1", "qa8"], data=BABILONG)
    rows = {name: json.loads((BABILONG / name / "8k.json").read_text()) for name in ("qa1", "qa8")}
    for index, sample in enumerate(samples):
        row = rows[sample.variant][index // 2]
        assert sample.variant == ("qa1", "qa8")[index % 2]
        assert sample.context == row["input"]
        assert sample.question == row["question"].strip()
        assert ",".join(sample.answers) == row["target"]
        assert sample.all_needed == ("," in row["target"])


def test_babilongs_files_of_other_layouts_are_found(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from pyarrow import Table

    rows = json.loads((BABILONG / "qa1" / "8k.json").read_text())
    (tmp_path / "8k").mkdir()
    parquet.write_table(Table.from_pylist(rows), tmp_path / "8k" / "qa1-00000-of-00001.parquet")
    (tmp_path / "data" / "qa2").mkdir(parents=True)
    (tmp_path / "data" / "qa2" / "1M.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    one = BABILONG / "qa1" / "8k.json"
    wanted = open_task("babilong", length="8K", samples=3, variants=["qa1"], data=one)
    found = open_task("babilong", length="8K", samples=3, variants=["qa1"], data=tmp_path)
    million = open_task("babilong", length="1M", samples=3, variants=["qa2"], data=tmp_path)
    assert list(found) == list(wanted)
    assert [sample.context for sample in million] == [sample.context for sample in wanted]


def test_one_file_is_of_one_variant() -> None:
    with pytest.raises(SettingsError, match="say of which variant"):
        open_task("babilong", length="8K", samples=3, data=BABILONG / "qa1" / "8k.json")


def test_variants_without_a_file_are_named() -> None:
    with pytest.raises(SettingsError, match="of length 8k for qa2, qa3:"):
        open_task("babilong", length="8K", samples=3, variants=["qa1", "qa2", "qa3"], data=BABILONG)


@pytest.mark.parametrize("content", ["", "[]", "[1, 2]"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "eval_50.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="holds no row"):
        open_task("ruler-hqa", length="7K", samples=1, data=path)


def test_rows_of_another_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "eval_50.json"
    path.write_text('[{"text": "a"}]')
    with pytest.raises(SettingsError, match="its rows have no input, context, answers"):
        open_task("ruler-hqa", length="7K", samples=1, data=path)
    path.write_text("[{text: 1}]")
    with pytest.raises(SettingsError, match=r"row 0 of eval_50.json is not JSON"):
        open_task("ruler-hqa", length="7K", samples=1, data=path)


values = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(
    st.lists(st.dictionaries(st.text(), values), min_size=1, max_size=5),
    st.sampled_from([None, 4]),
    st.booleans(),
)
def test_rows_are_those_that_json_itself_reads(tmp_path_factory, rows, indent, escaped) -> None:
    """Braces, quotes and backslashes in texts notwithstanding; and rows of any depth."""
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=escaped), encoding="utf-8", errors="replace")
    assert list(open_rows(path)) == json.loads(path.read_text(encoding="utf-8"))
    lines = path.with_suffix(".jsonl")
    lines.write_text("\n".join(map(json.dumps, rows)))
    assert list(open_rows(lines)) == rows


def test_rows_are_read_again_when_the_file_changes(tmp_path: Path) -> None:
    path = shutil.copy(MEMAGENT / "eval_50.json", tmp_path)
    assert len(open_rows(Path(path))) == 2
    Path(path).write_text('[{"input": 1}]')
    assert len(open_rows(Path(path))) == 1
