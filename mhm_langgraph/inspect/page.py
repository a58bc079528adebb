"""memory_page: one self-contained HTML page that steps through the life of a memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from itertools import accumulate
from typing import Any

from mhm_langgraph.inspect.model import Timeline, Update

__all__ = ["memory_page"]

_SCRIPTS = ("memory.js", "lanes.js", "heads.js", "page.js")
_SLOT = re.compile(r"@@(\w+)@@")


def memory_page(timeline: Timeline, *, start: int | None = None) -> str:
    """Make the page: styles, script and data in one file, which asks nothing of any network.

    Its Content-Security-Policy forbids every request and every script but the page's own. The texts lie
    in it as JSON and are shown as text only, so what a source or a model wrote can not act.

    Args:
        timeline: The life of a memory.
        start: Index of the update to open the page at; None for the last.

    Returns:
        The page as HTML.

    Example:
        >>> from mhm_langgraph.inspect import Timeline
        >>> page = memory_page(Timeline("whales", "", "1", (), 0, (), ()))
        >>> "default-src 'none'" in page, "whales" in page
        (True, True)
    """
    style = _part("page.css")
    script = "".join(_part(name) for name in _SCRIPTS)
    last = len(timeline.updates) - 1
    slots = {
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "data": _json({**_data(timeline), "open": last if start is None else start}),
    }
    # One pass: what looks like a slot in a text stays what it is.
    return _SLOT.sub(lambda match: slots[match.group(1)], _part("page.html"))


def _part(name: str) -> str:
    return files(__package__).joinpath("template", name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """What the policy knows a script or a style by."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(data: Any) -> str:
    r"""JSON that no HTML parser can take for a tag: ASCII only (U+2028 becomes \u2028), no angle bracket."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(timeline: Timeline) -> dict[str, Any]:
    """What the page needs. Lines and sources are listed once, for heads keep much of what they held."""
    lines: dict[str, int] = {}
    sources: dict[str | None, int] = {}
    return {
        "thread": timeline.thread_id,
        "namespace": timeline.checkpoint_ns,
        "heads": len(timeline.heads),
        "steps": timeline.steps,
        "missing": timeline.missing,
        "runs": [
            {**vars(run), "sources": [_number(sources, name) for name in run.sources]}
            for run in timeline.runs
        ],
        "updates": [_update(update, lines, sources) for update in timeline.updates],
        "lines": list(lines),
        "sources": list(sources),
    }


def _update(update: Update, lines: dict[str, int], sources: dict[str | None, int]) -> dict[str, Any]:
    change = update.change
    return {
        "step": update.step,
        "head": update.head,
        "run": update.run,
        "span": update.span,
        "source": _number(sources, update.source),
        "text": [_number(lines, line) for line in update.after.split("\n")],
        "tokens": update.tokens,
        "kept": update.kept,
        "byHand": update.by_hand,
        "at": update.at,
        "checkpoint": update.checkpoint_id,
        "added": change.added,
        "removed": change.removed,
        "changed": round(change.ratio, 3),
        "edits": _edits(update),
    }


def _number(known: dict[Any, int], value: Any) -> int:
    return known.setdefault(value, len(known))


def _edits(update: Update) -> list[int]:
    """The edits as JavaScript counts characters: those beyond U+FFFF are two."""
    before, after = _units(update.before), _units(update.after)
    return [
        place
        for i1, i2, j1, j2 in update.change.edits
        for place in (before[i1], before[i2], after[j1], after[j2])
    ]


def _units(text: str) -> range | list[int]:
    """For each character, and for the end, where it starts in UTF-16 units."""
    if text.isascii() or max(text) <= "\uffff":
        return range(len(text) + 1)
    return list(accumulate((1 + (char > "\uffff") for char in text), initial=0))
