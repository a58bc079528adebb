"""The timeline in a terminal: a lane for each head, a column for each update or for a few of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mhm_langgraph.inspect.model import Timeline, Update

__all__ = ["Lanes"]

_BLOCKS, _KEPT, _BY_HAND, _IDLE = "▁▂▃▄▅▆▇█", "○", "*", "·"
_PLAIN_BLOCKS, _PLAIN_KEPT, _PLAIN_IDLE = "12345678", "o", "."
_WIDEST = 3  # columns for an update where there is room
_TICK = 10  # columns between the steps named below


class Lanes:
    """Who was written when, and how much of it changed. As wide as there is room.

    Args:
        timeline: The life of a memory.
        position: Index of an update to point at, None for none.
    """

    def __init__(self, timeline: Timeline, position: int | None = None) -> None:
        self.updates, self.heads = timeline.updates, len(timeline.heads)
        self.position = position

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        margin = len(f"head {self.heads - 1}  ")
        room = max(1, options.max_width - margin)
        each = -(-len(self.updates) // room)  # updates in a column
        columns = [self.updates[i : i + each] for i in range(0, len(self.updates), each)]
        wide = max(1, min(_WIDEST, room // len(columns)))
        for head in range(self.heads):
            cells = (_cell(column, head, plain=options.ascii_only).ljust(wide) for column in columns)
            yield Text.assemble((f"head {head}".ljust(margin), "bold"), *map(_styled, cells))
        if self.position is not None:
            yield Text(" " * (margin + self.position // each * wide) + "^", style="bold")
        yield Text("step".ljust(margin) + _axis(columns, wide, room), style="dim")
        yield Text(_legend(self.updates, each, plain=options.ascii_only), style="dim")


def _cell(column: Sequence[Update], head: int, *, plain: bool) -> str:
    """What became of a head in a column: the greatest change stands for it."""
    turns = [update for update in column if update.head == head]
    if not turns:
        return _PLAIN_IDLE if plain else _IDLE
    if any(update.by_hand for update in turns):
        return _BY_HAND
    if all(update.kept for update in turns):
        return _PLAIN_KEPT if plain else _KEPT
    blocks = _PLAIN_BLOCKS if plain else _BLOCKS
    return blocks[round(max(update.change.ratio for update in turns) * (len(blocks) - 1))]


def _styled(cell: str) -> tuple[str, str]:
    mark = cell[0]
    if mark in (_IDLE, _PLAIN_IDLE):
        return cell, "dim"
    return cell, {_KEPT: "yellow", _PLAIN_KEPT: "yellow", _BY_HAND: "magenta"}.get(mark, "cyan")


def _axis(columns: Sequence[Sequence[Update]], wide: int, room: int) -> str:
    """Steps below the lanes, each at its column."""
    line = ""
    for index in range(0, len(columns), max(1, _TICK // wide)):
        label = f"{columns[index][0].step}"
        if len(line) <= index * wide <= room - len(label):
            line = line.ljust(index * wide) + label + " "
    return line.rstrip()


def _legend(updates: Sequence[Update], each: int, *, plain: bool) -> str:
    return "   ".join(_meanings(updates, each, plain=plain))


def _meanings(updates: Sequence[Update], each: int, *, plain: bool) -> Iterator[str]:
    """What the signs say; those that do not stand there are left out."""
    blocks = _PLAIN_BLOCKS if plain else _BLOCKS
    yield f"{blocks[0]} little changed, {blocks[-1]} all of it"
    if any(update.kept for update in updates):
        yield f"{_PLAIN_KEPT if plain else _KEPT} empty reply: text kept"
    if any(update.by_hand for update in updates):
        yield f"{_BY_HAND} by hand"
    if each > 1:
        yield f"{each} updates a column"
