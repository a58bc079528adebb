"""The report as files: `report.md`, `report.json` and the plots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mhm_langgraph import SettingsError
from mhm_langgraph.evaluation.report.numbers import Section
from mhm_langgraph.evaluation.report.plots import draw_section
from mhm_langgraph.evaluation.report.tables import tables_of

__all__ = ["markdown_page", "write_report"]

_SETTINGS = (
    *("samples", "runs", "seed", "memory_tokens", "chunk_tokens", "answer_tokens"),
    *("prompts", "token_counter", "temperature", "top_p", "window"),
)


def write_report(sections: Sequence[Section], out: str | Path, *, plots: bool = True) -> list[Path]:
    """Write the report.

    Args:
        sections: What it is of.
        out: The folder to write to; made if need be.
        plots: Whether to draw.

    Returns:
        The files.

    Raises:
        SettingsError: The folder can not be written, or the plots' package is missing.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn: dict[str, list[Path]] = {}
        for section in sections if plots else ():
            prefix = f"{section.name}-" if len(sections) > 1 else ""
            drawn[section.name] = draw_section(section, folder, prefix)
        page, data = folder / "report.md", folder / "report.json"
        page.write_text(markdown_page(sections, drawn), encoding="utf-8")
        values = {"sections": [section.as_dict() for section in sections]}
        data.write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{folder} can not be written: {error.strerror}.") from error
    return [page, data, *(file for files in drawn.values() for file in files)]


def markdown_page(sections: Sequence[Section], drawn: Mapping[str, Sequence[Path]]) -> str:
    """All sections as one page.

    Args:
        sections: The sections.
        drawn: The plots of each, by its name.

    Returns:
        Markdown.
    """
    parts = ["# Report"]
    for section in sections:
        parts += _section(section, drawn.get(section.name, ()))
    return "\n\n".join(parts) + "\n"


def _section(section: Section, files: Sequence[Path]) -> Iterator[str]:
    yield f"## {section.name}: {section.task}, {section.model}"
    if section.caution:
        yield f"**{section.caution[:1].upper()}{section.caution[1:]}.**"
    yield "\n".join(f"- {line}" for line in _conditions(section))
    for file in files:
        if file.suffix == ".png":
            yield f"![{file.stem}]({file.name})"
    for table in tables_of(section):
        yield table.markdown()


def _conditions(section: Section) -> Iterator[str]:
    """How the figures came about, a line each."""
    set_ = {name: section.settings.get(name) for name in _SETTINGS}
    yield "settings: " + ", ".join(f"{name} {value}" for name, value in set_.items() if value is not None)
    if section.starts:
        first = section.starts[0]
        yield f"command: `{first.get('command')}`"
        versions = first.get("versions") or {}
        known = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        yield f"begun {first.get('date')}, {first.get('machine')}; {known}"
    missing = section.expected - section.found
    if missing > 0:
        yield f"**not complete: {section.found:,} of {section.expected:,} runs**"
