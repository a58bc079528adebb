"""The life of a memory as plain data, its page and its picture in a terminal."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mhm_langgraph import SettingsError
from mhm_langgraph.inspect import Change, compare, find_phrase, memory_page
from mhm_langgraph.inspect.view import memory_view
from tests.lives import life

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    '<img src=x onerror="window.hacked = 1"> & &lt;b&gt; <!-- <script>',
    "line\u2028separator\u2029paragraph\x00\x1b[2J\r\n",
    "@@script@@ @@data@@ ${window.hacked = 1} `'\"\\",
    "\U0001f433 astral whale \U0001f433 and half of one \ud83d",
]
WORDS = st.text(st.sampled_from("ab c\n\U0001f433鯨。."), max_size=60)


def words(text: str) -> list[str]:
    return re.findall(r"鯨|[^\s鯨]+", text)


# ---- changes


def cut(text: str, edits: list[tuple[int, int]]) -> list[str]:
    """What stands between the edits."""
    marks = [(0, 0), *edits, (len(text), len(text))]
    return [text[before[1] : after[0]] for before, after in pairwise(marks)]


@given(WORDS, WORDS)
def test_between_the_edits_both_texts_hold_the_same_words(before: str, after: str) -> None:
    change = compare(before, after)
    old = cut(before, [(edit[0], edit[1]) for edit in change.edits])
    new = cut(after, [(edit[2], edit[3]) for edit in change.edits])
    assert [words(part) for part in old] == [words(part) for part in new]
    assert 0 <= change.ratio <= 1
    assert (change.ratio == 0) == (not change.edits)


@given(WORDS)
def test_a_text_has_not_changed_from_itself_whatever_its_spaces(text: str) -> None:
    spread = "  " + "\n".join(text.split(" "))
    assert compare(text, spread) == Change(0, 0, 0.0, ())


@pytest.mark.parametrize(
    ("before", "after", "added", "removed", "ratio"),
    [
        ("", "", 0, 0, 0.0),
        ("", "Ahab lost a leg.", 4, 0, 1.0),
        ("Ahab lost a leg.", "", 0, 4, 1.0),
        ("Ahab lost a leg.", "Ahab lost an arm.", 2, 2, 0.5),
        ("鯨は白い", "鯨は黒い", 1, 1, 0.25),
    ],
)
def test_words_are_counted(before: str, after: str, added: int, removed: int, ratio: float) -> None:
    change = compare(before, after)
    assert (change.added, change.removed, change.ratio) == (added, removed, ratio)


def test_words_that_two_sentences_share_by_chance_are_not_told_as_kept() -> None:
    before = "The ship sailed from Nantucket on a cold Christmas day of the year they chose."
    after = "Starbuck was the chief mate and a Quaker by descent, born of the coast so icy."
    assert len(compare(before, after).edits) == 1


def test_what_is_cut_off_the_end_takes_the_space_before_it_along() -> None:
    assert compare("One.\nTwo.", "One.").edits == ((4, 9, 4, 4),)


def test_long_texts_are_compared_through_the_words_they_share() -> None:
    old = [f"word{number}" for number in range(5000)]
    new = [*old[:2000], "and", "more", *old[2500:]]
    change = compare(" ".join(old), " ".join(new))
    assert (change.added, change.removed, len(change.edits)) == (2, 500, 1)


# ---- the model

WHALES = life(
    (0, "Ahab hunts."), (1, "Starbuck is mate."), (0, None), (1, "Stubb is mate."), (0, "Ahab’s\nleg.")
)


def test_the_memory_at_each_update() -> None:
    texts = [[head["text"] for head in WHALES.heads_after(position)] for position in range(5)]
    assert texts == [
        ["Ahab hunts.", ""],
        ["Ahab hunts.", "Starbuck is mate."],
        ["Ahab hunts.", "Starbuck is mate."],
        ["Ahab hunts.", "Stubb is mate."],
        ["Ahab’s\nleg.", "Stubb is mate."],
    ]
    kept = WHALES.heads_after(2)[0]
    assert (kept["updated_at"], kept["span"]) == (2, [0, 10])
    assert tuple(WHALES.heads_after(4)) == WHALES.heads


def test_a_step_is_found_and_one_that_is_not_there_is_refused() -> None:
    assert WHALES.position(3) == 3
    with pytest.raises(
        SettingsError, match=r"step=5 is not a step of thread 'whales': it has steps 0 to 4\."
    ):
        WHALES.position(5)
    with pytest.raises(SettingsError, match="it has taken none"):
        life().position(0)
    thinned = replace(WHALES, updates=WHALES.updates[2:])
    with pytest.raises(SettingsError, match="it has steps 2 to 4, 2 of them not stored"):
        thinned.position(0)


def test_plain_data_survives_json() -> None:
    plain = WHALES.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["updates"][3] | {"at": "", "checkpoint_id": ""} == {
        "step": 3,
        "head": 1,
        "run": 0,
        "span": [30, 40],
        "source": None,
        "before": "Starbuck is mate.",
        "after": "Stubb is mate.",
        "tokens_before": 4,
        "tokens": 3,
        "kept": False,
        "by_hand": False,
        "at": "",
        "checkpoint_id": "",
        "added": 1,
        "removed": 1,
        "changed": 0.3333,
    }


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("starbuck", [(1, 1, True), (3, 1, False)]),
        ("is  mate", [(1, 1, True)]),
        ("ahab's leg.", [(4, 0, True)]),
        ("AHAB", [(0, 0, True)]),
        (".*", []),
        ("  ", []),
        ("Queequeg", []),
    ],
)
def test_when_a_phrase_entered_and_left(phrase: str, expected: list[tuple[int, int, bool]]) -> None:
    found = find_phrase(WHALES, phrase)
    assert [(each.update.step, each.update.head, each.entered) for each in found] == expected


# ---- the page


def part(page: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    assert found
    return found[1]


def data(page: str) -> Any:
    found = re.search(r'<script id="timeline" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def hostile_page() -> str:
    writes = [(index % 2, text) for index, text in enumerate(HOSTILE)]
    return memory_page(life(*writes, thread=HOSTILE[0], source=HOSTILE[1]))


def test_a_page_has_no_markup_but_its_own() -> None:
    page, plain = hostile_page(), memory_page(life((0, "plain")))
    assert page.isascii() or not set(page) & set("\u2028\u2029\x00\x1b")
    assert re.findall(r"<[/!a-zA-Z]", page) == re.findall(r"<[/!a-zA-Z]", plain)
    assert page.encode()


def test_a_page_holds_the_texts_as_they_are() -> None:
    told = data(hostile_page())
    texts = ["\n".join(told["lines"][line] for line in update["text"]) for update in told["updates"]]
    assert texts == HOSTILE
    assert (told["thread"], told["sources"]) == (HOSTILE[0], [HOSTILE[1]])


def test_a_page_allows_its_own_style_and_script_and_nothing_else() -> None:
    page = memory_page(WHALES)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    hashes = [
        "'sha256-" + base64.b64encode(hashlib.sha256(part(page, tag).encode()).digest()).decode() + "'"
        for tag in ("script", "style")
    ]
    assert policy[1].split("; ") == [
        "default-src 'none'",
        f"script-src {hashes[0]}",
        f"style-src {hashes[1]}",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]


def test_a_page_names_no_address_and_uses_no_sink_of_markup() -> None:
    page = memory_page(WHALES)
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {
        "http://www.w3.org/2000/svg"
    }  # a name, not a place
    sinks = r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval|new Function|url\(|@import|fetch\("
    assert not re.search(sinks + r"| src=| href=| style=| on\w+=", page)


def test_a_page_counts_characters_as_javascript_does() -> None:
    timeline = life((0, "\U0001f433 swims"), (0, "\U0001f433 dives"))
    assert data(memory_page(timeline))["updates"][1]["edits"] == [3, 8, 3, 8]
    assert data(memory_page(life((0, "鯨 swims"), (0, "鯨 dives"))))["updates"][1]["edits"] == [2, 7, 2, 7]


def test_a_page_lists_what_heads_share_once() -> None:
    shared = "\n".join(f"A sentence that stays, number {number}." for number in range(50))
    short = memory_page(life((0, shared)))
    long = memory_page(life(*[(0, f"{shared}\nline {step}") for step in range(100)]))
    assert len(long) - len(short) < 100 * 800 < 100 * len(shared)


def test_a_page_opens_where_it_is_asked_to() -> None:
    assert data(memory_page(WHALES))["open"] == 4
    assert data(memory_page(WHALES, start=2))["open"] == 2
    assert data(memory_page(life()))["open"] == -1


def test_the_page_and_the_timeline_need_no_extra() -> None:
    code = (
        "import sys; sys.modules |= dict.fromkeys(['rich', 'typer']); "
        "from mhm_langgraph.inspect import memory_page, memory_timeline"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  # this very Python


# ---- the terminal


def drawn(timeline: Any, width: int = 80, encoding: str = "utf-8", **options: Any) -> list[str]:
    class File(StringIO):
        @property
        def encoding(self) -> str:
            return encoding

    console = Console(file=File(), width=width, color_system=None)
    console.print(memory_view(timeline, **options))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # it is a File


def long_life(steps: int, heads: int = 4) -> Any:
    return life(*[(step % heads, f"Line {step}. " * 20) for step in range(steps)], heads=heads)


def test_a_short_life_is_told_update_by_update() -> None:
    lines = drawn(WHALES)
    assert lines[0] == "Thread whales: 5 steps, 2 heads, 1 run"
    assert "head 0  █  ·  ○  ·  █  " in lines
    assert "head 1  ·  █  ·  ▃  ·  " in lines
    assert any(re.fullmatch(r" *3 +1 +30-40 +33% +\+1 -1 *", line) for line in lines)
    assert any(re.fullmatch(r" *2 +0 +20-30 +0% +\+0 -0 +empty reply *", line) for line in lines)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("timeline", [WHALES, long_life(700), long_life(90, heads=40)])
def test_it_fits_the_terminal(timeline: Any, width: int) -> None:
    assert max(map(len, drawn(timeline, width))) <= width
    assert max(map(len, drawn(timeline, width, position=1, phrase="Line 3."))) <= width


def test_a_long_life_is_told_in_groups_of_steps() -> None:
    lines = drawn(long_life(700))
    assert len(lines) < 60
    assert any("10 updates a column" in line for line in lines)
    assert any(re.fullmatch(r" *50-99 +all +500-1,000 .*", line) for line in lines)


def test_one_step_is_told_in_full() -> None:
    text = "\n".join(drawn(WHALES, position=3, phrase="starbuck"))
    assert "Step 3: head 1 rewritten from 30-40 of the document. 4 to 3 tokens" in text
    assert "[-Starbuck-] {+Stubb+} is mate." in text
    assert "+ step 1: came into head 1" in text
    assert "- step 3: went from head 1" in text
    assert "Heads after step 3" in text
    assert "was never in memory" in "\n".join(drawn(WHALES, phrase="Queequeg"))


def test_a_narrow_encoding_gets_plain_signs() -> None:
    lines = drawn(WHALES, encoding="ascii")
    assert "head 1  .  8  .  3  .  " in lines


def test_texts_do_not_steer_the_terminal() -> None:
    writes = [(index % 2, text) for index, text in enumerate(HOSTILE)]
    timeline = life(*writes, thread="a\x1b[2Jb", source="c\x1b[2Jd[bold]e")
    for options in ({}, {"position": 2}, {"phrase": "\x1b[2J"}):
        assert "\x1b" not in "\n".join(drawn(timeline, **options))


def test_more_runs_than_fit_are_counted() -> None:
    runs = [
        replace(WHALES.runs[0], question=f"Question {number}?", finished=number < 7) for number in range(8)
    ]
    text = "\n".join(drawn(replace(WHALES, runs=tuple(runs))))
    assert "(3 earlier runs)" in text
    assert "Question 2?" not in text
    assert "not finished" in text
