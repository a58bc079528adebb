"""The source protocol: text read by cursor, one chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from mhm_langgraph.errors import MHMError, SourceError, redact
from mhm_langgraph.text import character_end, cut_point, fingerprint, token_prefix
from mhm_langgraph.tokens import TokenCounter

__all__ = ["Budget", "Chunk", "InlineSource", "Source", "reported"]

_LEAST_FILL = 0.75  # a paragraph, sentence or word end is taken in the last quarter of the budget
_CHARACTERS_PER_TOKEN = 8  # how far to read ahead; text of fewer tokens only fills the chunk less


@dataclass(frozen=True)
class Chunk:
    """A piece of the source.

    Args:
        text: The text.
        start: Where it starts, in the source's own units.
        end: Where it ends, and the next chunk starts.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Budget:
    """How much text a chunk may hold.

    Args:
        tokens: Greatest size of a chunk, in tokens.
        count: The token counter.
        again: How many chunks, those read last, may be read once more: as many as a round has.
    """

    tokens: int
    count: TokenCounter
    again: int = 1

    @property
    def window(self) -> int:
        """How many characters are worth reading ahead to fill a chunk."""
        return self.tokens * _CHARACTERS_PER_TOKEN + 256

    def cut(self, text: str, *, more: bool) -> int:
        """Where the chunk that begins this text ends.

        Args:
            text: The source's text from the cursor on, about `window` characters of it.
            more: Whether the source goes on after this text.

        Returns:
            Characters, at least 1 for text that is not empty: up to a paragraph's end where one lies
            in the last quarter of the budget, else a sentence's, a word's, a character's. A single
            character over the budget is taken whole.

        Example:
            >>> Budget(4, lambda text: len(text.split())).cut("One two. Three four five.", more=False)
            20
        """
        limit = token_prefix(text, self.tokens, self.count)
        if limit == len(text):
            if not more:
                return limit
            limit = character_end(text, limit - 1)  # what was read ahead may end inside a character
        return cut_point(text, limit, floor=int(limit * _LEAST_FILL))


@runtime_checkable
class Source(Protocol):
    """Text read by cursor. Implement `read`; subclass to inherit the rest.

    Example:
        >>> class Rows(Source):
        ...     def __init__(self, rows):
        ...         self.rows = rows
        ...         self.size = len(rows)  # its own unit is the row
        ...     def read(self, cursor, budget):
        ...         if cursor == len(self.rows):
        ...             return None
        ...         return Chunk(self.rows[cursor], cursor, cursor + 1)
        >>> Rows(["first", "second"]).read(1, Budget(100, len))
        Chunk(text='second', start=1, end=2)
    """

    size: int | None = None
    """Where the source ends, in its own units; None where that is not known beforehand."""

    fingerprint: str = ""
    """Names the content: another fingerprint on resuming means that the source has changed."""

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        """Read the chunk at the cursor. The same cursor and budget give the same chunk.

        Args:
            cursor: Where to start: 0, or the end of an earlier chunk.
            budget: How much text the chunk may hold.

        Returns:
            The chunk, starting at the cursor; None where the source has ended.

        Raises:
            SourceError: The text can not be read.
        """
        ...


class InlineSource(Source):
    """Text at hand. Its unit is the character.

    Args:
        text: The text.
        name: What to call it in an error.

    Example:
        >>> InlineSource("One. Two.").read(5, Budget(5000, len)).text
        'Two.'
    """

    def __init__(self, text: str, *, mark: str | None = None, name: str = "the document") -> None:
        if not text:
            raise SourceError(f"{name} is empty: give some text, or leave it out.")
        self.text = text
        self.size = len(text)
        self.fingerprint = fingerprint(text) if mark is None else mark

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        """Read the chunk at the cursor, as `Source.read`."""
        ahead = self.text[cursor : cursor + budget.window]
        if not ahead:
            return None
        length = budget.cut(ahead, more=cursor + len(ahead) < len(self.text))
        return Chunk(ahead[:length], cursor, cursor + length)


@contextmanager
def reported(name: object, path: Path | None = None) -> Iterator[None]:
    """Turns whatever goes wrong inside into a SourceError: a loader may raise anything.

    Args:
        name: What is being read.
        path: Where that is; whoever sent the name need not know.

    Raises:
        SourceError: Reading failed; secrets in the reason are hidden.
    """
    try:
        yield
    except MHMError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and (path or str(error.filename) == str(name)):
            reason = error.strerror or type(error).__name__  # without the path once more
        elif path:
            reason = reason.replace(str(path), str(name))
        message = redact(f"{name!s:.200} can not be read: {reason:.200}.")
        # A path may hold what no encoding can carry, and a checkpoint keeps the message.
        raise SourceError(message.encode(errors="replace").decode()) from error
