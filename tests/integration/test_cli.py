"""The command line as its users meet it: real files, a real database, real signals."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from mhm_langgraph import cli, create_mhm_agent
from mhm_langgraph.cli import ask
from mhm_langgraph.testing import ScriptedReader
from tests.integration.conftest import document
from tests.integration.model_server import HANGS, Behaviour, ModelServer, refuses

QUESTION = "What did Ahab nail to the mast?"
QUOTE = "“Ahab nailed a doubloon to the mast.”"
SMALL = ["--heads", "3", "--chunk-tokens", "10", "--head-tokens", "40"]
PROGRAM = [sys.executable, "-m", "mhm_langgraph.cli"]


@dataclass(frozen=True)
class Result:
    """What a run of the program leaves behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Mhm = Callable[..., Result]


@pytest.fixture
def mhm(capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mhm:
    """Runs the command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str, stdin: bytes = b"", reader: ScriptedReader | None = None) -> Result:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            if reader is not None:
                patch.setattr(ask, "create_mhm_agent", lambda model, **rest: create_mhm_agent(reader, **rest))
            code = cli.main(["ask", *args])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def book(tmp_path: Path) -> str:
    """A text of several chunks, one of which holds the answer."""
    before, after = document(3), document(2)
    (tmp_path / "book.txt").write_text(f"{before}Ahab nailed a doubloon to the mast.\n\n{after}")
    return "book.txt"


def assert_refused(result: Result, *fragments: str, code: int = 2) -> None:
    """One line that says why, and nothing else."""
    assert result.code == code
    assert result.out == ""
    assert re.fullmatch(r"mhm: [^\n]+\n", result.err), result.err
    for fragment in fragments:
        assert fragment in result.err


# What it prints, and where


def test_the_answer_goes_to_standard_output_and_all_else_to_standard_error(book: str, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603  # our own program
        [*PROGRAM, "ask", book, "-q", QUESTION, *SMALL],
        cwd=tmp_path,
        env={**os.environ, "FORCE_COLOR": "1"},  # as CI sets it
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{QUOTE}\n"
    reader, summary = done.stderr.splitlines()
    assert "not a language model" in reader
    assert re.fullmatch(r"Read 6 chunks, \d+ tokens, in [\d.]+ s\..*", summary)
    assert "\x1b" not in done.stderr


def test_json_is_one_document_with_answer_heads_spans_usage_and_step(mhm: Mhm, book: str) -> None:
    done = mhm(book, "-q", QUESTION, "--json", *SMALL)
    assert done.code == 0
    assert set(done.json) == {"answer", "heads", "usage", "step"}
    assert done.json["answer"] == QUOTE
    assert done.json["step"] == 6
    assert [head["updated_at"] for head in done.json["heads"]] == [3, 4, 5]
    assert done.json["heads"][0] | {"span": [120, 157], "source": book, "tokens": 9} == done.json["heads"][0]
    assert done.json["usage"] == {"input_tokens": 0, "output_tokens": 0, "calls": 0}


def test_verbose_prints_a_line_an_event(mhm: Mhm, book: str) -> None:
    lines = mhm(book, "-q", QUESTION, "--verbose", *SMALL).err.splitlines()
    assert sum(line.startswith("step ") for line in lines) == 7
    assert "step 3: head 0 from 0 to 9 tokens, chunk 120-157 of book.txt (10 tokens), 66% read" in lines
    assert any(line.startswith("step 6: answered by extractive") for line in lines)


def test_without_a_question_the_heads_are_shown_and_nothing_is_answered(mhm: Mhm, book: str) -> None:
    done = mhm(book, *SMALL)
    assert (done.code, done.out) == (0, "")
    assert re.search(r"head +step +span +tokens +text", done.err)
    assert re.search(r"0 +3 +120-157 +\d+ +\S+", done.err)
    assert "\x1b" not in done.err
    assert mhm(book, "--json", *SMALL).json["answer"] is None


def test_what_a_text_holds_can_not_steer_the_terminal(mhm: Mhm, tmp_path: Path) -> None:
    (tmp_path / "evil.txt").write_text("The mast \x1b]0;pwned\x07 is \x1b[2J red.")
    done = mhm("evil.txt", "-q", "What about the mast?", "--verbose")
    assert "mast" in done.out
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", done.out + done.err + mhm("evil.txt").err)


def test_on_a_terminal_progress_and_heads_are_drawn_and_the_answer_stays_plain(
    book: str, tmp_path: Path
) -> None:
    ours, its = pty.openpty()
    program = subprocess.Popen(  # noqa: S603  # our own program
        [*PROGRAM, "ask", book, "-q", QUESTION, *SMALL],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
        stdout=subprocess.PIPE,
        stderr=its,
    )
    os.close(its)
    drawn = _read_terminal(ours)
    out = program.communicate(timeout=30)[0]
    assert out.decode() == f"{QUOTE}\n"
    assert "\x1b[" in drawn
    seen = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", drawn)
    assert "━" in seen
    assert re.search(r"head +step +span +tokens +text", seen)
    assert re.search(r"0 +3 +120-157 +\d+ +Ahab nailed a doubloon", seen)
    assert seen.rstrip().splitlines()[-1].startswith("Read 6 chunks")


def _read_terminal(descriptor: int) -> str:
    """All that a program writes to its terminal, until it closes it."""
    pieces = []
    try:
        while piece := os.read(descriptor, 1 << 16):
            pieces.append(piece)
    except OSError:  # how Linux tells that the other end is closed
        pass
    finally:
        os.close(descriptor)
    return b"".join(pieces).decode()


def test_gates_are_options_and_the_summary_tells_what_they_did(mhm: Mhm, book: str) -> None:
    gated = mhm(book, "-q", QUESTION, *SMALL, "--update-gate", "--exit-gate", "--verbose")
    assert QUOTE in gated.out
    assert "nothing for the question" in gated.err
    assert "memory suffices" in gated.err
    assert re.search(
        r"3 chunks held nothing for the question. Memory sufficed after \d\d%: the rest", gated.err
    )
    assert "held nothing" not in mhm(book, "-q", QUESTION, *SMALL).err


def test_json_tells_what_the_exit_gate_left_unread(mhm: Mhm, book: str) -> None:
    done = mhm(book, "-q", QUESTION, "--json", *SMALL, "--exit-gate").json
    assert set(done) == {"answer", "heads", "usage", "step", "exited"}
    assert 0 < done["exited"]["read"] < done["exited"]["total"]


def test_help_and_version(mhm: Mhm, capsys: Any) -> None:
    assert re.fullmatch(r"mhm \d+\.\d+\.\d+\n", _main(capsys, "--version").out)
    options = mhm("--help").out
    for option in ("--question", "--base-url", "--answer-tokens", "--token-counter", "--resume", "--json"):
        assert option in options
    assert "\x1b" not in options
    bare = _main(capsys)
    assert (bare.code, bare.out) == (2, "")
    assert "Commands:" in bare.err


def _main(capsys: Any, *args: str) -> Result:
    return Result(cli.main(args), *capsys.readouterr())


# Where the text comes from


def test_several_sources_are_read_one_after_the_other_into_one_memory(mhm: Mhm, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(document(2))
    reader = ScriptedReader()
    done = mhm("a.txt", "b.txt", "-q", "?", "--json", *SMALL, reader=reader)
    heads = [(head["source"], head["span"]) for head in done.json["heads"]]
    assert heads == [("b.txt", [40, 80]), ("a.txt", [40, 80]), ("b.txt", [0, 40])]
    assert done.json["usage"]["calls"] == 5


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_standard_input_alone(mhm: Mhm, bom: bytes) -> None:
    done = mhm("-", "-q", QUESTION, "--json", stdin=bom + b"Ahab nailed a doubloon to the mast.")
    assert done.json["answer"] == QUOTE
    assert done.json["heads"][0] | {"source": None, "span": [0, 35]} == done.json["heads"][0]


def test_standard_input_between_files(mhm: Mhm, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("First.")
    (tmp_path / "b.txt").write_text("Third.")
    reader = ScriptedReader()
    done = mhm("a.txt", "-", "b.txt", "--json", stdin=b"Second.", reader=reader)
    assert [request.chunk for request in reader.updates] == ["First.", "Second.", "Third."]
    assert [head["source"] for head in done.json["heads"]] == ["a.txt", "-", "b.txt", None]


# A thread is a memory


def test_a_thread_lasts_and_goes_on_with_questions_and_sources(mhm: Mhm, book: str, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("Ishmael alone survived the wreck.")
    kept = ["--db", "memory.sqlite", *SMALL]
    assert mhm(book, *kept).code == 0
    asked = mhm("-q", QUESTION, "--json", *kept)
    assert (asked.json["answer"], asked.json["step"]) == (QUOTE, 6)
    read = mhm("more.txt", "-q", "Who survived the wreck?", "--json", *kept)
    assert (read.json["answer"], read.json["step"]) == ("“Ishmael alone survived the wreck.”", 7)
    assert "has no memory yet" in mhm("-q", "?", "--thread", "other", *kept).err


@pytest.mark.parametrize(("how", "given"), [(signal.SIGINT, "a file"), (signal.SIGKILL, "standard input")])
def test_a_stopped_run_goes_on_with_the_same_command_and_resume(
    mhm: Mhm, tmp_path: Path, how: signal.Signals, given: str
) -> None:
    text = document(6)
    (tmp_path / "long.txt").write_text(text)
    sources, stdin = (["long.txt"], b"") if given == "a file" else (["-"], text.encode())
    command = [*sources, "-q", "?", *SMALL, "--json"]
    kept = [*command, "--db", "memory.sqlite"]
    undisturbed = mhm(*command, stdin=stdin, reader=ScriptedReader()).json

    stopped, seconds = _stop_at_step_3(tmp_path, kept, stdin, how)
    assert stopped.out == ""
    if how == signal.SIGINT:
        assert stopped.code == 130
        assert seconds < 5  # though its model call would take a minute
        assert stopped.err.splitlines()[-1].startswith("mhm: stopped after 3 chunks, ")
        assert "The same command with --resume goes on" in stopped.err
        assert "Traceback" not in stopped.err

    assert_refused(mhm(*kept, stdin=stdin), "--resume", "another --thread")
    assert_refused(mhm("-q", "else?", "--db", "memory.sqlite", "--resume"), "'?'", "'else?'")
    assert_refused(mhm("other.txt", "--db", "memory.sqlite", "--resume"), sources[0], "other.txt")
    reader = ScriptedReader()
    resumed = mhm(*kept, "--resume", reader=reader)  # standard input is not needed again
    assert [request.step for request in reader.updates] == [3, 4, 5]
    assert resumed.json == undisturbed
    assert_refused(mhm(*kept, "--resume"), "nothing to resume")


_BLOCKING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background
from mhm_langgraph import cli
from mhm_langgraph.cli import ask
from mhm_langgraph.testing import ScriptedReader

class Blocking(ScriptedReader):
    def update(self, request):
        if request.step == 3:
            print("blocked", file=sys.stderr, flush=True)
            time.sleep(60)
        return super().update(request)

make = ask.create_mhm_agent
ask.create_mhm_agent = lambda model, **options: make(Blocking(), **options)
sys.exit(cli.main())
"""


def _stop_at_step_3(folder: Path, args: list[str], stdin: bytes, how: signal.Signals) -> tuple[Result, float]:
    """Stop the real program by a signal in the middle of a model call; also the seconds it took."""
    program = subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-c", _BLOCKING, "ask", *args],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdin is not None
    assert program.stderr is not None
    program.stdin.write(stdin)
    program.stdin.close()
    program.stdin = None
    while program.stderr.readline() not in (b"blocked\n", b""):
        pass
    program.send_signal(how)
    sent = time.monotonic()
    out, err = program.communicate(timeout=50)
    return Result(program.returncode, out.decode(), err.decode()), time.monotonic() - sent


def test_a_run_that_failed_before_it_began_does_not_block_its_thread(mhm: Mhm, book: str) -> None:
    assert_refused(mhm("bok.txt", "-q", QUESTION, "--db", "memory.sqlite"), "bok.txt", "No such file")
    assert mhm(book, "-q", QUESTION, "--db", "memory.sqlite").out == f"{QUOTE}\n"


class Failing(ScriptedReader):
    """Fails once, at step 2."""

    failed = False

    def update(self, request: Any) -> Any:
        if request.step == 2 and not self.failed:
            self.failed = True
            raise ConnectionError("the server\nsaid no")
        return super().update(request)


def test_a_reader_that_fails_is_one_line_and_exit_code_1(mhm: Mhm, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text(document(4))
    command, reader = ["long.txt", "-q", "?", "--db", "memory.sqlite", *SMALL], Failing()
    failed = mhm(*command, reader=reader)
    assert failed.err.count("Reader: ") == 1  # the one line before it
    line = failed.err.splitlines()[-1]
    assert re.match(r"mhm: .* at step 2, .*ConnectionError: the server said no\. .*--resume goes on", line)
    assert "invoke(" not in line
    assert (failed.code, failed.out, "Traceback" in failed.err) == (1, "", False)
    assert mhm(*command, "--resume", reader=reader).out == "an answer\n"
    assert "Nothing of it is kept" in mhm("long.txt", *SMALL, reader=Failing()).err


@pytest.mark.real_model_requests
@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize(
    ("failure", "options", "calls", "reason"),
    [
        (refuses(503), ["--max-retries", "2"], 3, "It was tried 3 times"),
        (HANGS, ["--max-retries", "0", "--call-timeout", "0.2"], 1, "time"),
    ],
    ids=["max-retries", "call-timeout"],
)
def test_how_long_a_model_is_waited_for_can_be_said(
    mhm: Mhm, book: str, pauses: list[float], failure: Behaviour, options: list[str], calls: int, reason: str
) -> None:
    """The sentences of a failing model name both settings: they are options too."""
    with ModelServer() as server:
        server.always = failure
        model = ["--model", "openai:test", "--base-url", server.url]
        failed = mhm(book, "-q", QUESTION, *model, *options, *SMALL)
        assert len(server.journal) == calls
    assert_refused(failed, reason, code=1)


@pytest.mark.parametrize("checkpoint", range(2, 9))
def test_a_database_that_fails_at_any_checkpoint_is_one_line_and_the_run_goes_on(
    mhm: Mhm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: int
) -> None:
    (tmp_path / "long.txt").write_text(document(2))
    command, put, calls = ["long.txt", "-q", "?", "--db", "memory.sqlite", *SMALL], SqliteSaver.put, []

    def full(saver: SqliteSaver, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == checkpoint:
            raise sqlite3.OperationalError("database or disk is full")
        return put(saver, *args)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteSaver, "put", full)
        failed = mhm(*command, reader=ScriptedReader())
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.splitlines()[-1].startswith("mhm: --db memory.sqlite failed: database or disk is full.")
    if checkpoint > 2:  # the reading had begun, so it is not given up unasked
        assert_refused(mhm(*command), "--resume", "another --thread")
    assert mhm(*command, "--resume", reader=ScriptedReader()).out == "an answer\n"


# What a user can get wrong


@pytest.mark.parametrize(
    ("args", "fragments"),
    [
        ([], ["nothing to do", "SOURCE", "-q"]),
        (["-q", "?"], ["thread's memory", "--db FILE"]),
        (["missing.txt"], ["missing.txt can not be read: No such file"]),
        (["."], ["is a folder"]),
        (["empty.txt"], ["empty.txt is empty"]),
        (["https://example.org/book.txt"], ["is an address, not a file"]),
        (["-"], ["standard input is empty"]),
        (["-", "-"], ["- is given twice"]),
        (["book.txt", "-", "--db", "m.sqlite"], ["could not be resumed"]),
        (["book.txt", "-q", " "], ["question=' ' is not allowed"]),
        (["book.txt", "--heads", "0"], ["heads=0 is not allowed"]),
        (["book.txt", "--heads", "many"], ["--heads", "mhm ask --help"]),
        (["book.txt", "--selector", "best"], ["selector='best'", "'relevance'"]),
        (["book.txt", "--prompts", "loud"], ["prompts='loud'", "'compact'"]),
        (["book.txt", "--token-counter", "abacus"], ["'abacus'", "tiktoken"]),
        (["book.txt", "--model", "gpt"], ["model='gpt'", "provider:model"]),
        (["book.txt", "--base-url", "http://localhost"], ["base_url"]),
        (["book.txt", "--loud"], ["--loud", "mhm ask --help"]),
        (["book.txt", "-q"], ["-q", "--help"]),
        (["book.txt", "--resume"], ["--resume needs --db FILE"]),
        (["book.txt", "--thread", "a"], ["--thread a needs --db FILE"]),
        (["-q", "?", "--db", "none.sqlite"], ["--db none.sqlite does not exist"]),
        (["--resume", "--db", "none.sqlite"], ["--db none.sqlite does not exist"]),
        (["book.txt", "--db", "book.txt"], ["--db book.txt can not be used: file is not a database"]),
        (["book.txt", "--db", "no/folder.sqlite"], ["--db no/folder.sqlite can not be opened"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    mhm: Mhm, book: str, tmp_path: Path, args: list[str], fragments: list[str]
) -> None:
    (tmp_path / "empty.txt").touch()
    assert_refused(mhm(*args), *fragments)
    assert not list(tmp_path.glob("none.sqlite*"))


def test_standard_input_that_is_not_text_is_refused(mhm: Mhm) -> None:
    assert_refused(mhm("-", stdin=b"caf\xe9"), "standard input is not UTF-8 text (byte 3)")


def test_another_number_of_heads_on_a_thread_is_refused_and_does_not_block_it(mhm: Mhm, book: str) -> None:
    kept = [book, "--db", "memory.sqlite", "--heads"]
    assert mhm(*kept, "2").code == 0
    assert_refused(mhm(*kept, "5"), "heads=5", "this thread's memory has 2 heads")
    assert mhm(*kept, "2").code == 0


def test_auto_chooses_the_heads_of_a_new_thread_and_keeps_them(mhm: Mhm, book: str) -> None:
    small = ["--heads", "auto", "--chunk-tokens", "10", "--json", "--db", "m.sqlite"]
    assert len(mhm(book, *small).json["heads"]) == 4
    Path("longer.txt").write_text("A longer story. " * 50)
    assert len(mhm("longer.txt", *small).json["heads"]) == 4
    assert len(mhm("longer.txt", *small, "--thread", "other").json["heads"]) == 8
    assert len(mhm("longer.txt", *small, "--thread", "third", "--memory-tokens", "600").json["heads"]) == 2
    assert_refused(mhm(book, "--heads", "auto", "--head-tokens", "99"), "head_tokens=99", "memory_tokens")


def test_an_unknown_command_is_one_line(capsys: Any) -> None:
    assert_refused(_main(capsys, "aks"), "'aks'", "mhm --help")


def test_a_thread_can_be_forgotten(mhm: Mhm, book: str, capsys: Any) -> None:
    mhm(book, "--db", "memory.sqlite", "--thread", "one")
    forgotten = _main(capsys, "forget", "--db", "memory.sqlite", "--thread", "one")
    assert (forgotten.code, forgotten.out) == (0, "")
    assert "forgot thread one" in forgotten.err
    again = _main(capsys, "forget", "--db", "memory.sqlite", "--thread", "one")
    assert_refused(again, "one")
    assert_refused(mhm("-q", "?", "--db", "memory.sqlite", "--thread", "one"), "no memory yet")


def test_a_missing_extra_is_named(mhm: Mhm, book: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mhm(book, "--db", "kept.sqlite")
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.sqlite", None)
    named = 'pip install "mhm-langgraph[sqlite]"'
    assert_refused(mhm(book, "--db", "m.sqlite"), named)
    assert_refused(_main(capsys, "inspect", "--db", "kept.sqlite"), named)
    assert_refused(_main(capsys, "forget", "--db", "kept.sqlite", "--thread", "default"), named)
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", _WITHOUT_EXTRA], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (4, "")
    line = 'mhm: the command line needs its extra: pip install "mhm-langgraph[cli]"\n'
    assert done.stderr == 2 * line


_WITHOUT_EXTRA = """
import sys
codes = 0
for package in ("rich", "typer"):
    sys.modules[package] = None
    from mhm_langgraph.cli import main
    codes += main()
sys.exit(codes)
"""


# What goes beyond the paper


def test_recall_answers_from_what_the_heads_have_lost(mhm: Mhm, book: str) -> None:
    reader = ScriptedReader(
        update=lambda request: request.chunk.strip(), answer=lambda request: "".join(request.recalled)
    )
    small = ("--heads", "1", "--chunk-tokens", "10", "--head-tokens", "40")
    assert mhm(book, "-q", QUESTION, *small, reader=reader).out == "\n"
    done = mhm(
        book, "-q", QUESTION, *small, "--recall", "1", "--recall-tokens", "30", "--verbose", reader=reader
    )
    assert "doubloon" in done.out
    assert ", 1 text recalled" in done.err
    mhm(book, "-q", QUESTION, *small, "--recall", "1", "--recall-updates", reader=reader)
    assert any(request.recalled for request in reader.updates)
    assert_refused(mhm(book, "--recall", "65"), "recall=65", "64")


def test_grounding_tells_of_what_the_text_does_not_say(mhm: Mhm, book: str) -> None:
    reader = ScriptedReader(update="Ahab nailed it. Flask nailed 99 ducats.")
    options = ("-q", QUESTION, *SMALL, "--grounding", "reject", "--grounding-rule", "names", "--verbose")
    done = mhm(book, *options, "--json", reader=reader)
    assert {head["text"] for head in done.json["heads"]} == {"Ahab nailed it."}
    assert ", 1 sentence unsupported" in done.err
    assert "6 sentences of replies not supported by the text." in done.err
    assert_refused(mhm(book, "--grounding", "drop"), "grounding='drop'", "'reject'")
