"""The state's reducers: the only ways in which a head or the document can change."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.errors import InvalidUpdateError
from pydantic import TypeAdapter

from mhm_langgraph import HeadError, MHMInput, MHMOutput, MHMState
from mhm_langgraph.selection import Turn, lru
from mhm_langgraph.state import (
    Head,
    Reading,
    Usage,
    add_usage,
    empty_heads,
    keep_document,
    no_usage,
    selected_head,
    write_heads,
)
from mhm_langgraph.text import fingerprint

from .texts import texts

SIZES = [1, 2, 4, 7]


def write(head: Any, step: Any = 0, **values: Any) -> dict[str, Any]:
    return {"head": head, "step": step, **values}


def written(heads: list[Head], head: int, step: int, text: str) -> list[Head]:
    """One turn: select, then write."""
    heads = write_heads(heads, {"select": head})
    return write_heads(heads, write(head, step, text=text, tokens=len(text), span=[step, step + 1]))


def test_a_memory_starts_empty() -> None:
    heads = empty_heads(3)
    assert len({id(head) for head in heads}) == 3
    assert all(
        head == {"text": "", "updated_at": -1, "span": None, "source": None, "tokens": 0, "selected": False}
        for head in heads
    )


@given(st.data(), st.sampled_from(SIZES))
def test_no_run_of_selections_and_writes_touches_another_head(data: st.DataObject, size: int) -> None:
    """The reducer as a referee: whatever is sent, a head that is not selected stays the same object."""
    heads = empty_heads(size)
    index = st.integers(-1, size)
    for step in range(data.draw(st.integers(1, 12))):
        update = data.draw(
            st.builds(lambda i: {"select": i}, index)
            | st.builds(write, index, st.just(step), text=texts, tokens=st.just(1))
            | st.builds(write, index, st.just(step))
        )
        before, objects = copy.deepcopy(heads), list(heads)
        chosen = next((i for i, head in enumerate(heads) if head["selected"]), None)
        target = update.get("select", update.get("head"))
        allowed = 0 <= target < size and ("select" in update or target == chosen)
        if not allowed:
            with pytest.raises(HeadError):
                write_heads(heads, update)
            assert heads == before, "a refused write changes nothing"
            continue
        after = write_heads(heads, update)
        assert heads == before, "the old memory stays as it was: a checkpoint may hold it"
        touched = {target} | ({chosen} - {None} if "select" in update else set())
        for i in range(size):
            if i not in touched:
                assert after[i] is objects[i]
            if "select" in update:
                assert {**after[i], "selected": 0} == {**before[i], "selected": 0}, "selecting writes nothing"
        assert sum(head["selected"] for head in after) == ("select" in update)
        heads = after


@given(st.integers(1, 9), st.lists(texts, max_size=40))
def test_lru_uses_heads_evenly_however_long_it_runs(size: int, replies: list[str]) -> None:
    heads, turns = empty_heads(size), [0] * size
    for step, text in enumerate(replies):
        chosen = lru(Turn(heads, step, None, [0, 1], str))
        assert chosen == step % size, "from all empty on, ties to the lowest index: round and round"
        others = [head for index, head in enumerate(heads) if index != chosen]
        heads = written(heads, chosen, step, text)
        assert [head for index, head in enumerate(heads) if index != chosen] == others
        turns[chosen] += 1
        assert max(turns) - min(turns) <= 1
    assert [head["updated_at"] for head in heads] == [
        max((step for step in range(len(replies)) if step % size == index), default=-1)
        for index in range(size)
    ]


def test_a_write_sets_the_head_and_takes_the_mark_off() -> None:
    heads = written(empty_heads(2), 1, 7, "Ahab")
    assert heads[1] == {
        "text": "Ahab",
        "updated_at": 7,
        "span": [7, 8],
        "source": None,
        "tokens": 4,
        "selected": False,
    }


def test_a_turn_without_text_keeps_the_text_and_counts() -> None:
    """Contract 9: the rotation goes on, and the head keeps what it holds."""
    heads = written(empty_heads(2), 0, 0, "Ahab")
    heads = write_heads(write_heads(heads, {"select": 0}), write(0, 2))
    assert heads[0] == {**written(empty_heads(2), 0, 0, "Ahab")[0], "updated_at": 2}


def test_an_empty_text_that_is_meant_is_written() -> None:
    heads = written(empty_heads(1), 0, 0, "Ahab")
    assert written(heads, 0, 1, "")[0]["text"] == ""


def test_a_head_can_not_be_written_twice_in_a_step() -> None:
    heads = written(empty_heads(2), 0, 0, "first")
    with pytest.raises(HeadError, match="not selected at step 0"):
        write_heads(heads, write(0, 0, text="second", tokens=1))


def test_selecting_twice_in_a_step_does_not_let_a_head_be_written_twice() -> None:
    heads = write_heads(written(empty_heads(2), 0, 3, "first"), {"select": 0})
    with pytest.raises(HeadError):
        write_heads(heads, write(0, 3, text="second", tokens=1))


def test_selecting_another_head_takes_the_mark_off_the_first() -> None:
    heads = write_heads(write_heads(empty_heads(3), {"select": 0}), {"select": 2})
    assert selected_head(heads) == 2
    with pytest.raises(HeadError):
        write_heads(heads, write(0, 0, text="text", tokens=1))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "index",
    [-1, -4, 7, 10**6, True, False, "0", 0.0, None, [[0]], float("nan")],
    ids=["-1", "-4", "7", "million", "true", "false", "text", "float", "none", "list", "nan"],
)
@pytest.mark.parametrize("key", ["select", "head"])
def test_an_index_that_is_none_is_refused(size: int, index: Any, key: str) -> None:
    heads = write_heads(empty_heads(size), {"select": 0})
    with pytest.raises(HeadError, match="no head"):
        write_heads(heads, {"select": index} if key == "select" else write(index, text="text"))


@pytest.mark.parametrize(
    "junk",
    [
        None,
        "text",
        5,
        [],
        [{"text": "a whole memory"}],
        {},
        {"text": "no index"},
        {"head": 0},
        {"step": 0},
        {"selected": 0},
        (write(0, text="a"),),
    ],
    ids=str,
)
def test_junk_is_refused_and_the_way_out_named(junk: Any) -> None:
    heads = write_heads(empty_heads(2), {"select": 0})
    with pytest.raises(HeadError, match="Overwrite"):
        write_heads(heads, junk)


@pytest.mark.parametrize(
    "wrong",
    [
        write(0, "0"),
        write(0, True),
        write(0, -2),
        write(0, None),
        write(0, 1.5),
        write(0, text=None, tokens=0),
        write(0, text=5, tokens=0),
        write(0, text=["Ahab"], tokens=1),
        write(0, text="Ahab", tokens="1"),
        write(0, text="Ahab", tokens=-1),
        write(0, text="Ahab", tokens=1, span="0-1"),
        write(0, text="Ahab", tokens=1, span=[0]),
        write(0, text="Ahab", tokens=1, source=5),
    ],
    ids=str,
)
def test_a_write_of_wrong_values_is_refused(wrong: dict[str, Any]) -> None:
    """A head of another shape would break the next step, or every reader of the thread, far from here."""
    with pytest.raises(HeadError):
        write_heads(write_heads(empty_heads(2), {"select": 0}), wrong)


def test_a_write_can_not_bring_along_what_no_head_has() -> None:
    heads = write_heads(empty_heads(2), {"select": 0})
    after = write_heads(heads, write(0, text="Ahab", tokens=1, selected=True, updated_at=99, other="x"))
    assert after[0].keys() == empty_heads(1)[0].keys()
    assert (after[0]["selected"], after[0]["updated_at"]) == (False, 0)


def test_only_an_empty_memory_takes_a_list() -> None:
    heads = empty_heads(2)
    assert write_heads([], heads) == heads
    with pytest.raises(HeadError):
        write_heads(heads, empty_heads(2))


@pytest.mark.parametrize("junk", [["junk"], [{}], [{"text": "Ahab"}], [5, None]], ids=str)
def test_a_first_memory_of_anything_but_heads_is_refused(junk: list[Any]) -> None:
    with pytest.raises(HeadError):
        write_heads([], junk)


@pytest.mark.parametrize("update", [{"select": 0}, write(0, text="text")], ids=["select", "write"])
def test_a_thread_without_memory_has_no_heads_to_write(update: dict[str, Any]) -> None:
    with pytest.raises(HeadError, match="no head"):
        write_heads([], update)


def test_langgraph_knows_the_error_as_its_own() -> None:
    with pytest.raises(InvalidUpdateError):
        write_heads(empty_heads(2), write(0, text="text"))


def test_no_head_is_selected_before_one_is() -> None:
    with pytest.raises(HeadError, match="select_head"):
        selected_head(empty_heads(2))
    assert selected_head(write_heads(empty_heads(2), {"select": 1})) == 1


# The document.


@given(texts, st.lists(texts | st.none(), max_size=4))
def test_the_last_document_stands(text: str, earlier: list[str | None]) -> None:
    assert keep_document({}, [*earlier, text]) == {"text": text, "fingerprint": fingerprint(text)}


def test_a_document_is_taken_away_or_kept() -> None:
    held = keep_document({}, ["Some text."])
    assert keep_document(held, [None]) == {}
    assert keep_document(held, []) is held
    assert keep_document({}, [held]) == held, "as it comes back from a checkpoint"
    assert keep_document(held, ["Other.", held]) == held


# Usage.

usages = st.builds(
    lambda sent, received, calls: Usage(input_tokens=sent, output_tokens=received, calls=calls),
    *[st.integers(0, 10**9)] * 3,
)


@given(usages, usages, usages)
def test_usage_adds_up(a: Usage, b: Usage, c: Usage) -> None:
    assert add_usage(a, b) == {key: a[key] + b[key] for key in a}
    assert add_usage(a, add_usage(b, c)) == add_usage(add_usage(a, b), c)
    assert add_usage(a, no_usage()) == a


# What Studio shows.


@pytest.mark.parametrize("schema", [MHMInput, MHMOutput, MHMState, Head, Reading, Usage])
def test_every_field_has_a_line_and_a_schema(schema: Any) -> None:
    body = ast.parse(textwrap.dedent(inspect.getsource(schema))).body[0].body[1:]
    fields = [node for node in body if isinstance(node, ast.AnnAssign)]
    lines = [body[body.index(node) + 1] for node in fields]
    assert [node.target.id for node in fields] == list(schema.__annotations__)
    assert all(isinstance(line, ast.Expr) and isinstance(line.value.value, str) for line in lines)
    if schema is not MHMState:
        assert TypeAdapter(schema).json_schema()["properties"].keys() == schema.__annotations__.keys()


@pytest.mark.parametrize("schema", [MHMInput, MHMOutput])
def test_studio_shows_a_description_of_what_goes_in_and_out(schema: Any) -> None:
    for name, shown in TypeAdapter(schema).json_schema()["properties"].items():
        assert shown.get("description"), f"{name} is not described"


# Rounds and gates.


def test_a_round_selects_several_heads_and_writes_each_once() -> None:
    heads = write_heads(empty_heads(4), {"select": [2, 0]})
    assert [head["selected"] for head in heads] == [True, False, True, False]
    after = write_heads(heads, [write(2, 0, text="a", tokens=1), write(0, 1, text="b", tokens=1)])
    assert [head["text"] for head in after] == ["b", "", "a", ""]
    assert [head["updated_at"] for head in after] == [1, -1, 0, -1]
    assert not any(head["selected"] for head in after)
    assert after[1] is heads[1]
    assert after == write_heads(heads, [write(0, 1, text="b", tokens=1), write(2, 0, text="a", tokens=1)])


@pytest.mark.parametrize("other", [1, 2, 3, 4, -1])
def test_a_round_writes_no_head_twice_and_no_other(other: int) -> None:
    heads = write_heads(empty_heads(4), {"select": [2, 0]})
    with pytest.raises(HeadError):
        write_heads(heads, [write(2, 0, text="a", tokens=1), write(other, 1, text="b", tokens=1)])
    assert heads == write_heads(empty_heads(4), {"select": [2, 0]})


@pytest.mark.parametrize("wrong", [[0, 4], [True], ["0"], [], [0, 0]])
def test_what_is_no_choice_of_heads_is_refused(wrong: Any) -> None:
    with pytest.raises(HeadError):
        write_heads(empty_heads(4), {"select": wrong})


def test_a_turn_can_be_given_back() -> None:
    before = written(empty_heads(2), 0, 3, "Ahab")
    after = write_heads(write_heads(before, {"select": 0}), {"release": 0})
    assert after == before
    for index in (0, 1, 2, "0", True):
        with pytest.raises(HeadError):
            write_heads(after, {"release": index})
