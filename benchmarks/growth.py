"""SQLite bytes as the steps grow: a straight line, and the document's size is not in its slope."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import linear_regression

from benchmarks.common import HEAD_BYTES, MEGABYTE, chunk_tokens_for, megabytes, prose, temporary_folder
from benchmarks.sizes import stored
from benchmarks.table import Row, main, progress

__all__ = ["fitted", "measure"]

_TOLERANCE = 0.05


@dataclass(frozen=True)
class Scale:
    """How large the measurements are.

    Args:
        small: One document, in bytes.
        document: A larger one, in bytes.
        steps: The numbers of steps at which the growth is measured.
        around_snapshot: Steps before and after LangGraph's own snapshot of a delta channel.
    """

    small: int
    document: int
    steps: tuple[int, ...]
    around_snapshot: tuple[int, int]


_FULL = Scale(MEGABYTE, 4 * MEGABYTE, (50, 100, 200, 400, 800), (1600, 1750))
_QUICK = Scale(20_000, 40_000, (2, 4, 8), (4, 6))


def measure(quick: bool) -> list[Row]:
    """The rows of this theme."""
    with temporary_folder() as folder:
        return _rows(folder, _QUICK if quick else _FULL, quick)


def _rows(folder: Path, scale: Scale, quick: bool) -> list[Row]:
    """Bytes against steps for two sizes of document in a file, and for one inline."""
    lines = [("file", scale.small), ("file", scale.document), ("inline", scale.document)]
    slopes: list[float] = []
    rows = []
    for kind, size in lines:
        progress(f"growth: {kind}, {megabytes(size)}")
        points = list(_points(folder, kind, prose(size), scale.steps))
        slope, deviation = fitted(points)
        slopes.append(slope)
        row = _line_row(f"{megabytes(size)} {kind}", points, slope, deviation)
        rows.append(replace(row, met=None) if quick else row)
    return [*rows, _spread_row(slopes, quick), _snapshot_row(folder, scale, slopes[-1])]


def _spread_row(slopes: Sequence[float], quick: bool) -> Row:
    """Whether the size of the document, or its place, is in the slope."""
    spread = max(slopes) / min(slopes) - 1
    return Row(
        name="growth: how much the three slopes differ",
        limit="0 %",
        goal=f"the document's size is not in the slope (here: <= {_TOLERANCE:.0%})",
        measured=f"{spread:.2%}",
        value=spread,
        unit="ratio",
        met=None if quick else spread <= _TOLERANCE,
        note="(largest slope / smallest slope) - 1",
    )


def _snapshot_row(folder: Path, scale: Scale, slope: float) -> Row:
    """What the line above does not show: a long inline reading stores its document once more."""
    progress("growth: around a snapshot")
    text = prose(scale.document)
    (steps, before), (more, after) = _points(folder, "inline", text, scale.around_snapshot)
    copies = (after - before - slope * (more - steps)) / scale.document
    return Row(
        name=f"growth from {steps} to {more} steps, {megabytes(scale.document)} inline: further copies of it",
        limit="0",
        goal="",
        measured=f"{copies:.2f} copies",
        value=copies,
        unit="copies",
        met=None,
        note=f"{megabytes(before)}, then {megabytes(after)}: LangGraph itself snapshots a delta channel "
        "every 5,000 supersteps (1,666 steps of three nodes); a document in a file has no copies",
    )


def _points(folder: Path, kind: str, text: str, counts: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Steps and bytes; the same text in ever smaller chunks, so that only the steps grow."""
    name = f"{kind}-{len(text)}"
    path = folder / f"{name}.txt"
    path.write_text(text, encoding="utf-8")
    given = {"source": str(path)} if kind == "file" else {"document": text}
    for count in counts:
        found = stored(folder / f"{name}-{count}.sqlite", given, chunk_tokens_for(text, count))
        yield found.steps, found.size


def fitted(points: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """A straight line through steps and bytes.

    Args:
        points: (steps, bytes).

    Returns:
        Bytes a step, and the largest deviation of a point from the line, relative to the point.
    """
    steps, sizes = zip(*points, strict=True)
    slope, intercept = linear_regression(steps, sizes)
    return slope, max(abs(intercept + slope * at - size) / size for at, size in points)


def _line_row(name: str, points: Sequence[tuple[int, int]], slope: float, deviation: float) -> Row:
    """One line of the growth."""
    return Row(
        name=f"growth with the steps, {name}",
        limit=f"{HEAD_BYTES / 1000:.1f} kB a step",
        goal=f"linear (here: no point off by more than {_TOLERANCE:.0%})",
        measured=f"{slope / 1000:.1f} kB a step, at most {deviation:.2%} off the line",
        value=slope,
        unit="bytes a step",
        met=deviation <= _TOLERANCE,
        note="; ".join(f"{steps} steps {megabytes(size)}" for steps, size in points),
        detail={"steps and bytes": points},
    )


if __name__ == "__main__":
    main(measure, __doc__)
