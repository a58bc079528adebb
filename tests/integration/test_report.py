"""`mhm report` over what `mhm bench` really wrote: tables, files, plots, and the paper beside them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mhm_langgraph import cli
from mhm_langgraph.evaluation import score, summarise, survival_curve
from mhm_langgraph.evaluation.folder import read_trajectories
from mhm_langgraph.evaluation.report.numbers import read_sections

Run = Callable[..., "Result"]
PNG = b"\x89PNG\r\n\x1a\n"


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two small benches: lengths of the paper, and an ablation."""
    folder = tmp_path_factory.mktemp("benches")
    simulation = ["--model", "simulation:forget=0.3,copy=0.1,capture=0.9"]
    ruler = ["ruler-hqa", *simulation, "--lengths", "7K,14K", "--samples", "4", "--runs", "2"]
    assert cli.main(["bench", *ruler, "--chunk-tokens", "1000", "--out", str(folder / "ruler")]) == 0
    methods = (
        "mhm-lru+heads=1,mhm-lru+heads=4,mhm-lru+heads=1+head_tokens=1024,mhm-lru+heads=8+head_tokens=1024"
    )
    needle = ["needle", *simulation, "--lengths", "4K", "--samples", "9", "--methods", methods]
    assert cli.main(["bench", *needle, "--chunk-tokens", "300", "--out", str(folder / "ablation")]) == 0
    return folder


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*args: object) -> Result:
        capsys.readouterr()
        code = cli.main(["report", *map(str, args)])
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return run


@pytest.fixture
def done(report: Run, benches: Path, tmp_path: Path) -> Result:
    result = report(benches / "ruler", "--out", tmp_path)
    assert result.code == 0, result.err
    return result


def test_tables_plots_and_numbers_are_there(done: Result, tmp_path: Path) -> None:
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("lengths.png", "lengths.svg", "report.json", "report.md", "survival.png", "survival.svg")
    ]
    for name in ("lengths", "survival"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)
        text = " ".join(ET.parse(tmp_path / f"{name}.svg").getroot().itertext())  # noqa: S314  # our own
        assert "SIMULATION, NOT A LANGUAGE MODEL" in text
        assert "ruler-hqa" in text
        assert "14K" in text
    names = "report.md, report.json, lengths.png, survival.png; the plots as SVG too"
    assert done.err == f"Written to {tmp_path}: {names}.\n"
    for title in ("Results", "Beside the paper", "Paired with memagent", "Cost of a sample"):
        assert re.search(rf"{title}: ruler-hqa, simulation:.* \(simulation, not a language model\)", done.out)


def test_no_row_is_folded_where_nobody_looks(done: Result) -> None:
    rows = [line for line in done.out.splitlines() if re.match(r" +\d+K ", line)]
    assert len(rows) == 4 + 4 + 2 + 4  # results, beside the paper, paired, cost
    assert all(len(re.findall(r" p [\d.]+ \(\d\)", row)) in (0, 4) for row in rows)


def test_the_numbers_are_those_of_the_measures(done: Result, benches: Path, tmp_path: Path) -> None:
    (section,) = json.loads((tmp_path / "report.json").read_text())["sections"]
    scores = [score(one) for one in read_trajectories(benches / "ruler")]
    assert (section["found"], section["expected"]) == (32, 32)
    for line in summarise(scores):
        (kept,) = [
            each
            for each in section["summaries"]
            if (each["length"], each["method"]) == (line.length, line.method)
        ]
        for measure in ("mcr", "mrr", "accuracy", "f1"):
            estimate = getattr(line, measure)
            assert (estimate is None) == (kept[measure] is None)
            if estimate is not None:
                assert kept[measure]["value"] == pytest.approx(estimate.value)
                assert kept[measure]["n"] == estimate.n
    for curve in section["survival"]:
        mine = [one for one in scores if (one.length, one.method) == (curve["length"], curve["method"])]
        assert tuple(curve["share"]) == survival_curve(mine).share


def test_the_papers_figures_stand_beside_the_same_cells(done: Result, tmp_path: Path) -> None:
    (section,) = json.loads((tmp_path / "report.json").read_text())["sections"]
    told = {(row["length"], row["method"], row["measure"]): row["value"] for row in section["paper"]}
    assert told == {
        (7168, "mhm-lru", "accuracy"): 0.6686,
        (7168, "memagent", "accuracy"): 0.6224,
        (14336, "mhm-lru", "accuracy"): 0.6276,
        (14336, "memagent", "accuracy"): 0.6094,
    }
    page = (tmp_path / "report.md").read_text()
    assert re.search(r"\| 7K \| mhm-lru \| accuracy \| .* \| 66\.86 \| Qwen2\.5-14B-Instruct \|", page)
    text = " ".join(ET.parse(tmp_path / "lengths.svg").getroot().itertext())  # noqa: S314  # our own
    assert "mhm-lru, paper (Qwen2.5-14B-Instruct)" in text


def test_methods_are_paired_with_the_baseline(
    done: Result, report: Run, benches: Path, tmp_path: Path
) -> None:
    page = (tmp_path / "report.md").read_text()
    row = r"\| 7K \| mhm-lru \|( [+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\] p [\d.]+ \(\d\) \|){4}"
    assert re.search(row, page)
    other = report(benches / "ruler", "--out", tmp_path, "--baseline", "mhm-lru", "--no-plots")
    assert "Paired with mhm-lru" in other.out
    assert other.err == f"Written to {tmp_path}: report.md, report.json.\n"


def test_an_ablation_is_paired_with_its_single_memory(report: Run, benches: Path, tmp_path: Path) -> None:
    done = report(benches / "ablation", "--out", tmp_path, "--no-plots")
    assert "Paired with mhm-lru+heads=1" in done.out
    row = r"\| 4K \| mhm-lru\+heads=4 \|( [+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\] p [\d.]+ \(\d\) \|){4}"
    assert re.search(row, (tmp_path / "report.md").read_text())


def test_a_bench_that_is_still_running_is_told_so_far(report: Run, benches: Path, tmp_path: Path) -> None:
    running = tmp_path / "running"
    running.mkdir()
    (running / "bench.json").write_bytes((benches / "ruler" / "bench.json").read_bytes())
    lines = (benches / "ruler" / "trajectories.jsonl").read_bytes().splitlines(keepends=True)
    (running / "trajectories.jsonl").write_bytes(b"".join(lines[:10]) + lines[10][:200])
    done = report(running)
    assert done.code == 0
    assert "Not complete: 10 of 32 runs of running." in done.out
    assert "**not complete: 10 of 32 runs**" in (running / "report.md").read_text()


def test_failed_runs_are_counted_and_in_no_figure(report: Run, benches: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (benches / "ruler" / "trajectories.jsonl").read_text().splitlines()]
    for line in lines:
        if line["sample"].startswith("0000") and line["method"] == "memagent":
            line |= {"error": "The server was away.", "answer": None}
    (tmp_path / "bench.json").write_bytes((benches / "ruler" / "bench.json").read_bytes())
    (tmp_path / "trajectories.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert report(tmp_path).code == 0
    page = (tmp_path / "report.md").read_text()
    assert re.search(r"\| 7K \| memagent \| 3 \| 2 \|", page)
    assert re.search(r"\| 7K \| mhm-lru \| 4 \| 0 \|", page)


def test_several_benches_share_a_report(report: Run, benches: Path, tmp_path: Path) -> None:
    done = report(benches / "ruler", benches / "ablation", "--out", tmp_path)
    assert done.code == 0
    names = {file.name for file in tmp_path.iterdir()}
    assert {"ruler-lengths.png", "ablation-lengths.png", "ablation-ablation.svg", "report.md"} <= names
    page = (tmp_path / "report.md").read_text()
    for linked in re.findall(r"\]\((.*?)\)", page):
        assert (tmp_path / linked).exists()
    assert page.index("## ruler: ruler-hqa") < page.index("## ablation: needle")
    assert "By kind of question: needle" in page
    text = " ".join(ET.parse(tmp_path / "ablation-ablation.svg").getroot().itertext())  # noqa: S314  # our own
    assert "4,096 tokens in all" in text
    assert "1,024 tokens a head" in text


def test_the_default_folder_is_the_benchs_own(
    report: Run, benches: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    report(benches / "ruler", "--no-plots")
    assert (benches / "ruler" / "report.md").exists()
    report(benches / "ruler", benches / "ablation", "--no-plots")
    assert (tmp_path / "mhm-report" / "report.md").exists()


def test_json_is_one_document(report: Run, benches: Path, tmp_path: Path) -> None:
    done = report(benches / "ruler", "--out", tmp_path, "--json", "--no-plots")
    assert json.loads(done.out) == json.loads((tmp_path / "report.json").read_text())


def test_a_report_is_the_same_each_time(report: Run, benches: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        report(benches / "ablation", "--out", tmp_path / name)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


def test_what_is_no_bench_is_refused(report: Run, benches: Path, tmp_path: Path) -> None:
    for args, said in [
        ([tmp_path], "holds no bench.json"),
        (
            [benches / "ruler", "--baseline", "llm"],
            "baseline='llm' is none of this bench's methods: mhm-lru, memagent",
        ),
    ]:
        done = report(*args)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
    (tmp_path / "bench.json").write_bytes((benches / "ruler" / "bench.json").read_bytes())
    assert "holds no finished run yet" in report(tmp_path).err


def test_without_the_plots_package_the_extra_is_named(
    report: Run, benches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    done = report(benches / "ruler", "--out", tmp_path)
    assert done.code == 2
    assert 'pip install "mhm-langgraph[eval]"' in done.err
    assert report(benches / "ruler", "--out", tmp_path, "--no-plots").code == 0


def test_two_folders_of_one_name_are_told_apart(benches: Path, tmp_path: Path) -> None:
    other = tmp_path / "second" / "ruler"
    other.mkdir(parents=True)
    for name in ("bench.json", "trajectories.jsonl"):
        (other / name).write_bytes((benches / "ruler" / name).read_bytes())
    first, second = read_sections([benches / "ruler", other])
    assert first.name.endswith("-ruler")
    assert second.name == "second-ruler"
