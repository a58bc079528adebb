"""How every plot of the project looks: colours that colour-blind readers tell apart, and plain axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhm_langgraph import SettingsError
from mhm_langgraph.evaluation.tasks import format_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "MARKERS", "drawing", "length_axis", "look", "save", "share_axis"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#8C6D1F")
"""Okabe and Ito's, in an order that keeps neighbours apart; yellow, too pale on white, is brown here."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""One a colour: a plot can be read without any."""


def look(place: int) -> dict[str, Any]:
    """Colour and marker of the line at a place; beyond the eighth, colours come again with other markers.

    Example:
        >>> look(0) != look(8) and look(0)["color"] == look(8)["color"]
        True
    """
    number = len(COLOURS)
    return {"color": COLOURS[place % number], "marker": MARKERS[(place + place // number) % number]}


_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "savefig.facecolor": "white",
    # Text that can be searched, and the same file from the same numbers.
    "svg.fonttype": "none",
    "svg.hashsalt": "mhm",
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the project's style, without a window.

    Raises:
        SettingsError: The plots' package is missing.
    """
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise SettingsError('plots need the extra eval: pip install "mhm-langgraph[eval]".') from error
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def length_axis(axes: Axes, lengths: Sequence[int], label: str = "length of the context (tokens)") -> None:
    """A horizontal axis of doubling lengths, a tick for each: 8K, 16K, ... 1M."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(lengths), [format_length(length) for length in lengths])
    axes.minorticks_off()
    if len(lengths) == 1:
        axes.set_xlim(lengths[0] / 2, lengths[0] * 2)
    axes.set_xlabel(label)


def share_axis(axes: Axes, label: str) -> None:
    """A vertical axis from 0 to 100%."""
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0], ["0%", "20%", "40%", "60%", "80%", "100%"])
    axes.set_ylabel(label)


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and as SVG.

    Args:
        figure: The figure.
        path: Where to, without a suffix.

    Returns:
        Both files.
    """
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    figure.savefig(files[0], metadata={"Software": None}, bbox_inches="tight", pad_inches=0.12)
    figure.savefig(files[1], metadata={"Date": None}, bbox_inches="tight", pad_inches=0.12)
    return files
