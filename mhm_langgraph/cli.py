"""The command line: `mhm ask SOURCE -q QUESTION`. The answer goes to standard output, all else does not."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any, NoReturn, cast

from langchain_core.runnables import RunnableConfig

from mhm_langgraph import (
    MHMError,
    MHMGraph,
    ReaderError,
    Settings,
    SettingsError,
    Source,
    SourceError,
    create_mhm_agent,
)
from mhm_langgraph.readers import resolve_reader
from mhm_langgraph.sources import Files, InlineSource

try:
    import typer
    from typer import Argument, Option

    from mhm_langgraph.display import Watch, one_line, printable
    from mhm_langgraph.inspect.command import inspect_command
except ModuleNotFoundError as error:
    if error.name not in ("typer", "rich"):
        raise
    typer = None  # type: ignore[assignment]  # main() says what to install

__all__ = ["main"]

_STDIN = "-"
_SHOWN = ["heads", "step", "usage", "answer", "span"]  # not the document, at every step
_FAILED, _MISTAKE, _INTERRUPTED = 1, 2, 130
_DEFAULT = Settings.checked({})
_END = object()


@dataclass(frozen=True)
class Asked:
    """What `mhm ask` was asked to do.

    Args:
        sources: Files, and `-` for standard input.
        question: The question, None to read only.
        settings: What `create_mhm_agent` is to be called with.
        db: The SQLite file that keeps threads, None to keep nothing.
        thread: Name of the thread, None for `default`.
        resume: Whether to go on with a run that was stopped.
        json: Whether to print JSON.
        verbose: Whether to print a line an event.
    """

    sources: Sequence[str]
    question: str | None
    settings: dict[str, Any]
    db: str | None
    thread: str | None
    resume: bool
    json: bool
    verbose: bool

    @property
    def config(self) -> RunnableConfig:
        """The thread, as LangGraph takes it."""
        return {"configurable": {"thread_id": self.thread or "default"}} if self.db else {}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments, None for those of the process.

    Returns:
        The exit code: 0; 1, the reader failed; 2, the user's mistake; 130, interrupted. A reading that
        is interrupted ends the process itself.
    """
    if typer is None:
        print('mhm: the command line needs its extra: pip install "mhm-langgraph[cli]"', file=sys.stderr)
        return _MISTAKE
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a narrow encoding must not lose the answer
    return _command(argv)


def _command(argv: Sequence[str] | None) -> int:
    """Parse and run; typer's usage errors become one line, as all others."""
    command = typer.main.get_command(_app())
    # typer brings its own click or uses the other, by version: the class is the same through here.
    usage_error = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
    try:
        return command.main(argv, prog_name="mhm", standalone_mode=False) or 0
    except usage_error as error:
        path = error.ctx.command_path if error.ctx else "mhm"
        return _fail(_MISTAKE, f"{error.format_message()} (see {path} --help)")
    except typer.Abort:
        return _INTERRUPTED


def _fail(code: int, line: str) -> int:
    """Say on one line why; hand on the exit code."""
    print(f"mhm: {one_line(line)}", file=sys.stderr)
    return code


def _app() -> typer.Typer:
    """The commands. More of them are added here."""
    app = typer.Typer(
        name="mhm",
        help="Read text of any length into a memory of independent heads, and answer from it.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_root)
    app.command("ask")(ask)
    app.command("inspect")(inspect_command)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mhm {version('mhm-langgraph')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    show_version: Annotated[
        bool, Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Without a command: show what there is."""
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(_MISTAKE)


def ask(
    sources: Annotated[
        list[str] | None,
        Argument(metavar="SOURCE", help="Text files, read in turn; - is standard input."),
    ] = None,
    question: Annotated[
        str | None, Option("--question", "-q", help="What to answer; else only read.")
    ] = None,
    model: Annotated[str, Option(help="extractive (offline), or as openai:gpt-4.1-mini.")] = "extractive",
    base_url: Annotated[str | None, Option(help="OpenAI-compatible server, for openai:NAME.")] = None,
    heads: Annotated[int, Option(help="Number of heads.")] = _DEFAULT.heads,
    head_tokens: Annotated[int, Option(help="Size of a head, in tokens.")] = _DEFAULT.head_tokens,
    chunk_tokens: Annotated[int, Option(help="Size of a chunk, in tokens.")] = _DEFAULT.chunk_tokens,
    answer_tokens: Annotated[int, Option(help="Size of the answer, in tokens.")] = _DEFAULT.answer_tokens,
    selector: Annotated[str, Option(help="lru, random or relevance.")] = _DEFAULT.selector,
    seed: Annotated[int, Option(help="Seed of the random selector.")] = _DEFAULT.seed,
    prompts: Annotated[str, Option(help="standard, or compact for small models.")] = _DEFAULT.prompts,
    token_counter: Annotated[
        str | None, Option(help="tiktoken, tiktoken:ENCODING or model. [default: UTF-8 bytes / 4]")
    ] = None,
    db: Annotated[str | None, Option(metavar="FILE", help="SQLite file that keeps threads.")] = None,
    thread: Annotated[str | None, Option(metavar="ID", help="A memory in FILE. [default: default]")] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with a run that was stopped.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print answer, heads, usage, step as JSON.")] = False,
    verbose: Annotated[bool, Option("--verbose", help="Print a line an event.")] = False,
) -> int:
    """Read SOURCEs into memory, and answer a question from it.

    With --db the memory lasts: a later question alone, or a further SOURCE, goes on with it, and a
    run that was stopped goes on with the same command and --resume.
    """
    settings = {
        "model": model,
        "base_url": base_url,
        "heads": heads,
        "head_tokens": head_tokens,
        "chunk_tokens": chunk_tokens,
        "answer_tokens": answer_tokens,
        "selector": selector,
        "seed": seed,
        "prompts": prompts,
        "token_counter": token_counter,
    }
    return _reported(Asked(sources or [], question, settings, db, thread, resume, as_json, verbose))


def _reported(asked: Asked) -> int:
    """Run; what goes wrong becomes one line and an exit code."""
    try:
        return _run(asked)
    except ReaderError as error:
        return _fail(_FAILED, f"{_reader_failure(error)} {_way_on(asked)}")
    except MHMError as error:
        return _fail(_MISTAKE, str(error))
    except sqlite3.Error as error:
        return _fail(_FAILED, f"--db {asked.db} failed: {error}. {_way_on(asked)}")
    except KeyboardInterrupt:
        return _fail(_INTERRUPTED, "stopped before the reading began.")


def _run(asked: Asked) -> int:
    """Check, read, answer, print."""
    _check_request(asked)
    with _checkpointer(asked.db) as saver:
        graph = create_mhm_agent(**asked.settings, sources=_opener(asked.sources), checkpointer=saver)
        values: dict[str, Any] = {}
        if saver is not None:
            state = graph.get_state(asked.config)
            values = state.values
            # Not state.next: it is empty where a stop fell between a node's writes and the checkpoint.
            _check_thread(asked, values, unfinished=bool(state.tasks))
        given = None if asked.resume else _input(asked)
        question = values.get("question") if asked.resume else asked.question
        watch = Watch(
            sys.stderr,
            question=question is not None,
            reading=asked.resume or bool(asked.sources),
            verbose=asked.verbose,
            heads=values.get("heads") or [],
            notice=_notice(asked.settings["model"]),
        )
        out = _watched(graph, given, asked, watch)
    _print_result(out, as_json=asked.json)
    return 0


def _notice(model: str) -> str | None:
    """What a reader that is no language model says of itself."""
    return f"Reader: {resolve_reader(model).description}." if model == "extractive" else None


def _watched(graph: MHMGraph, given: Any, asked: Asked, watch: Watch) -> dict[str, Any]:
    """Run the graph to its end and show it; an interrupt ends the process.

    Neither leaving nor closing the database would do then: LangGraph waits for the node that runs,
    which may be a model call of minutes. Every step before it is on disk.
    """
    options: dict[str, Any] = {"durability": "sync"} if asked.db else {}
    stream = graph.stream(
        given, asked.config, stream_mode=["custom", "values"], output_keys=_SHOWN, **options
    )
    out: dict[str, Any] = {}
    try:
        with watch:
            for mode, data in _in_thread(stream):
                watch.show(mode, data)
                out = data if mode == "values" else out
    except KeyboardInterrupt:
        _exit_now(_fail(_INTERRUPTED, f"stopped after {watch.tally.amount}. {_way_on(asked)}"))
    except BrokenPipeError:  # nobody reads standard error any more
        _exit_now(_FAILED)
    return out


def _in_thread(stream: Iterator[Any]) -> Iterator[Any]:
    """What a stream yields, pulled in a thread of its own, so that Ctrl-C is heard at once."""
    items: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def pull() -> None:
        try:
            for item in stream:
                items.put((item, None))
            items.put((_END, None))
        except BaseException as error:
            items.put((_END, error))

    threading.Thread(target=pull, name="mhm", daemon=True).start()
    while True:
        item, error = items.get()
        if error is not None:
            raise error
        if item is _END:
            return
        yield item


def _check_request(asked: Asked) -> None:
    """Refuse what can not work, before anything is read or written."""
    if asked.db is None and (asked.resume or asked.thread):
        option = "--resume" if asked.resume else f"--thread {asked.thread}"
        raise SettingsError(f"{option} needs --db FILE: without it nothing is kept between runs.")
    if not asked.sources and not asked.resume:
        if asked.question is None:
            raise SettingsError("there is nothing to do: name a SOURCE, ask a question with -q, or both.")
        if asked.db is None:
            raise SettingsError(
                "a question alone is answered from a thread's memory: name a SOURCE, or add --db FILE."
            )
    if asked.sources.count(_STDIN) > 1:
        raise SettingsError("- is given twice: standard input can be read only once.")
    if asked.db is None:
        return
    if _STDIN in asked.sources and len(asked.sources) > 1:
        raise SettingsError(
            "- can not be mixed with files under --db, as such a run could not be resumed: read - alone, "
            "or save it to a file."
        )
    if not Path(asked.db).exists() and (asked.resume or not asked.sources):
        raise SettingsError(f"--db {asked.db} does not exist: name a SOURCE to begin a memory in it.")


def _check_thread(asked: Asked, values: Mapping[str, Any], *, unfinished: bool) -> None:
    """Refuse what the thread can not do as it stands: its values, and whether its last run broke off."""
    thread = f"thread {asked.thread or 'default'} of {asked.db}"
    if asked.resume:
        if not unfinished:
            raise SettingsError(f"{thread} has nothing to resume: leave --resume out.")
        _check_same(asked, values)
        return
    # A run that failed before it began, at a misspelt path say, has read nothing that could be lost.
    if unfinished and isinstance(values.get("source"), dict):
        raise SettingsError(
            f"the last run on {thread} was stopped: go on with it by --resume, or use another --thread."
        )
    if not asked.sources and not values.get("heads"):
        raise SettingsError(f"{thread} has no memory yet: name a SOURCE to read into it.")


def _check_same(asked: Asked, values: Mapping[str, Any]) -> None:
    """What is given along with --resume must be what was stopped: it would be ignored."""
    question, names = values.get("question"), _source_names(values)
    if question is None and not names:  # stopped so early that the state holds nothing of it yet
        return
    if asked.question is not None and asked.question != question:
        raise SettingsError(
            f"--resume goes on with the question {question!r:.80}, not {asked.question!r:.80}: ask that "
            "one when it is done."
        )
    if asked.sources and names and list(asked.sources) != names:
        raise SettingsError(
            f"--resume goes on with {' '.join(names) or 'no SOURCE'}, not {' '.join(asked.sources)}: read "
            "that when it is done."
        )


def _source_names(values: Mapping[str, Any]) -> list[str]:
    """The sources of a run that broke off, as they were given on the command line."""
    source = values.get("source")
    if isinstance(source, dict):
        return [_STDIN if name is None else name for name in source["names"]]
    return [source] if isinstance(source, str) else list(source or [])


def _reader_failure(error: ReaderError) -> str:
    """The error without its word on `invoke`: there is no graph at hand on a command line."""
    return re.sub(r"\s*What was read before is kept: [^.]*\.", "", str(error))


def _way_on(asked: Asked) -> str:
    """What to do about a run that was stopped."""
    if asked.db:
        return "The same command with --resume goes on from there."
    return "Nothing of it is kept: with --db FILE a run can be resumed."


def _exit_now(code: int) -> NoReturn:
    sys.stdout.flush()
    os._exit(code)


@contextmanager
def _checkpointer(db: str | None) -> Iterator[Any]:
    """The SQLite checkpointer, None where nothing is to be kept."""
    if db is None:
        yield None
        return
    try:
        from langgraph.checkpoint.sqlite import SqliteSaver
    except ModuleNotFoundError as error:
        raise SettingsError('--db needs the SQLite extra: pip install "mhm-langgraph[sqlite]"') from error
    try:
        connection = sqlite3.connect(db, check_same_thread=False)  # the saver has a lock of its own
    except sqlite3.Error as error:
        raise SettingsError(f"--db {db} can not be opened: {error}.") from error
    with closing(connection):
        saver = SqliteSaver(connection)
        try:
            saver.setup()
        except sqlite3.Error as error:
            raise SettingsError(f"--db {db} can not be used: {error}.") from error
        yield saver


def _opener(sources: Sequence[str]) -> Callable[[str], Source] | None:
    """Opens files, and standard input where it is one of several sources; None opens files."""
    if _STDIN not in sources or len(sources) == 1:
        return None
    stdin, files = InlineSource(_read_stdin(), name="standard input"), Files()
    return lambda name: stdin if name == _STDIN else files(name)


def _input(asked: Asked) -> dict[str, Any]:
    """The graph's input. Standard input alone is a document, so that a thread keeps it for a resume."""
    if list(asked.sources) == [_STDIN]:
        return {"question": asked.question, "document": _read_stdin()}
    return {"question": asked.question, "source": list(asked.sources) or None}


def _read_stdin() -> str:
    """Standard input as text."""
    if sys.stdin.isatty():
        print("mhm: reading standard input; Ctrl-D ends it.", file=sys.stderr)
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"standard input is not UTF-8 text (byte {error.start}): save it to a file, whose encoding is "
            "detected."
        ) from error
    if not text:
        raise SourceError("standard input is empty: pipe some text into it, or name a file.")
    return text


def _print_result(out: Mapping[str, Any], *, as_json: bool) -> None:
    """The answer, or all of the result as JSON, on standard output."""
    if as_json:
        print(json.dumps({key: out.get(key) for key in ("answer", "heads", "usage", "step")}, indent=2))
    elif out.get("answer") is not None:
        print(printable(out["answer"]))


if __name__ == "__main__":
    sys.exit(main())
