"""What a run saves and when, unless somebody chooses otherwise; and how a thread is forgotten."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from mhm_langgraph import ReaderError, SettingsError, create_mhm_agent
from mhm_langgraph.forget import forget_thread
from mhm_langgraph.testing import ScriptedReader
from tests.integration.conftest import document, noting_reader
from tests.integration.test_composition import Host, host
from tests.integration.test_threads import Failing, texts

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
GIVEN: Any = {"question": "?", "document": document(4)}
THREAD: Any = {"configurable": {"thread_id": "1"}}


class SlowSaver(InMemorySaver):
    """A slow disk: a loop that runs ahead of it is seen to."""

    def put(self, *args: Any, **options: Any) -> Any:
        time.sleep(0.01)
        return super().put(*args, **options)


def saved_before_each_call(build: Build, **options: Any) -> list[int]:
    """How many checkpoints are saved as each model call begins."""
    saver = SlowSaver()
    found: list[int] = []

    def update(request: Any) -> str:
        found.append(len(list(saver.list(None))))
        return "fact"

    build(ScriptedReader(update=update), saver).invoke(GIVEN, THREAD, **options)
    return found


Build = Callable[[ScriptedReader, InMemorySaver], Any]


def at_the_top(reader: ScriptedReader, saver: InMemorySaver) -> Any:
    return create_mhm_agent(reader, checkpointer=saver, **SMALL)


def in_a_host(reader: ScriptedReader, saver: InMemorySaver) -> Any:
    return host(create_mhm_agent(reader, **SMALL)).compile(checkpointer=saver)


# The input (in a host: its input too, and its first checkpoint), then three for each step.
@pytest.mark.parametrize(("build", "first"), [(at_the_top, 4), (in_a_host, 6)])
@pytest.mark.parametrize("options", [{}, {"durability": "sync"}])
def test_each_superstep_is_saved_before_the_next_model_call(
    build: Build, first: int, options: dict[str, Any]
) -> None:
    assert saved_before_each_call(build, **options) == [first, first + 3, first + 6, first + 9]


@pytest.mark.parametrize("build", [at_the_top, in_a_host])
def test_a_durability_that_was_chosen_stands(build: Build) -> None:
    assert saved_before_each_call(build, durability="exit") == [0, 0, 0, 0]


@pytest.mark.parametrize("checkpointer", [None, False])
@pytest.mark.parametrize("saver", [None, InMemorySaver()])
def test_where_nothing_is_saved_nothing_is_said_of_it(checkpointer: Any, saver: Any) -> None:
    """LangGraph warns of a durability without a checkpointer, and warnings are errors here."""
    agent = create_mhm_agent(noting_reader(), checkpointer=checkpointer, **SMALL)
    assert agent.invoke(GIVEN)["step"] == 4
    assert host(agent).compile(checkpointer=saver).invoke(GIVEN, THREAD)["answer"]


def test_with_a_checkpointer_of_its_own_in_a_host_that_has_none_nothing_is_said() -> None:
    agent = create_mhm_agent(noting_reader(), checkpointer=InMemorySaver(), **SMALL)
    assert host(agent).compile().invoke(GIVEN, THREAD)["answer"]


@pytest.mark.parametrize("checkpointer", [None, True])
def test_called_inside_a_node_it_goes_on_as_well(checkpointer: Any, database: Any) -> None:
    """The host's node is run once more, and the call in it goes on instead of starting anew."""
    reader = Failing(step=3)
    memory = create_mhm_agent(reader, checkpointer=checkpointer, **SMALL)

    def node(state: Host) -> Any:
        return {"answer": memory.invoke(GIVEN)["answer"]}

    with database() as saver, pytest.raises(ReaderError, match="at step 3"):
        host(node).compile(checkpointer=saver).invoke({"question": "?"}, THREAD)
    with database() as saver:
        out = host(node).compile(checkpointer=saver).invoke(None, THREAD)
    assert [request.step for request in reader.updates] == [0, 1, 2, 3]
    assert out["answer"] == "[0:0-40][3:120-160] | [1:40-80] | [2:80-120]"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file with two threads, one of them a host's, each with a document of its own."""
    path = tmp_path / "memory.sqlite"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        in_a_host(noting_reader(), saver).invoke(given("gone"), config("gone"))
        at_the_top(noting_reader(), saver).invoke(given("kept"), config("kept"))
    return path


def given(word: str) -> Any:
    return {"question": "?", "document": document(4) + f"The {word} word."}


def config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def test_a_forgotten_thread_s_text_is_out_of_the_file(kept: Path) -> None:
    before = kept.stat().st_size
    assert b"The gone word" in kept.read_bytes()
    freed = forget_thread(kept, "gone")
    assert freed == before - kept.stat().st_size > 0
    left = b"".join(path.read_bytes() for path in kept.parent.iterdir())
    assert b"The gone word" not in left
    assert b"The kept word" in left
    with SqliteSaver.from_conn_string(str(kept)) as saver:
        graph = at_the_top(noting_reader(), saver)
        assert len(texts(graph.get_state(config("kept")))) == 3
        assert graph.get_state(config("gone")).values == {}


def test_what_can_not_be_forgotten_is_told(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Not a database, but long enough to be looked at as if it were one.")
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
        other.execute("CREATE TABLE mine (id)")
    for path, thread, words in [
        (tmp_path / "none.sqlite", "gone", "is not there"),
        (tmp_path, "gone", "is not there"),
        (tmp_path / "text.txt", "gone", "is not a SQLite file"),
        (tmp_path / "other.sqlite", "gone", "holds no thread 'gone'"),
        (kept, "unknown", "holds no thread 'unknown'"),
    ]:
        with pytest.raises(SettingsError, match=words):
            forget_thread(path, thread)
    assert not (tmp_path / "none.sqlite").exists()


def test_a_file_in_use_is_left_as_it_is(kept: Path) -> None:
    with SqliteSaver.from_conn_string(str(kept)) as saver:
        graph = in_a_host(noting_reader(), saver)
        before = len(list(graph.get_state_history(config("gone"))))
        with pytest.raises(SettingsError, match="end whatever else uses it"):
            forget_thread(kept, "gone")
        assert len(list(graph.get_state_history(config("gone")))) == before
    assert forget_thread(kept, "gone") > 0
