"""Where a run stands in its sources, and how it goes on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhm_langgraph import Budget, Chunk, Source, SourceError
from mhm_langgraph.reading import current_chunk, next_chunk, opener_with, start_reading
from mhm_langgraph.sources import InlineSource
from mhm_langgraph.state import Reading, keep_document
from mhm_langgraph.tokens import utf8_tokens

from .texts import counters, texts


class Shelf:
    """Opens texts by name, and counts how often."""

    def __init__(self, **books: Source | str) -> None:
        self.books, self.opened = books, 0

    def __call__(self, name: str | None) -> Source:
        self.opened += 1
        if name not in self.books:
            raise SourceError(f"There is no {name}.")
        book = self.books[name]
        return InlineSource(book) if isinstance(book, str) else book


def read_through(names: list[str | None], open_named: Any, budget: Budget) -> list[tuple[Reading, Chunk]]:
    """Every turn of a run: where it stands after each chunk, and the chunk."""
    turns, reading = [], start_reading(names, open_named)
    while True:
        reading, chunk = next_chunk(reading, open_named, budget)
        if chunk is None:
            assert next_chunk(reading, open_named, budget) == (reading, None), "the end is the end"
            return turns
        turns.append((reading, chunk))


@given(st.lists(texts, min_size=1, max_size=4), st.integers(1, 40), counters)
def test_sources_are_read_one_after_the_other_completely(several: list[str], tokens: int, count: Any) -> None:
    shelf = Shelf(**{f"book{number}": text for number, text in enumerate(several)})
    budget, names = Budget(tokens, count), list(shelf.books)
    turns = read_through(names, shelf, budget)
    for number, text in enumerate(several):
        assert "".join(chunk.text for reading, chunk in turns if reading["index"] == number) == text
    for reading, chunk in turns:
        assert reading["total"] == sum(map(len, several))
        assert reading["before"] == sum(map(len, several[: reading["index"]]))
        assert reading["cursor"] == chunk.end
        assert current_chunk(reading, [chunk.start, chunk.end], shelf, count) == chunk
    read = [reading["before"] + chunk.end for reading, chunk in turns]
    assert read == sorted(set(read)), "progress grows at every step"
    assert read[-1] == turns[0][0]["total"]


def test_a_run_without_text_ends_at_once() -> None:
    assert read_through([], Shelf(), Budget(5, utf8_tokens)) == []
    assert start_reading([], Shelf())["total"] == 0


def test_a_missing_source_is_found_before_anything_is_read() -> None:
    shelf = Shelf(first="Some text.")
    with pytest.raises(SourceError, match="There is no last"):
        start_reading(["first", "last"], shelf)


def test_a_source_may_be_named_twice() -> None:
    turns = read_through(["a", "b", "a"], Shelf(a="One.", b="Two."), Budget(5, utf8_tokens))
    assert [chunk.text for _, chunk in turns] == ["One.", "Two.", "One."]


class Unsized(Source):
    """Obeys the protocol with nothing but `read`: no size, no fingerprint, a unit of its own."""

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        return Chunk(f"row {cursor}", cursor, cursor + 10) if cursor < 30 else None


def test_the_total_is_unknown_where_one_source_does_not_know_its_size() -> None:
    turns = read_through(["a", "rows"], Shelf(a="One.", rows=Unsized()), Budget(5, utf8_tokens))
    assert [chunk.text for _, chunk in turns] == ["One.", "row 0", "row 10", "row 20"]
    assert {reading["total"] for reading, _ in turns} == {None}
    assert [reading["before"] for reading, _ in turns] == [0, 4, 4, 4]


def test_where_a_run_stands_is_plain_values_and_no_text() -> None:
    """It goes into every checkpoint."""
    for reading, _ in read_through(["a"], Shelf(a="One two three. " * 20), Budget(5, utf8_tokens)):
        assert reading.keys() == Reading.__annotations__.keys()
        assert all(type(value) in (int, str, list) for value in reading.values())
        assert "One" not in str(reading)


def test_a_step_is_read_again_with_the_budget_it_was_read_with() -> None:
    """A context may change chunk_tokens between a crash and the resume."""
    shelf = Shelf(a="One two three four five six seven eight nine ten. " * 20)
    reading, chunk = next_chunk(start_reading(["a"], shelf), shelf, Budget(8, utf8_tokens))
    assert current_chunk(reading, [chunk.start, chunk.end], shelf, utf8_tokens) == chunk
    later, other = next_chunk(reading, shelf, Budget(30, utf8_tokens))
    assert other.start == chunk.end
    assert current_chunk(later, [other.start, other.end], shelf, utf8_tokens) == other


def test_another_token_counter_is_noticed() -> None:
    shelf = Shelf(a="One two three four five six seven eight nine ten. " * 20)
    reading, chunk = next_chunk(start_reading(["a"], shelf), shelf, Budget(8, utf8_tokens))
    with pytest.raises(SourceError, match="token counter"):
        current_chunk(reading, [chunk.start, chunk.end], shelf, len)


def test_a_source_that_changed_is_noticed() -> None:
    shelf = Shelf(a="One two three. " * 20)
    reading, chunk = next_chunk(start_reading(["a"], shelf), shelf, Budget(8, utf8_tokens))
    shelf.books["a"] = "One two three. " * 19 + "One two four. "
    with pytest.raises(SourceError, match="'a' has changed"):
        next_chunk(reading, shelf, Budget(8, utf8_tokens))
    with pytest.raises(SourceError, match="'a' has changed"):
        current_chunk(reading, [chunk.start, chunk.end], shelf, utf8_tokens)


def test_a_later_source_that_changed_since_the_run_began_is_noticed() -> None:
    """The total was measured, and the budget checked, against what it was."""
    shelf = Shelf(a="One two three. " * 20, b="Four.")
    reading, _ = next_chunk(start_reading(["a", "b"], shelf), shelf, Budget(1000, utf8_tokens))
    shelf.books["b"] = "Something else altogether. " * 100
    with pytest.raises(SourceError, match="'b' has changed"):
        next_chunk(reading, shelf, Budget(1000, utf8_tokens))


def test_a_source_that_is_gone_is_a_source_error() -> None:
    shelf = Shelf(a="One two three. " * 20)
    reading, _ = next_chunk(start_reading(["a"], shelf), shelf, Budget(8, utf8_tokens))
    del shelf.books["a"]
    with pytest.raises(SourceError, match="There is no a"):
        next_chunk(reading, shelf, Budget(8, utf8_tokens))


class Scripted(Source):
    """Gives what it is told to give."""

    def __init__(self, chunk: Any) -> None:
        self.chunk = chunk

    def read(self, cursor: int, budget: Budget) -> Any:
        return self.chunk


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk("text", 1, 5),
        Chunk("text", -1, 4),
        Chunk("text", 0, 0),
        Chunk("text", 0, -4),
        Chunk("", 0, 0),
        Chunk("text", 0, float("nan")),
        Chunk("text", 0, 4.0),
        Chunk("text", "0", "4"),
        Chunk(None, 0, 4),
        Chunk(b"text", 0, 4),
        "text",
        ("text", 0, 4),
        4,
    ],
    ids=[
        "starts-late",
        "starts-early",
        "stands-still",
        "goes-back",
        "empty-still",
        "nan",
        "float",
        "text-span",
        "no-text",
        "bytes",
        "bare-text",
        "tuple",
        "number",
    ],
)
def test_a_source_that_breaks_the_protocol_is_named(chunk: Any) -> None:
    """Without a check it would be read for ever, or break far from here."""
    shelf = Shelf(own=Scripted(chunk))
    with pytest.raises(SourceError, match="Scripted"):
        next_chunk(start_reading(["own"], shelf), shelf, Budget(5, utf8_tokens))


def test_a_source_that_fails_is_a_source_error() -> None:
    class Failing(Source):
        def read(self, cursor: int, budget: Budget) -> Chunk | None:
            raise KeyError("page 7")

    shelf = Shelf(own=Failing())
    with pytest.raises(SourceError, match="page 7"):
        next_chunk(start_reading(["own"], shelf), shelf, Budget(5, utf8_tokens))


def test_a_function_that_fails_to_open_is_a_source_error() -> None:
    open_named = opener_with(None, lambda name: {}[name])
    with pytest.raises(SourceError, match="'moby' can not be read: KeyError"):
        start_reading(["moby"], open_named)


def test_a_chunk_without_text_is_a_step_like_any_other() -> None:
    """A source's own unit may be a page, and a page may be blank."""

    class Pages(Source):
        def read(self, cursor: int, budget: Budget) -> Chunk | None:
            return Chunk(["One.", "", "Two."][cursor], cursor, cursor + 1) if cursor < 3 else None

    turns = read_through(["pages"], Shelf(pages=Pages()), Budget(5, utf8_tokens))
    assert [chunk.text for _, chunk in turns] == ["One.", "", "Two."]


# The inline document.


def test_none_is_the_inline_document_and_names_are_opened() -> None:
    shelf = Shelf(a="Named.")
    open_named = opener_with(keep_document({}, ["Inline."]), shelf)
    assert open_named(None).read(0, Budget(5, utf8_tokens)).text == "Inline."
    assert open_named("a").read(0, Budget(5, utf8_tokens)).text == "Named."
    turns = read_through([None, "a"], open_named, Budget(5, utf8_tokens))
    assert [chunk.text for _, chunk in turns] == ["Inline.", "Named."]


def test_the_documents_fingerprint_is_not_taken_anew_at_each_step() -> None:
    document = {"text": "Inline.", "fingerprint": "taken once"}
    assert opener_with(document, Shelf())(None).fingerprint == "taken once"


@pytest.mark.parametrize("document", [None, {}])
def test_a_document_that_is_gone_is_a_source_error(document: Any) -> None:
    with pytest.raises(SourceError, match="document is missing"):
        opener_with(document, Shelf())(None)


def test_an_error_calls_the_document_the_document() -> None:
    document = keep_document({}, ["One two three. " * 20])
    open_named = opener_with(document, Shelf())
    reading, _ = next_chunk(start_reading([None], open_named), open_named, Budget(8, utf8_tokens))
    changed = opener_with(keep_document({}, ["Other. " * 40]), Shelf())
    with pytest.raises(SourceError, match="The document has changed"):
        next_chunk(reading, changed, Budget(8, utf8_tokens))
