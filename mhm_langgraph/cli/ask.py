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
from mhm_langgraph.cli import options as option
from mhm_langgraph.cli.checks import Asked, check_request, check_thread
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
    model: option.Model = "extractive",
    base_url: option.BaseUrl = None,
    heads: option.Heads = str(_DEFAULT.heads),
    head_tokens: option.HeadTokens = _DEFAULT.head_tokens,
    memory_tokens: option.MemoryTokens = _DEFAULT.memory_tokens,
    chunk_tokens: option.ChunkTokens = _DEFAULT.chunk_tokens,
    answer_tokens: option.AnswerTokens = _DEFAULT.answer_tokens,
    selector: option.Selector = _DEFAULT.selector,
    seed: option.Seed = _DEFAULT.seed,
    prompts: option.Prompts = None,
    recall: option.Recall = _DEFAULT.recall,
    recall_tokens: option.RecallTokens = _DEFAULT.recall_tokens,
    recall_updates: option.RecallUpdates = _DEFAULT.recall_updates,
    grounding: option.Grounding = _DEFAULT.grounding,
    grounding_rule: option.GroundingRule = _DEFAULT.grounding_rule,
    token_counter: option.TokenCounter = None,
    parallel_heads: option.ParallelHeads = _DEFAULT.parallel_heads,
    update_gate: option.UpdateGate = False,
    exit_gate: option.ExitGate = False,
    call_timeout: option.CallTimeout = _DEFAULT.call_timeout,
    max_retries: option.MaxRetries = _DEFAULT.max_retries,
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
        "call_timeout": call_timeout,
        "max_retries": max_retries,
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
