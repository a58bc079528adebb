"""Every Python block of docs/ runs, in order, as a reader would run it (README.md: test_readme.py)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.langgraph_server import Server

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
ON_THE_SERVER = {"studio.md"}
WITH_THE_LOCAL_MODEL = {"local-model.md"}
Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Executes a page's blocks in a folder that holds the example book and nothing else."""
    shutil.copytree(ROOT / "examples" / "books", tmp_path / "examples" / "books")
    monkeypatch.chdir(tmp_path)

    opened = []

    def run_page(page: Path, **replaced: str) -> None:
        text = page.read_text(encoding="utf-8")
        for shown, real in replaced.items():
            assert shown in text
            text = text.replace(shown, real)
        namespace: dict[str, Any] = {"__name__": "__main__"}
        for block in re.finditer(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
            # Empty lines before it, so that an error names the page's own line.
            code = "\n" * text[: block.start(1)].count("\n") + block[1]
            exec(compile(code, str(page), "exec", dont_inherit=True), namespace)  # noqa: S102  # our own pages
            opened.extend([namespace["client"]] if "client" in namespace else [])

    yield run_page
    for client in opened:  # a page has no word to spare for that
        client.close()


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if p.name not in ON_THE_SERVER | WITH_THE_LOCAL_MODEL],
    ids=lambda page: page.stem,
)
def test_the_page_runs(run: Run, page: Path) -> None:
    run(page)


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.real_model_requests
@pytest.mark.xdist_group("local")
@pytest.mark.parametrize("name", sorted(WITH_THE_LOCAL_MODEL))
def test_the_page_runs_with_the_local_model(run: Run, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(ROOT / "docs" / name)
    assert len(capsys.readouterr().out.split()) > 3, "two replies of a model"


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.xdist_group("server")
def test_the_page_about_the_server_runs(
    run: Run, servers: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    run(ROOT / "docs" / "studio.md", **{"http://127.0.0.1:2024": servers[0].url})
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "head_updated 0 0 None",
        "head_updated 1 1 None",
        "head_updated 2 0 None",
        "head_updated 3 1 None",
        "answered 4 None “Captain Ahab commands the Pequod out of Nantucket.”",
        "“Starbuck is the chief mate of the ship the Pequod.”",
        "Captain Ahab commands the Pequod out of Nantucket.",
        "Starbuck is the chief mate of the ship the Pequod.",
        "Ishmael signed on the Pequod as a simple sailor.",
        "Queequeg throws the harpoon aboard the Pequod.",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_is_linked_exists(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
