"""The README's sentences: its code runs, its picture is the graph's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mhm_langgraph import create_mhm_agent

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run_and_print_what_they_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 4
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)  # noqa: S102  # our own README
    printed = capsys.readouterr().out
    promised = re.findall(r"# (“.+”)$", README, flags=re.MULTILINE)
    assert promised
    for line in promised:
        assert line in printed


def test_the_picture_is_the_graph_s_own() -> None:
    shown = re.search(r"```mermaid\n(.*?)```", README, flags=re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == create_mhm_agent("extractive").get_graph().draw_mermaid().strip()


def test_every_file_that_is_linked_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
