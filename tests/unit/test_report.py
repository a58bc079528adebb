"""The report's parts: the paper's figures as data, a table as Markdown, cautions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from mhm_langgraph.evaluation.methods import METHODS
from mhm_langgraph.evaluation.report.numbers import Section
from mhm_langgraph.evaluation.report.page import markdown_page
from mhm_langgraph.evaluation.report.paper import PAPER, figures_of
from mhm_langgraph.evaluation.report.plots import draw_ablation, draw_lengths, draw_survival
from mhm_langgraph.evaluation.report.style import drawing
from mhm_langgraph.evaluation.report.tables import Table, result_table
from mhm_langgraph.evaluation.summary import Estimate, Summary
from mhm_langgraph.evaluation.survival import Survival


def estimate(value: float, std: float | None = None) -> Estimate:
    return Estimate(value=value, low=value - 0.1, high=value + 0.1, n=20, std=std)


def section(model: str = "openai:Qwen2.5-14B-Instruct", task: str = "ruler-hqa") -> Section:
    line = Summary(
        task=task,
        variant="",
        length=896 * 1024,
        method="mhm-lru",
        samples=20,
        runs=3,
        failures=1,
        mcr=estimate(0.7),
        mrr=estimate(0.75, std=0.02),
        reachable=estimate(0.75, std=0.02),
        accuracy=estimate(0.5),
        accuracy_words=estimate(0.5),
        f1=estimate(0.4),
        exact=estimate(0.3),
        input_tokens=estimate(1000.0),
        output_tokens=estimate(18085.5),
        calls=estimate(185.0),
        seconds=estimate(239.1),
    )
    settings = {
        "task": task,
        "model": model,
        "memory_tokens": 4096,
        "chunk_tokens": 5000,
        "samples": 21,
        "runs": 3,
    }
    return Section(name="bench", settings=settings, summaries=[line], expected=63, found=61)


def test_the_paper_has_every_figure_once() -> None:
    keys = Counter((one.task, one.length, one.method, one.model, one.measure) for one in PAPER)
    assert set(keys.values()) == {1}
    measures = Counter(one.measure for one in PAPER)
    assert measures == {"accuracy": 58, "mrr": 25, "mcr": 2, "seconds": 6, "output_tokens": 6}
    shares = [one.value for one in PAPER if one.measure in ("accuracy", "mcr", "mrr")]
    assert all(0 <= value <= 1 for value in shares)


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        (("ruler-hqa", 896 * 1024, "memagent", "accuracy"), [0.2162]),
        (("ruler-hqa", 448 * 1024, "llm", "accuracy"), [0.0859]),
        (("babilong", 1024 * 1024, "mhm-lru", "accuracy"), [0.4141]),
        (("babilong", 8 * 1024, "remem", "accuracy"), [0.6146]),
        (("ruler-hqa", 896 * 1024, "mhm-lru", "mrr"), [0.7396, 0.6885, 0.8191]),  # three models
        (("ruler-hqa", 896 * 1024, "mhm-lru+heads=8+head_tokens=1024", "mrr"), [0.8712]),
        (("ruler-hqa", 896 * 1024, "mhm-concur", "mrr"), [0.5412]),
        (("ruler-hqa", 8 * 1024, "mhm-lru", "accuracy"), []),  # a length of the other task
        (("needle", 8 * 1024, "mhm-lru", "accuracy"), []),
    ],
)
def test_the_papers_figures_are_found_by_cell(cell: tuple[str, int, str, str], values: list[float]) -> None:
    assert [one.value for one in figures_of(*cell)] == values


@pytest.mark.parametrize(
    ("variants", "figures"),
    [([], 1), ([f"qa{number}" for number in range(10, 0, -1)], 1), (["qa1", "qa2"], 0)],
    ids=["by default all", "all", "some"],
)
def test_the_papers_figures_are_of_the_whole_task(variants: list[str], figures: int) -> None:
    base = section(task="babilong")
    line = replace(base.summaries[0], length=8 * 1024)
    asked = replace(base, summaries=[line], settings={**base.settings, "variants": variants})
    assert [figure.value for _, figure in asked.paper()] == [0.6354] * figures


@pytest.mark.parametrize(
    ("model", "task", "said"),
    [
        ("simulation:capture=1", "needle", "simulation, not a language model"),
        ("extractive", "babilong", "extractive reader, not a language model"),
        ("local", "needle", "135M"),
        ("local", "ruler-hqa", "at its floor"),
        ("openai:gpt-4.1-mini", "needle", None),
    ],
)
def test_a_reader_that_is_no_full_model_is_told_in_every_title(
    model: str, task: str, said: str | None
) -> None:
    caution = section(model, task).caution
    assert caution is None if said is None else said in str(caution)


def test_every_method_is_drawn_and_none_looks_like_another() -> None:
    methods = [*METHODS, "mhm-lru+recall=2", "mhm-lru+heads=auto", "mhm-lru+heads=8"]
    (line,) = section().summaries
    lines = [replace(line, method=method, length=length) for length in (7168, 14336) for method in methods]
    with drawing():
        figure = draw_lengths(replace(section(), summaries=lines))
        axes = figure.axes[0]
        drawn = {
            handle.get_label(): (handle.lines[0].get_color(), handle.lines[0].get_marker())
            for handle in axes.containers
        }
    assert set(drawn) == set(methods[:-1])  # the last is one of an ablation, which has a plot of its own
    assert len(set(drawn.values())) == len(drawn)


@pytest.mark.parametrize(("number", "said"), [(2, "95% bands"), (6, "(Kaplan-Meier)")])
def test_survival_curves_that_are_the_same_all_show(number: int, said: str) -> None:
    (line,) = section().summaries
    methods = METHODS[:number]
    share = (1.0, 0.8, 0.6)
    curve = Survival(steps=(0, 1, 2), share=share, low=share, high=share, at_risk=(9, 9, 7), n=9, lost=3)
    shown = replace(
        section(),
        summaries=[replace(line, method=method) for method in methods],
        survivals={(line.length, method): curve for method in methods},
    )
    with drawing():
        figure = draw_survival(shown)
        assert figure is not None
        assert said in figure.get_suptitle()
        (axes,) = figure.axes
        widths = [drawn.get_linewidth() for drawn in axes.lines]
        assert widths == sorted(set(widths), reverse=True)
        assert len(widths) == number
        assert all(tick == int(tick) for tick in axes.get_xticks())


def test_an_ablation_has_a_line_for_each_way_to_set_the_size() -> None:
    (line,) = section().summaries
    methods = ["memagent", "mhm-lru", "mhm-lru+heads=8"]
    sized = [f"mhm-lru+heads={heads}+head_tokens=1024" for heads in (2, 8)]
    lines = [replace(line, method=method) for method in [*methods, *sized, "mhm-random"]]
    with drawing():
        figure = draw_ablation(replace(section(), summaries=lines))
        assert figure is not None
        mrr = figure.axes[2]
        drawn = {handle.get_label(): list(handle.lines[0].get_xdata()) for handle in mrr.containers}
        papers = [each for each in mrr.lines if "paper" in str(each.get_label())]
    assert {label: len(heads) for label, heads in drawn.items()} == {
        "4,096 tokens in all": 3,
        "1,024 tokens a head": 2,
    }
    assert list(papers[0].get_ydata()) == [0.2653, 0.6989, 0.7467, 0.8712]


def test_without_an_ablation_there_is_no_plot_of_it() -> None:
    with drawing():
        assert draw_ablation(section()) is None


def test_what_was_recalled_has_a_column_where_it_adds_anything() -> None:
    (line,) = section().summaries
    table = result_table(replace(section(), summaries=[replace(line, reachable=estimate(0.9))]))
    assert dict(zip(table.headings, table.rows[0], strict=True))["MRR with recall"] == "90.0 [80.0, 100.0]"
    assert "MRR with recall" not in result_table(section()).headings


def test_a_cell_can_not_break_the_table() -> None:
    assert "a \\| b" in Table("T", ("x", "y"), (("a | b", "1"),)).markdown()


def test_the_page() -> None:
    """Kept as a snapshot: who changes it looks at it."""
    kept = Path(__file__).parent / "snapshots" / "report.md"
    assert markdown_page([section()], {}) == kept.read_text(encoding="utf-8")
