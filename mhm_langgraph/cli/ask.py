"""`mhm ask SOURCE -q QUESTION`. The answer goes to standard output, all else to standard error."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Annotated, Any, NoReturn

from typer import Argument, Option

from mhm_langgraph import MHMError, MHMGraph, ReaderError, Settings, create_mhm_agent
from mhm_langgraph.cli.checks import Asked, check_request, check_thread, number_of_heads
from mhm_langgraph.cli.streams import checkpointer, graph_input, opener, print_result
from mhm_langgraph.display import Watch, one_line
from mhm_langgraph.readers import resolve_reader

__all__ = ["FAILED", "INTERRUPTED", "MISTAKE", "ask", "fail"]

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130
_SHOWN = ["heads", "step", "usage", "answer", "span", "exited"]
_DEFAULT = Settings.checked({})
_END = object()


def fail(code: int, line: str) -> int:
    """Say on one line why; hand on the exit code."""
    print(f"mhm: {one_line(line)}", file=sys.stderr)
    return code


def ask(
    sources: Annotated[
        list[str] | None,
        Argument(metavar="SOURCE", help="Text files, read in turn; - is standard input."),
    ] = None,
    question: Annotated[
        str | None, Option("--question", "-q", help="What to answer; else only read.")
    ] = None,
    model: Annotated[
        str, Option(help="extractive (offline), local (a small model), or as openai:gpt-4.1-mini.")
    ] = "extractive",
    base_url: Annotated[str | None, Option(help="OpenAI-compatible server, for openai:NAME.")] = None,
    heads: Annotated[
        Any,
        Option(parser=number_of_heads, metavar="INTEGER|auto", help="Number of heads; auto: by the length."),
    ] = str(_DEFAULT.heads),
    head_tokens: Annotated[int, Option(help="Size of a head, in tokens.")] = _DEFAULT.head_tokens,
    memory_tokens: Annotated[
        int, Option(help="Size of all heads together, for auto.")
    ] = _DEFAULT.memory_tokens,
    chunk_tokens: Annotated[int, Option(help="Size of a chunk, in tokens.")] = _DEFAULT.chunk_tokens,
    answer_tokens: Annotated[int, Option(help="Size of the answer, in tokens.")] = _DEFAULT.answer_tokens,
    selector: Annotated[str, Option(help="lru, random or relevance.")] = _DEFAULT.selector,
    seed: Annotated[int, Option(help="Seed of the random selector.")] = _DEFAULT.seed,
    prompts: Annotated[
        str | None, Option(help="standard, compact or document-first. [default: what suits the model]")
    ] = None,
    recall: Annotated[
        int, Option(help="Overwritten head texts shown again with the answer.")
    ] = _DEFAULT.recall,
    recall_tokens: Annotated[int, Option(help="Size of all of them, in tokens.")] = _DEFAULT.recall_tokens,
    recall_updates: Annotated[
        bool, Option("--recall-updates", help="Show them at each update too.")
    ] = _DEFAULT.recall_updates,
    grounding: Annotated[
        str, Option(help="Sentences that the text does not support: off, flag or reject.")
    ] = _DEFAULT.grounding,
    grounding_rule: Annotated[
        str, Option(help="What supports one: names, or verbatim wording.")
    ] = _DEFAULT.grounding_rule,
    token_counter: Annotated[
        str | None, Option(help="tiktoken, tiktoken:ENCODING or model. [default: UTF-8 bytes / 4]")
    ] = None,
    parallel_heads: Annotated[
        int, Option(help="Heads rewritten at once, each from a chunk of its own.")
    ] = _DEFAULT.parallel_heads,
    update_gate: Annotated[
        bool, Option("--update-gate", help="Let the model skip chunks that hold nothing for the question.")
    ] = False,
    exit_gate: Annotated[
        bool, Option("--exit-gate", help="Let the model stop once memory suffices.")
    ] = False,
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
        "memory_tokens": memory_tokens,
        "chunk_tokens": chunk_tokens,
        "answer_tokens": answer_tokens,
        "selector": selector,
        "seed": seed,
        "prompts": prompts,
        "recall": recall,
        "recall_tokens": recall_tokens,
        "recall_updates": recall_updates,
        "grounding": grounding,
        "grounding_rule": grounding_rule,
        "token_counter": token_counter,
        "parallel_heads": parallel_heads,
        "update_gate": update_gate,
        "exit_gate": exit_gate,
    }
    return _reported(Asked(sources or [], question, settings, db, thread, resume, as_json, verbose))


def _reported(asked: Asked) -> int:
    """Run; what goes wrong becomes one line and an exit code."""
    try:
        return _run(asked)
    except ReaderError as error:
        return fail(FAILED, f"{error.reason} {_way_on(asked)}")
    except MHMError as error:
        return fail(MISTAKE, str(error))
    except sqlite3.Error as error:
        return fail(FAILED, f"--db {asked.db} failed: {error}. {_way_on(asked)}")
    except KeyboardInterrupt:
        return fail(INTERRUPTED, "stopped before the reading began.")


def _run(asked: Asked) -> int:
    """Check, read, answer, print."""
    check_request(asked)
    with checkpointer(asked.db) as saver:
        graph = create_mhm_agent(**asked.settings, sources=opener(asked.sources), checkpointer=saver)
        values: dict[str, Any] = {}
        if saver is not None:
            state = graph.get_state(asked.config)
            values = state.values
            # Not state.next: it is empty where a stop fell between a node's writes and the checkpoint.
            check_thread(asked, values, unfinished=bool(state.tasks))
        given = None if asked.resume else graph_input(asked)
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
    print_result(out, as_json=asked.json)
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
        _exit_now(fail(INTERRUPTED, f"stopped after {watch.tally.amount}. {_way_on(asked)}"))
    except BrokenPipeError:  # nobody reads standard error any more
        _exit_now(FAILED)
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


def _way_on(asked: Asked) -> str:
    """What to do about a run that was stopped."""
    if asked.db:
        return "The same command with --resume goes on from there."
    return "Nothing of it is kept: with --db FILE a run can be resumed."


def _exit_now(code: int) -> NoReturn:
    sys.stdout.flush()
    os._exit(code)
