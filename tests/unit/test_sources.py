"""Sources: inline text, files, documents, and what a builder may name."""

from __future__ import annotations

import codecs
import gc
import gzip
import io
import os
import re
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from itertools import count as numbers
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from mhm_langgraph import (
    Budget,
    Chunk,
    DocumentSource,
    SettingsError,
    Source,
    SourceError,
    create_mhm_agent,
)
from mhm_langgraph.sources import Files, FileSource, InlineSource, as_source, join_documents, resolve_sources
from mhm_langgraph.testing import ScriptedReader
from mhm_langgraph.tokens import utf8_tokens

from .texts import (
    FAMILY,
    ZALGO,
    assert_covered,
    assert_whole,
    counters,
    largest_character,
    long_texts,
    moby_dick,
    read_all,
    texts,
    watchdog,
    whole_characters,
    words,
)

_LARGEST = 200  # bytes: less than the least window, so that a character can be seen whole

budgets = st.builds(Budget, st.integers(1, 60), counters)
MILLIONS = 5_000_000


def utf8(text: str) -> int:
    return len(text.encode())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    """Writes bytes to a new file."""
    folder, number = tmp_path_factory.mktemp("written"), numbers()

    def write(data: bytes) -> Path:
        path = folder / f"{next(number)}.txt"
        path.write_bytes(data)
        return path

    return write


# What every source must do.


class Loader(BaseLoader):
    """Loads lazily, and counts what it has loaded."""

    def __init__(self, pages: list[str]) -> None:
        self.pages, self.loaded, self.runs = pages, 0, 0

    def lazy_load(self) -> Iterator[Document]:
        self.runs += 1
        for page in self.pages:
            self.loaded += 1
            yield Document(page)


@given(texts, budgets)
def test_inline_text_is_covered_exactly(text: str, budget: Budget) -> None:
    assert_covered(InlineSource(text), text, budget)


@given(long_texts, budgets)
def test_inline_text_is_cut_between_characters(text: str, budget: Budget) -> None:
    assume(largest_character(text) <= _LARGEST)
    assert_whole(InlineSource(text), text, budget)


_ENCODINGS = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with BOM": lambda text: codecs.BOM_UTF8 + text.encode(),
    "utf-16-le": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "utf-16-be": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "gz": lambda text: gzip.compress(text.encode(), 1),
    "gz with BOM": lambda text: gzip.compress(codecs.BOM_UTF8 + text.encode(), 1),
    "gz of two members": lambda text: (
        gzip.compress(text[:5].encode(), 1) + gzip.compress(text[5:].encode(), 1)
    ),
    "gz of utf-16": lambda text: gzip.compress(text.encode("utf-16"), 1),
}


@pytest.mark.parametrize("encoding", _ENCODINGS)
@given(text=texts, budget=budgets)
def test_a_file_is_covered_exactly(
    text: str, budget: Budget, encoding: str, written: Callable[[bytes], Path]
) -> None:
    assume("\0" not in text)  # a NUL makes a file binary, see below
    assume(not text.startswith("\ufeff"))  # nobody can tell it from a BOM
    source = FileSource(written(_ENCODINGS[encoding](text)))
    if encoding == "utf-8 with BOM":
        chunks = read_all(source, budget)
        assert "".join(chunk.text for chunk in chunks) == text
        assert chunks[0].end == utf8(chunks[0].text) + 3
        assert chunks[-1].end == source.size
    else:
        assert_covered(source, text, budget, unit=utf8)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8 with BOM", "utf-16-le", "gz"])
@given(text=long_texts, budget=budgets)
def test_a_file_is_cut_between_characters(
    text: str, budget: Budget, encoding: str, written: Callable[[bytes], Path]
) -> None:
    assume("\0" not in text and not text.startswith("\ufeff"))
    assume(largest_character(text) <= _LARGEST)
    assert_whole(FileSource(written(_ENCODINGS[encoding](text))), text, budget)


_DOCUMENTS = {
    "list": list,
    "tuple": lambda pages: tuple(Document(page) for page in pages),
    "loader": Loader,
    "keys": lambda pages: dict.fromkeys(pages).keys(),  # neither a sequence nor an iterator
}


@pytest.mark.parametrize("kind", _DOCUMENTS)
@given(pages=st.lists(texts, min_size=1, max_size=6, unique=True), budget=budgets)
def test_documents_are_covered_exactly(pages: list[str], budget: Budget, kind: str) -> None:
    assert_covered(DocumentSource(_DOCUMENTS[kind](pages)), "\n\n".join(pages), budget)


@given(pages=st.lists(long_texts, min_size=1, max_size=4), budget=budgets)
def test_documents_are_cut_between_characters(pages: list[str], budget: Budget) -> None:
    text = "\n\n".join(pages)
    assume(largest_character(text) <= _LARGEST)
    assert_whole(DocumentSource(pages), text, budget)


@given(pages=st.lists(texts, min_size=1, max_size=30), budget=budgets)
def test_documents_are_cut_where_the_same_text_inline_is(pages: list[str], budget: Budget) -> None:
    """However it comes in pieces: a page's end is no end of the text."""
    assert read_all(DocumentSource(iter(pages)), budget) == read_all(InlineSource("\n\n".join(pages)), budget)


def test_a_page_that_ends_where_the_reading_ahead_does_is_not_taken_for_the_last() -> None:
    budget = Budget(1, lambda text: 0)  # nothing but the window ends a chunk
    pages = [
        "Ahab sailed. "[: 3 + (budget.window - 3) % 3],
        *["x"] * (budget.window // 3 - 1),
        "More. And more.",
    ]
    text = "\n\n".join(pages)
    assert text[: budget.window].endswith("\n\nx"), "the case is about a page that ends there"
    assert read_all(DocumentSource(iter(pages)), budget) == read_all(InlineSource(text), budget)


@given(pages=st.lists(texts, min_size=1, max_size=6), budget=budgets)
def test_an_iterator_is_covered_too_and_its_last_chunk_read_twice(pages: list[str], budget: Budget) -> None:
    source, read, cursor = DocumentSource(iter(pages)), [], 0
    while (chunk := source.read(cursor, budget)) is not None:
        assert source.read(cursor, budget) == chunk  # update_head reads what read_chunk has read
        read.append(chunk.text)
        cursor = chunk.end
    assert "".join(read) == "\n\n".join(pages)


@given(pages=st.lists(texts, min_size=1, max_size=6), budget=budgets, data=st.data())
def test_documents_read_in_any_order_of_places_are_the_same(
    pages: list[str], budget: Budget, data: st.DataObject
) -> None:
    chunks = read_all(DocumentSource(pages), budget)
    source = DocumentSource(Loader(pages))
    for chunk in data.draw(st.lists(st.sampled_from(chunks), max_size=8)):
        assert source.read(chunk.start, budget) == chunk


@pytest.mark.parametrize(
    "make",
    [
        lambda text, written: InlineSource(text),
        lambda text, written: FileSource(written(text.encode())),
        lambda text, written: DocumentSource([text]),
    ],
    ids=["inline", "file", "documents"],
)
class TestEverySource:
    @pytest.mark.parametrize(
        "character",
        [FAMILY, "🇫🇷", ZALGO, "e\u0301", "\r\n", " \u0301", "\u1112\u1161\u11ab"],
        ids=["emoji", "flag", "zalgo", "accent", "crlf", "accented-space", "hangul"],
    )
    def test_a_run_of_large_characters_is_cut_between_them(
        self, make: Any, written: Any, character: str
    ) -> None:
        """Long enough that the words counter fills no chunk: the end of what is read ahead cuts it."""
        text = "a" + character * 300
        source = make(text, written)
        for tokens in (1, 2, 5, 67):
            for count in (utf8_tokens, len, words):
                assert_whole(source, text, Budget(tokens, count))

    @pytest.mark.parametrize("chunk_tokens", [64, 200, 1000, 5000])
    @pytest.mark.parametrize("count", [utf8_tokens, words], ids=["utf8", "words"])
    def test_chunks_of_prose_are_well_filled(
        self, make: Any, written: Any, chunk_tokens: int, count: Any
    ) -> None:
        budget = Budget(chunk_tokens, count)
        filled = [count(chunk.text) / chunk_tokens for chunk in read_all(make(moby_dick(), written), budget)]
        full = filled[:-1]  # the last holds what is left
        assert len(full) >= 2
        assert sum(full) / len(full) >= 0.8
        assert max(filled) <= 1

    def test_chunks_of_prose_end_at_paragraphs_or_sentences(self, make: Any, written: Any) -> None:
        chunks = read_all(make(moby_dick(), written), Budget(1000, utf8_tokens))
        ends = [chunk.text.rstrip()[-1] for chunk in chunks]
        assert sum(end in ".!?—”’:;)" for end in ends) >= 0.95 * len(ends)

    @pytest.mark.parametrize(
        "unit",
        ["x", " ", "\n", "a.b ", "word ", "漢", "\u0301", "🇫🇷", FAMILY, "\u00a0", "<", "Mr. ", "\r\n"],
        ids=ascii,
    )
    def test_a_line_of_five_megabytes_is_covered(self, make: Any, written: Any, unit: str) -> None:
        text = unit * (MILLIONS // utf8(unit))
        with watchdog(20):
            read = [chunk.text for chunk in read_all(make(text, written), Budget(5000, utf8_tokens))]
        assert "".join(read) == text
        assert len(read) <= 2 * MILLIONS / 20_000 + 1

    @pytest.mark.parametrize("text", [" ", "\n", "\t \n\n", "\u3000"], ids=ascii)
    def test_white_space_is_text_like_any_other(self, make: Any, written: Any, text: str) -> None:
        assert_covered(
            make(text, written), text, Budget(1, utf8_tokens), unit=lambda t: make(t, written).size
        )

    def test_nothing_is_no_source(self, make: Any, written: Any) -> None:
        with pytest.raises(SourceError, match="empty"):
            make("", written)

    def test_the_fingerprint_names_the_content(self, make: Any, written: Any) -> None:
        one, same, other = (make(text, written).fingerprint for text in ("One.", "One.", "Two."))
        assert one == same != other
        assert one

    def test_after_the_end_there_is_nothing(self, make: Any, written: Any) -> None:
        source = make("Some text.", written)
        assert source.read(source.size, Budget(5, utf8_tokens)) is None


@pytest.mark.parametrize("tokens", [1, 50])
def test_a_character_over_the_budget_is_taken_whole(tokens: int) -> None:
    count = {FAMILY: 100}.get
    source = InlineSource(FAMILY * 2)
    chunks = read_all(source, Budget(tokens, lambda text: count(text, 100 * len(text))))
    assert [chunk.text for chunk in chunks] == [FAMILY, FAMILY]


def test_a_counter_that_finds_no_tokens_still_gives_chunks_of_a_bounded_size() -> None:
    budget = Budget(10, lambda text: 0)
    chunks = read_all(InlineSource("x" * 10_000), budget)
    assert max(len(chunk.text) for chunk in chunks) <= budget.window


@given(texts)
def test_half_surrogate_pairs_are_replaced_and_whole_ones_joined(text: str) -> None:
    """No encoding, so no model, can take them; a loader may hand them on from a broken file."""
    pages = [Document(f"{text}\ud83d{text}"), Document("\ud83d\ude00 More.")]
    chunks = read_all(DocumentSource(iter(pages)), Budget(3, len))
    assert "".join(chunk.text for chunk in chunks) == f"{text}\ufffd{text}\n\n😀 More."


# Files.


def test_a_file_is_read_in_its_own_bytes(written: Callable[[bytes], Path]) -> None:
    text = "Zürich. 東京。 Nantucket."
    source = FileSource(written(text.encode()))
    assert source.size == utf8(text)
    chunk = source.read(len("Zürich. ".encode()), Budget(50, utf8_tokens))
    assert chunk == Chunk("東京。 Nantucket.", 9, source.size)


_FRENCH = (
    "Le café de la gare était fermé. Près de l'église, un garçon mangeait une pâtisserie; où étaient passés "
    "les élèves? Ça, personne ne le savait déjà plus, hélas.\n"
)
_GERMAN = (
    "Die Bäume längs der Straße blühten schön. Über allen Gipfeln ist Ruh, und die Vögelein schweigen im "
    "Walde; größere Häuser stehen öde.\n"
)
_SPANISH = (
    "¿Dónde está el niño? ¡Qué mañana tan fría! Él salió de su casa después de comer, pensó en su corazón.\n"
)
_ENGLISH = "The “white whale” was Ahab’s — and nobody’s else — he said. ‘A café,’ I answered, and frowned…\n"
_ITALIAN = "Tutti gli esseri umani nascono liberi ed eguali. Perché è così, la città è più bella.\n"
_SWEDISH = "Alla människor är födda fria och lika i värde och rättigheter, på land och på sjö.\n"
_POLISH = "Litwo! Ty jesteś jak zdrowie; ile cię trzeba cenić, ten tylko się dowie, kto cię stracił.\n"
_CZECH = "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.\n"
_RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.\n"
_CHINESE = "叫我以实玛利吧。几年前，我身上没有什么钱，岸上也没有什么特别让我感兴趣的事，于是我想我要出海。\n"
_JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗い所で泣いていた。\n"


@pytest.mark.parametrize("times", [3, 2000], ids=["short", "long"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (_FRENCH, "latin-1"),
        (_GERMAN, "latin-1"),
        (_SPANISH, "latin-1"),
        (_ENGLISH, "cp1252"),
        (_FRENCH, "cp1252"),
        (_ITALIAN, "cp1252"),
        (_SWEDISH, "cp1252"),
        (_POLISH, "cp1250"),
        (_CZECH, "cp1250"),
        (_RUSSIAN, "cp1251"),
        (_CHINESE, "gb18030"),
        (_JAPANESE, "shift_jis"),
        (_JAPANESE, "euc_jp"),
        (_CHINESE, "utf-16"),
        (_JAPANESE, "utf-16"),
    ],
    ids=[
        "latin-1-french",
        "latin-1-german",
        "latin-1-spanish",
        "cp1252-english",
        "cp1252-french",
        "cp1252-italian",
        "cp1252-swedish",
        "cp1250-polish",
        "cp1250-czech",
        "cp1251-russian",
        "gb18030-chinese",
        "shift_jis-japanese",
        "euc_jp-japanese",
        "utf-16-chinese",
        "utf-16-japanese",
    ],
)
def test_another_encoding_is_found_and_read_exactly(
    text: str, encoding: str, zipped: bool, times: int, written: Callable[[bytes], Path]
) -> None:
    data = (text * times).encode(encoding)
    source = FileSource(written(gzip.compress(data, 1) if zipped else data))
    assert_covered(source, text * times, Budget(5000, utf8_tokens), unit=utf8)


def test_a_late_accent_in_a_long_file_is_found(written: Callable[[bytes], Path]) -> None:
    """Ten thousand lines of plain ASCII say nothing of the encoding; the line that matters does."""
    text = "Plain prose, line after line.\n" * 12_000 + _SPANISH
    source = FileSource(written(text.encode("latin-1")))
    assert "".join(chunk.text for chunk in read_all(source, Budget(50_000, utf8_tokens))) == text


@pytest.mark.parametrize("before", ["", "a", "ab"])
@pytest.mark.parametrize(
    ("line", "encoding"), [(_CHINESE, "gb18030"), (_JAPANESE, "shift_jis")], ids=["zh", "ja"]
)
def test_a_long_single_line_of_two_byte_characters_is_read_exactly(
    before: str, line: str, encoding: str, written: Callable[[bytes], Path]
) -> None:
    """Wherever the sample for the detector ends: it may be inside a character."""
    text = before + line.strip() * 6000
    source = FileSource(written(text.encode(encoding)))
    assert "".join(chunk.text for chunk in read_all(source, Budget(50_000, utf8_tokens))) == text


def test_a_bad_byte_near_the_end_is_found_before_anything_is_read(written: Callable[[bytes], Path]) -> None:
    text = "Señor. ".encode() * 300_000 + b"\xff\xfe\xff"
    try:
        source = FileSource(written(text))
    except SourceError:
        return
    assert "".join(
        chunk.text for chunk in read_all(source, Budget(10**6, utf8_tokens))
    )  # as another encoding


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (codecs.BOM_UTF16_LE, "empty"),
        (codecs.BOM_UTF32_BE, "empty"),
        (gzip.compress(b""), "empty"),
        (gzip.compress(codecs.BOM_UTF8), "empty"),
        (b"text\0text", "binary"),
        (b"\x7fELF\x02\x01\x01" + bytes(64), "binary"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "binary"),
        (gzip.compress(bytes(1000)), "binary"),
        (codecs.BOM_UTF16_LE + b"o", "text"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8\x41\x00", "text"),
        (codecs.BOM_UTF32_LE + b"\xff\xff\xff\xff", "text"),
    ],
    ids=[
        "empty",
        "bom",
        "bom-utf-16",
        "bom-utf-32",
        "gz-empty",
        "gz-bom",
        "nul",
        "elf",
        "png",
        "gz-nul",
        "half-utf-16",
        "surrogate-utf-16",
        "broken-utf-32",
    ],
)
def test_what_holds_no_text_is_refused_with_path_and_reason(
    data: bytes, reason: str, written: Callable[[bytes], Path]
) -> None:
    path = written(data)
    with pytest.raises(SourceError, match=reason) as raised:
        FileSource(path)
    assert str(path) in str(raised.value)


@given(data=st.binary(min_size=1, max_size=400))
def test_any_bytes_are_text_or_a_source_error(data: bytes, written: Callable[[bytes], Path]) -> None:
    try:
        source = FileSource(written(data))
    except SourceError:
        return
    chunks = read_all(source, Budget(20, utf8_tokens))
    assert chunks[-1].end == source.size


def test_any_damage_to_a_gz_is_a_source_error_or_harmless(written: Callable[[bytes], Path]) -> None:
    text = "Some prose that is long enough to be packed. " * 40
    packed = gzip.compress(text.encode(), mtime=0)
    harmless = []
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 0xFF
        path = written(bytes(damaged))
        try:
            source = FileSource(path)
        except SourceError:
            continue
        assert read_all(source, Budget(5000, utf8_tokens))[0].text == text
        harmless.append(place)
    assert set(harmless) <= set(range(4, 10)), "the header's time and system are not of the text"


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_a_gz_cut_short_is_a_source_error(cut: int, written: Callable[[bytes], Path]) -> None:
    packed = gzip.compress(moby_dick().encode(), 1)
    with pytest.raises(SourceError, match="end-of-stream"):
        FileSource(written(packed[:-cut]))


@pytest.mark.parametrize("start", [b"", "Señor. ".encode("latin-1"), codecs.BOM_UTF16_LE])
def test_a_decompression_bomb_is_refused(start: bytes, written: Callable[[bytes], Path]) -> None:
    """80 MB out of 80 kB; whichever encoding it claims, so that it is not unpacked to disk either."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        packed.write(start)
        for _ in range(80):
            packed.write(b"a " * (1 << 19))
    assert len(file.getvalue()) < 1 << 20
    with pytest.raises(SourceError, match="swells"):
        FileSource(written(file.getvalue()))


def test_real_text_packs_far_less_than_a_bomb(written: Callable[[bytes], Path]) -> None:
    text = moby_dick() * 3
    source = FileSource(written(gzip.compress(text.encode())))
    assert source.size == utf8(text)


def test_a_source_that_is_let_go_leaves_no_file_open(written: Callable[[bytes], Path]) -> None:
    """Python warns of a file that nobody closed; with warnings as errors, users' tests would fail."""
    path = written(gzip.compress(b"Some text."))
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        FileSource(path)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("opened", [FileSource, Files()], ids=["source", "opener"])
class TestWhatIsNoFile:
    def test_missing(self, opened: Any, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="No such file") as raised:
            opened(str(tmp_path / "missing.txt"))
        assert "missing.txt" in str(raised.value)

    def test_folder(self, opened: Any, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="is a folder"):
            opened(str(tmp_path))

    def test_below_a_file(self, opened: Any, written: Callable[[bytes], Path]) -> None:
        with pytest.raises(SourceError, match="Not a directory"):
            opened(f"{written(b'text')}/below")

    def test_pipe(self, opened: Any, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with watchdog(), pytest.raises(SourceError, match="not a regular file"):
            opened(str(pipe))

    @pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
    def test_device(self, opened: Any, device: str) -> None:
        with watchdog(), pytest.raises(SourceError, match="not a regular file"):
            opened(device)

    def test_link_to_a_device(self, opened: Any, tmp_path: Path) -> None:
        link = tmp_path / "book.txt"
        link.symlink_to("/dev/zero")
        with watchdog(), pytest.raises(SourceError, match="not a regular file"):
            opened(str(link))

    def test_link_to_itself(self, opened: Any, tmp_path: Path) -> None:
        link = tmp_path / "loop"
        link.symlink_to(link)
        with pytest.raises(SourceError):
            opened(str(link))

    @pytest.mark.parametrize(
        "name", ["a\0b", "x" * 5000, "\ud800", "\n", " "], ids=["nul", "long", "surrogate", "line", "space"]
    )
    def test_name(self, opened: Any, name: str) -> None:
        with pytest.raises(SourceError) as raised:
            opened(name)
        assert len(str(raised.value)) < 500


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """An allowed folder with a book, beside a secret."""
    (tmp_path / "secret.txt").write_text("The key is under the mat.")
    library = tmp_path / "library"
    (library / "novels").mkdir(parents=True)
    (library / "novels" / "whale.txt").write_text("Call me Ishmael.")
    return library


class TestAllowedFolder:
    @pytest.mark.parametrize("name", ["novels/whale.txt", "novels/../novels/whale.txt", "./novels/whale.txt"])
    def test_what_lies_below_is_read(self, library: Path, name: str) -> None:
        assert Files(library)(name).size == 16

    def test_an_absolute_path_below_is_read(self, library: Path) -> None:
        assert Files(library)(str(library / "novels" / "whale.txt")).size == 16

    @pytest.mark.parametrize("name", ["../secret.txt", "novels/../../secret.txt", "/etc/passwd", ".."])
    def test_what_lies_outside_is_refused(self, library: Path, name: str) -> None:
        with pytest.raises(SourceError, match="outside the allowed folder"):
            Files(library)(name)

    def test_a_folder_that_only_starts_alike_is_outside(self, library: Path) -> None:
        twin = library.with_name("library2")
        twin.mkdir()
        (twin / "book.txt").write_text("text")
        with pytest.raises(SourceError, match="outside the allowed folder"):
            Files(library)(str(twin / "book.txt"))

    @pytest.mark.parametrize("target", ["../secret.txt", "absolute", "chain"])
    def test_a_link_out_is_refused(self, library: Path, target: str) -> None:
        link = library / "link.txt"
        if target == "chain":
            (library / "first.txt").symlink_to("../secret.txt")
            link.symlink_to("first.txt")
        else:
            link.symlink_to(library.parent / "secret.txt" if target == "absolute" else target)
        with pytest.raises(SourceError, match="outside the allowed folder"):
            Files(library)("link.txt")

    def test_a_linked_folder_out_is_refused(self, library: Path) -> None:
        (library / "up").symlink_to("..")
        with pytest.raises(SourceError, match="outside the allowed folder"):
            Files(library)("up/secret.txt")

    def test_a_link_within_is_followed(self, library: Path) -> None:
        (library / "link.txt").symlink_to("novels/whale.txt")
        assert Files(library)("link.txt").size == 16

    def test_the_folder_may_itself_be_a_link(self, library: Path) -> None:
        alias = library.with_name("alias")
        alias.symlink_to(library)
        assert Files(alias)("novels/whale.txt").size == 16

    def test_a_link_turned_outward_later_is_refused(self, library: Path) -> None:
        files, link = Files(library), library / "link.txt"
        link.symlink_to("novels/whale.txt")
        assert files("link.txt").size == 16
        link.unlink()
        link.symlink_to("../secret.txt")
        with pytest.raises(SourceError, match="outside the allowed folder"):
            files("link.txt")


@pytest.mark.parametrize(
    "name",
    ["missing.txt", "novels", "empty.txt", "binary.txt", "broken.txt", "loop", "../secret.txt", "x" * 300],
)
def test_an_error_shows_the_name_as_given_and_not_where_the_folder_is(library: Path, name: str) -> None:
    (library / "empty.txt").touch()
    (library / "binary.txt").write_bytes(b"\0\1" * 50)
    (library / "broken.txt").write_bytes(gzip.compress(b"text" * 50)[:20])
    (library / "loop").symlink_to("loop")
    opened: list[Any] = [Files(library), resolve_sources(lambda given: library / given)]
    for open_source in opened:
        with pytest.raises(SourceError) as raised:
            open_source(name).read(0, Budget(5, utf8_tokens)) and open_source("missing.txt")
        assert str(library.parent) not in str(raised.value)
        assert str(raised.value).startswith((name[:200], "missing.txt"))


def test_a_file_that_a_mapping_names_and_that_is_gone_is_shown_by_its_name(library: Path) -> None:
    book = library / "novels" / "whale.txt"
    opened = resolve_sources({"book": book})
    book.unlink()
    with pytest.raises(SourceError, match=r"^book can not be read: No such file"):
        opened("book")
    with pytest.raises(SourceError, match=re.escape(str(book))):
        resolve_sources({"book": book})


@pytest.mark.parametrize("root", [None, "."])
@pytest.mark.parametrize(
    "address",
    ["https://example.org/book.txt", "file:///etc/passwd", "s3://bucket/key", "HTTP://user:hunter2@host/"],
)
def test_an_address_is_no_file(address: str, root: str | None) -> None:
    with pytest.raises(SourceError, match="address") as raised:
        Files(root)(address)
    assert "hunter2" not in str(raised.value), "a password in an address does not belong in an error"


def test_in_a_server_files_are_off_unless_a_folder_is_named(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "langgraph_api", ModuleType("langgraph_api"))
    with pytest.raises(SourceError, match="sources="):
        Files()(str(library / "novels" / "whale.txt"))
    assert Files(library)("novels/whale.txt").size == 16


class TestChanges:
    def test_an_unchanged_file_is_checked_once(self, library: Path) -> None:
        files = Files(library)
        assert files("novels/whale.txt") is files("novels/whale.txt")

    @pytest.mark.parametrize(
        "text", ["Call me Bartleby", "Call me Ishmael. And more."], ids=["size", "longer"]
    )
    def test_a_changed_file_has_another_fingerprint(self, library: Path, text: str) -> None:
        files, book = Files(library), library / "novels" / "whale.txt"
        before, status = files("novels/whale.txt").fingerprint, book.stat()
        book.write_text(text)
        os.utime(book, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert files("novels/whale.txt").fingerprint != before

    def test_a_replaced_file_has_another_fingerprint(self, library: Path) -> None:
        """As editors save: another file takes the name, here with the same size and time."""
        files, book = Files(library), library / "novels" / "whale.txt"
        before, status = files("novels/whale.txt").fingerprint, book.stat()
        draft = book.with_suffix(".new")
        draft.write_text("Call me Bartleby")
        os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
        draft.replace(book)
        assert files("novels/whale.txt").fingerprint != before

    def test_a_file_that_is_gone_is_a_source_error(self, library: Path) -> None:
        files, book = Files(library), library / "novels" / "whale.txt"
        source = files("novels/whale.txt")
        book.unlink()
        with pytest.raises(SourceError, match="No such file"):
            files("novels/whale.txt")
        with pytest.raises(SourceError, match="No such file"):
            source.read(0, Budget(5, utf8_tokens))

    @pytest.mark.parametrize("name_sources", ["mapping", "function"])
    def test_a_named_file_that_changed_is_noticed(self, library: Path, name_sources: str) -> None:
        """A builder's mapping lives as long as the server; the file's text does not."""
        book = library / "novels" / "whale.txt"
        book.write_text("Call me Ishmael. " * 20)
        open_source = resolve_sources({"whale": book} if name_sources == "mapping" else lambda name: book)
        source = open_source("whale")
        first = source.read(0, Budget(8, utf8_tokens))
        before = source.fingerprint
        book.write_text("Another text altogether. ")
        source = open_source("whale")
        assert source.fingerprint != before or source.read(0, Budget(8, utf8_tokens)) == first

    def test_text_that_is_no_text_any_more_is_a_source_error(self, written: Callable[[bytes], Path]) -> None:
        path = written("漢字".encode() * 100)
        source = FileSource(path)
        path.write_bytes(b"\xff" * 600)
        with pytest.raises(SourceError, match="changed"):
            source.read(0, Budget(5, utf8_tokens))


def test_a_file_that_is_shorter_now_is_no_early_end(written: Callable[[bytes], Path]) -> None:
    path = written(b"Some text. " * 10)
    source = FileSource(path)
    path.write_bytes(b"Some text.")
    with pytest.raises(SourceError, match="changed"):
        source.read(55, Budget(5, utf8_tokens))


def test_the_64_files_read_last_are_kept_open(tmp_path: Path) -> None:
    for number in range(65):
        (tmp_path / f"{number}.txt").write_text(f"Text {number}.")
    files = Files(tmp_path)
    first, second, *_ = sources = [files(f"{number}.txt") for number in range(64)]
    assert files("0.txt") is first  # so that 1.txt is the one read longest ago
    files("64.txt")
    assert files("0.txt") is first
    assert files("63.txt") is sources[63]
    assert files("1.txt") is not second
    assert second.read(0, Budget(5, utf8_tokens)) == Chunk("Text 1.", 0, 7)  # whoever holds it reads on


def test_threads_read_one_converted_file_without_mixing_it_up(written: Callable[[bytes], Path]) -> None:
    source, budget = FileSource(written(gzip.compress(moby_dick().encode(), 1))), Budget(100, utf8_tokens)
    results: list[str] = []

    def read() -> None:
        results.append("".join(chunk.text for chunk in read_all(source, budget)))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [moby_dick()] * 4


def test_a_large_file_costs_a_chunk_of_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("w") as file:
        for _ in range(64):
            file.write("All work and no play makes Jack a dull boy.\n" * 24_000)
    assert path.stat().st_size > 60 << 20
    tracemalloc.start()
    try:
        source = FileSource(path)
        chunk = source.read(source.size // 2 // 44 * 44, Budget(5000, utf8_tokens))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert chunk.text.startswith("All work")
    assert peak < 8 << 20


# Documents.


class TestLoaders:
    def test_loading_stays_lazy(self) -> None:
        loader = Loader([f"Page {number}. " * 40 for number in range(200)])
        source, budget = DocumentSource(loader), Budget(50, utf8_tokens)
        assert loader.loaded == 0
        chunk = source.read(0, budget)
        assert loader.loaded <= 3, "a window of 656 characters lies within two pages of 400"
        source.read(0, budget)
        source.read(chunk.end, budget)
        assert loader.loaded <= 4
        assert loader.runs == 1

    def test_every_page_is_loaded_once_in_a_run(self) -> None:
        loader = Loader([f"Page {number}. " * 40 for number in range(50)])
        source, budget, cursor = DocumentSource(loader), Budget(50, utf8_tokens), 0
        while (chunk := source.read(cursor, budget)) is not None:
            source.read(cursor, budget)
            cursor = chunk.end
        assert (loader.runs, loader.loaded) == (1, 50)

    def test_reading_from_an_earlier_place_loads_anew(self) -> None:
        loader = Loader(["One. " * 100, "Two. " * 100])
        source, budget = DocumentSource(loader), Budget(10, utf8_tokens)
        first = read_all(source, budget)
        assert read_all(source, budget) == first
        assert loader.runs == 2

    def test_a_resumed_run_skips_what_it_has_read(self) -> None:
        pages = [f"Page {number}. " * 40 for number in range(20)]
        chunks = read_all(DocumentSource(pages), Budget(50, utf8_tokens))
        late = chunks[-3].start
        assert read_all(DocumentSource(Loader(pages)), Budget(50, utf8_tokens), late) == chunks[-3:]

    def test_a_loader_that_fails_once_loses_no_text(self) -> None:
        """After an error a generator is spent: reading on from it would end the text early."""
        pages = ["One. " * 100, "Two. " * 100, "Three. " * 100]

        class Flaky(Loader):
            def lazy_load(self) -> Iterator[Document]:
                for page in super().lazy_load():
                    if self.loaded == 2 and self.runs == 1:
                        raise OSError("the network is down")
                    yield page

        source, budget = DocumentSource(Flaky(pages)), Budget(50, utf8_tokens)
        read, cursor, failures = [], 0, 0
        while failures < 3:
            try:
                chunk = source.read(cursor, budget)
            except (OSError, SourceError):
                failures += 1
                continue
            if chunk is None:
                break
            read.append(chunk.text)
            cursor = chunk.end
        assert failures == 1
        assert "".join(read) == "\n\n".join(pages)

    def test_a_loader_that_fails_is_a_source_error(self) -> None:
        class Failing(Loader):
            def lazy_load(self) -> Iterator[Document]:
                raise FileNotFoundError("book.pdf")
                yield

        with pytest.raises(SourceError, match=r"book\.pdf"):
            DocumentSource(Failing([])).read(0, Budget(5, utf8_tokens))


def test_an_iterator_can_not_be_read_backwards() -> None:
    source, budget = DocumentSource(iter(["One. " * 50, "Two. " * 50])), Budget(10, utf8_tokens)
    cursor = 0
    while chunk := source.read(cursor, budget):
        assert source.read(cursor, budget) == chunk, "the chunk of this step can be read again"
        cursor = chunk.end
    with pytest.raises(SourceError, match="list or a loader"):
        source.read(0, budget)


def test_the_size_is_known_where_the_documents_are() -> None:
    assert DocumentSource(["One.", Document("Two.")]).size == len("One.\n\nTwo.")
    assert DocumentSource(iter(["One."])).size is None
    assert DocumentSource(Loader(["One."])).size is None


@pytest.mark.parametrize(
    ("documents", "named"),
    [([5], "document 0 is a int"), (["One.", None], "document 1 is a NoneType"), ([b"bytes"], "bytes")],
)
def test_what_is_no_document_is_named_with_its_place(documents: list[Any], named: str) -> None:
    with pytest.raises(SourceError, match=named):
        DocumentSource(documents)
    with pytest.raises(SourceError, match=named):
        DocumentSource(iter(documents)).read(0, Budget(5, utf8_tokens))
    with pytest.raises(SourceError, match=named):
        join_documents(documents)


@pytest.mark.parametrize("documents", [[], [""], [Document("")]], ids=["none", "text", "document"])
def test_documents_without_text_are_refused_as_an_empty_file_is(documents: list[Any]) -> None:
    with pytest.raises(SourceError, match="empty"):
        DocumentSource(documents).read(0, Budget(5, utf8_tokens))


@pytest.mark.parametrize("single", ["One. Two.", Document("One. Two.")], ids=["text", "document"])
def test_a_single_document_is_one_document_or_refused(single: Any) -> None:
    """A str is an iterable of its characters, a Document one of its fields; neither is meant."""
    try:
        chunk = DocumentSource(single).read(0, Budget(5, utf8_tokens))
    except SourceError:
        return
    assert chunk == Chunk("One. Two.", 0, 9)


def test_a_chunk_of_a_long_document_costs_a_chunk_of_memory() -> None:
    """A copy of all that is left at each step would make the whole run quadratic in the text's length."""
    source, budget = DocumentSource(["All work and no play. " * 400_000]), Budget(100, utf8_tokens)
    chunk = source.read(0, budget)
    tracemalloc.start()
    try:
        source.read(chunk.end, budget)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20, "of a document of 8.8 MB"


def test_the_chunks_of_a_round_can_be_read_again_and_no_more_is_held() -> None:
    pages = [f"Page {number}. " + "All work and no play. " * 20 for number in range(500)]
    source, budget = DocumentSource(iter(pages)), Budget(100, utf8_tokens, again=3)
    cursor: int | None = 0
    tracemalloc.start()
    try:
        while cursor is not None:
            chunks = []
            while len(chunks) < 3 and (chunk := source.read(cursor, budget)):
                chunks.append(chunk)
                cursor = chunk.end
            once_more = Budget(100, utf8_tokens)  # what reads them again need not say how many they are
            assert [source.read(chunk.start, once_more) for chunk in chunks] == chunks
            cursor = cursor if chunks else None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 17, "of a text of 220 kB"


def test_places_far_apart_are_each_read_on_without_loading_again() -> None:
    """Two runs at once on one graph."""
    loader = Loader([f"Page {number}. " * 5 for number in range(80)])
    source, budget = DocumentSource(loader), Budget(20, utf8_tokens)
    chunks = read_all(source, budget)
    assert len(chunks) > 40
    loader.loaded = 0
    for chunk in chunks[:20]:
        assert [source.read(chunk.start, budget), source.read(chunk.start, budget)] == [chunk, chunk]
    for ahead, behind in zip(chunks[20:40], chunks[:20], strict=True):  # a step each in turn
        assert [source.read(ahead.start, budget), source.read(behind.start, budget)] == [ahead, behind]
        assert [source.read(ahead.start, budget), source.read(behind.start, budget)] == [ahead, behind]
    assert loader.runs == 1 + 2
    assert loader.loaded <= 2 * len(loader.pages)


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("named", ["mapping", "function"])
@pytest.mark.parametrize("heads", [4, "auto"])
def test_a_run_loads_its_documents_once(width: int, named: str, heads: Any) -> None:
    pages = [f"Page {number} is about number {number}. " * 4 for number in range(40)]
    loader = Loader(pages)
    sources: Any = {"pages": loader} if named == "mapping" else lambda name: loader
    graph = create_mhm_agent(
        "extractive", heads=heads, chunk_tokens=50, parallel_heads=width, sources=sources
    )
    for runs in (1, 2):
        graph.invoke({"source": "pages"})
        assert (loader.runs, loader.loaded) == (runs, runs * len(pages))


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("named", ["mapping", "function"])
def test_a_run_reads_an_iterator_in_rounds_too(width: int, named: str) -> None:
    pages = [f"Page {number} is about number {number}. " * 4 for number in range(12)]
    sources: Any = {"pages": iter(pages)} if named == "mapping" else lambda name: iter(pages)
    reader = ScriptedReader(update=lambda request: f"Chunk {request.step}.")
    graph = create_mhm_agent(reader, chunk_tokens=50, parallel_heads=width, sources=sources)
    for _ in range(1 if named == "mapping" else 2):
        reader.updates.clear()
        graph.invoke({"source": "pages"})
        by_step = sorted(reader.updates, key=lambda request: request.step)
        assert "".join(request.chunk for request in by_step) == "\n\n".join(pages)
    if named == "mapping":
        with pytest.raises(SourceError, match="list or a loader"):
            graph.invoke({"source": "pages"})


def test_what_a_function_opens_is_kept_within_a_run_and_asked_for_anew_by_the_next() -> None:
    asked: list[str] = []

    def notes(name: str) -> list[str]:
        asked.append(name)
        return [f"Note {len(asked)}. " * 20]

    reader = ScriptedReader(update="x")
    graph = create_mhm_agent(reader, chunk_tokens=10, sources=notes)
    for run in (1, 2):
        graph.invoke({"source": "notes"})
        assert asked == ["notes"] * run
        assert f"Note {run}." in reader.updates[-1].chunk
    assert len(reader.updates) == 10


@pytest.mark.parametrize("given_as", ["path", "source"])
def test_a_file_of_a_function_that_changes_within_a_run_is_noticed(library: Path, given_as: str) -> None:
    files, book = Files(library), library / "novels" / "whale.txt"
    opened = resolve_sources((lambda name: book) if given_as == "path" else (lambda name: files(name)))
    before = opened("novels/whale.txt").fingerprint
    assert opened("novels/whale.txt").fingerprint == before
    book.write_text("Call me Ahab.")
    assert opened("novels/whale.txt").fingerprint != before


def test_an_iterator_that_a_function_gives_twice_is_told() -> None:
    spent = iter(["One. " * 50])
    opened = resolve_sources(lambda name: spent)
    budget = Budget(10, utf8_tokens)
    chunk = opened("x").read(0, budget)
    assert chunk is not None
    second = opened("x").read(chunk.end, budget)
    assert second is not None
    opened("x").read(second.end, budget)
    with pytest.raises(SourceError, match="same iterator"):
        opened("x").read(0, budget)


# What a builder names.


class Rows(Source):
    """A source of the user's own, as the docstring of Source shows it."""

    def __init__(self, rows: list[str]) -> None:
        self.rows, self.size = rows, len(rows)

    def read(self, cursor: int, budget: Budget) -> Chunk | None:
        return None if cursor == len(self.rows) else Chunk(self.rows[cursor], cursor, cursor + 1)


def test_a_source_of_ones_own_is_taken_as_it_is() -> None:
    rows = Rows(["first", "second"])
    assert as_source(rows) is rows
    assert [chunk.text for chunk in read_all(rows, Budget(5, len))] == ["first", "second"]
    assert rows.fingerprint == ""


def test_sources_by_name(library: Path) -> None:
    rows, path = Rows(["row"]), library / "novels" / "whale.txt"
    opened = resolve_sources(
        {
            "rows": rows,
            "path": path,
            "path as text": str(path),
            "loader": Loader(["page"]),
            "list": ["One.", "Two."],
        }
    )
    assert opened("rows") is rows
    assert opened("path").read(0, Budget(50, utf8_tokens)).text == "Call me Ishmael."
    assert opened("path as text").read(0, Budget(50, utf8_tokens)).text == "Call me Ishmael."
    assert opened("loader").read(0, Budget(50, utf8_tokens)).text == "page"
    assert opened("list").read(0, Budget(50, utf8_tokens)).text == "One.\n\nTwo."
    assert opened("list") is opened("list"), "what a source has read is kept from step to step"


@pytest.mark.parametrize("name", ["other", "../secret.txt", "/etc/passwd", "", "https://ada:hunter2@host/x"])
def test_a_name_that_is_not_in_the_mapping_opens_nothing(name: str) -> None:
    with pytest.raises(SourceError, match="'rows'") as raised:
        resolve_sources({"rows": Rows(["row"])})(name)
    assert "hunter2" not in str(raised.value)


def test_a_function_opens_what_it_likes(library: Path) -> None:
    opened = resolve_sources(lambda name: library / "novels" / name)
    assert opened("whale.txt").read(0, Budget(50, utf8_tokens)).text == "Call me Ishmael."
    with pytest.raises(SourceError, match="No such file"):
        opened("missing.txt")


def test_a_path_from_a_function_is_not_checked_anew_at_each_step(library: Path) -> None:
    """The opener is called several times a step; checking reads the whole file."""
    opened = resolve_sources(lambda name: library / "novels" / name)
    assert opened("whale.txt") is opened("whale.txt")


@pytest.mark.parametrize("sources", [None, "."])
def test_paths_by_default(sources: Any) -> None:
    assert isinstance(resolve_sources(sources), Files)


@pytest.mark.parametrize("sources", [5, True, ["book.txt"], 2.5, b"books"], ids=repr)
def test_what_is_no_sources_is_a_settings_error(sources: Any) -> None:
    with pytest.raises(SettingsError, match="sources="):
        resolve_sources(sources)


@pytest.mark.parametrize("root", ["missing", "secret.txt"])
def test_a_folder_that_is_none_is_a_settings_error_when_the_graph_is_built(library: Path, root: str) -> None:
    with pytest.raises(SettingsError, match=root):
        resolve_sources(library.parent / root)


@pytest.mark.parametrize("value", [5, None, 2.5, object()], ids=["int", "none", "float", "object"])
def test_what_is_no_source_is_a_source_error(value: Any) -> None:
    with pytest.raises(SourceError, match="is not a source"):
        as_source(value)


def test_a_mapping_is_no_iterable_of_documents() -> None:
    """Its keys would be read as the text."""
    with pytest.raises(SourceError, match="is not a source"):
        as_source({"page": "The text itself."})


def test_an_open_file_is_read_as_it_is_or_refused(written: Callable[[bytes], Path]) -> None:
    """It is an iterable of lines, which are not documents: a blank line between them is not in the file."""
    with written(b"One.\nTwo.\n").open() as file:
        try:
            chunk = as_source(file).read(0, Budget(50, utf8_tokens))
        except SourceError:
            return
    assert chunk.text == "One.\nTwo.\n"


@pytest.mark.parametrize("value", [Rows, FileSource], ids=["own", "file"])
def test_a_class_is_no_source(value: Any) -> None:
    """The likeliest slip: the class instead of one of it."""
    with pytest.raises(SourceError, match="is not a source"):
        as_source(value)


def test_whole_characters_are_what_regex_says() -> None:
    """The yardstick itself: were it a list of code points, nothing above would show anything."""
    assert whole_characters(FAMILY + "e\u0301\r\n🇫🇷🇩🇪") == [FAMILY, "e\u0301", "\r\n", "🇫🇷", "🇩🇪"]
