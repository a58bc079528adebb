"""`mhm bench TASK --out DIR`. Trajectories go to the folder, all else to standard error."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NoReturn

from typer import Argument, Option

from mhm_langgraph import MHMError, ReaderError, Settings, SettingsError
from mhm_langgraph.cli import options as option
from mhm_langgraph.cli.ask import FAILED, INTERRUPTED, MISTAKE, fail
from mhm_langgraph.cli.bench_progress import BenchWatch, closing_table
from mhm_langgraph.evaluation.conditions import prompts_hash, this_start
from mhm_langgraph.evaluation.folder import BenchFolder, read_trajectories
from mhm_langgraph.evaluation.langsmith import UploadError, check_langsmith, upload_bench
from mhm_langgraph.evaluation.methods import METHODS, Trial, resolve_methods
from mhm_langgraph.evaluation.models import open_models
from mhm_langgraph.evaluation.processes import run_in_processes
from mhm_langgraph.evaluation.runner import Bench, run_bench
from mhm_langgraph.evaluation.tasks import open_task, parse_length
from mhm_langgraph.readers import Patience
from mhm_langgraph.tokens import resolve_counter

__all__ = ["bench"]

_DEFAULT = Settings.checked({})


@dataclass(frozen=True)
class Asked:
    """What `mhm bench` was asked to do.

    Args:
        settings: What determines the results, as `bench.json` keeps it.
        base_url: Address of the model's server.
        data: Folder of the data.
        out: Folder of the results.
        concurrency: How many runs are under way at once.
        processes: Among how many processes they are shared out.
        patience: What to put up with from the model.
        langsmith: Whether to upload.
    """

    settings: dict[str, Any]
    base_url: str | None
    data: str | None
    out: str
    concurrency: int
    processes: int
    patience: Patience
    langsmith: bool


def bench(
    task: Annotated[str, Argument(metavar="TASK", help="ruler-hqa, babilong or needle.")],
    model: Annotated[
        str, Option(help="extractive (offline), simulation, local, or as openai:gpt-4.1-mini.")
    ] = "extractive",
    base_url: option.BaseUrl = None,
    methods: Annotated[
        str, Option(metavar="A,B", help=f"{', '.join(METHODS)}; as mhm-lru+heads=8 with settings.")
    ] = "mhm-lru,memagent",
    lengths: Annotated[str, Option(metavar="A,B", help="Tokens of the contexts, as 8K,128K,1M.")] = "8K,32K",
    samples: Annotated[int, Option(min=1, help="Samples of each length.")] = 32,
    runs: Annotated[int, Option(min=1, help="How often each method reads each sample.")] = 1,
    concurrency: Annotated[int, Option(min=1, help="Runs under way at once.")] = 32,
    processes: Annotated[int, Option(min=1, help="Processes that share them out.")] = 1,
    out: Annotated[str, Option(metavar="DIR", help="Folder of the results.")] = "mhm-bench",
    data: Annotated[str | None, Option(metavar="DIR", help="Folder of the data. [default: a sample]")] = None,
    variants: Annotated[str | None, Option(metavar="A,B", help="Kinds of the task, as qa1,qa2.")] = None,
    seed: Annotated[int, Option(min=0, help="Seed of samples, selectors and sampling.")] = 0,
    memory_tokens: Annotated[
        int, Option(min=1, help="Size of the whole memory, of every method.")
    ] = _DEFAULT.memory_tokens,
    chunk_tokens: option.ChunkTokens = _DEFAULT.chunk_tokens,
    answer_tokens: option.AnswerTokens = _DEFAULT.answer_tokens,
    prompts: option.Prompts = None,
    token_counter: option.TokenCounter = None,
    temperature: Annotated[float | None, Option(help="Of the model's sampling.")] = None,
    top_p: Annotated[float | None, Option(help="Of the model's sampling.")] = None,
    window: Annotated[int | None, Option(help="The model's context window in tokens, for llm.")] = None,
    call_timeout: option.CallTimeout = _DEFAULT.call_timeout,
    max_retries: option.MaxRetries = _DEFAULT.max_retries,
    langsmith: Annotated[bool, Option("--langsmith", help="Upload dataset and experiments.")] = False,
) -> int:
    """Run methods on the samples of a task, and keep every trajectory for mhm report.

    It may be stopped at any time: the same command goes on where it was, and tries again what has failed.
    """
    settings = {
        "task": task,
        "variants": _listed(variants),
        "lengths": _listed(lengths),
        "samples": samples,
        "runs": runs,
        "seed": seed,
        "methods": _listed(methods),
        "model": model,
        "memory_tokens": memory_tokens,
        "chunk_tokens": chunk_tokens,
        "answer_tokens": answer_tokens,
        "prompts": prompts,
        "token_counter": token_counter,
        "temperature": temperature,
        "top_p": top_p,
        "window": window,
    }
    patience = Patience(call_timeout=call_timeout, max_retries=max_retries)
    at_work = min(processes, concurrency)
    return _reported(Asked(settings, base_url, data, out, concurrency, at_work, patience, langsmith))


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _reported(asked: Asked) -> int:
    """Run; what goes wrong becomes one line and an exit code."""
    try:
        return _run(asked)
    except ReaderError as error:
        return fail(FAILED, f"{error} The same command goes on, and tries again what has failed.")
    except UploadError as error:
        return fail(FAILED, f"{error} The same command tries again; the results are in {asked.out}.")
    except MHMError as error:
        return fail(MISTAKE, str(error))
    except OSError as error:
        return fail(FAILED, f"--out {asked.out} failed: {error}.")
    except KeyboardInterrupt:
        return fail(INTERRUPTED, "stopped. The same command goes on.")


def _run(asked: Asked) -> int:
    """Check, run, tell."""
    if asked.langsmith:
        check_langsmith()
    plan, facts = _planned(asked)
    start = this_start(shlex.join(["mhm", *sys.argv[1:]]), asked.base_url, asked.concurrency)
    with BenchFolder(asked.out, facts, start) as folder:
        watch = BenchWatch(sys.stderr, plan.keys(), folder.done, again=folder.failed)
        with watch:
            if asked.processes == 1:
                asyncio.run(_until_stopped(plan, folder, watch))
            else:
                _share_out(asked, folder, watch)
    if asked.langsmith:
        upload_bench(asked.out, plan.samples, say=watch.say)
    watch.console.print(closing_table(read_trajectories(asked.out)))
    watch.say(f"Done: {watch.summary()}. Tables and plots: mhm report {shlex.quote(asked.out)}")
    return FAILED if watch.failed else 0


async def _until_stopped(plan: Bench, folder: BenchFolder, watch: BenchWatch) -> None:
    """Run the bench; Ctrl-C and SIGTERM end it."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # asyncio.run made it
    with suppress(NotImplementedError):  # on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await run_bench(plan, folder, watch.take)
    except asyncio.CancelledError:
        _stopped(watch)


def _share_out(asked: Asked, folder: BenchFolder, watch: BenchWatch) -> None:
    """Run the bench in several processes; Ctrl-C and SIGTERM end them all."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_in_processes(partial(_plan, asked), asked.processes, folder, watch.take)
    except KeyboardInterrupt:
        _stopped(watch)
    finally:
        signal.signal(signal.SIGTERM, before)


def _stopped(watch: BenchWatch) -> NoReturn:
    """Say how far it came, and end the process at once, whatever threads are at work."""
    watch.stop()
    fail(INTERRUPTED, f"stopped: {watch.summary()}. The same command goes on from there.")
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _plan(asked: Asked) -> Bench:
    """The bench, in a process of its own."""
    return _planned(asked)[0]


def _planned(asked: Asked) -> tuple[Bench, dict[str, Any]]:
    """The bench, checked, and what `bench.json` is to say of it."""
    settings = dict(asked.settings)
    if asked.processes > 1 and settings["model"] == "local":
        raise SettingsError("--processes goes with a server that is running: each would start its own.")
    models = open_models(
        settings["model"],
        base_url=asked.base_url,
        call_timeout=asked.patience.call_timeout,
        temperature=settings["temperature"],
        top_p=settings["top_p"],
        seed=settings["seed"],
    )
    methods = resolve_methods(settings["methods"])
    if not methods or not settings["lengths"]:
        raise SettingsError(f"--{'lengths' if methods else 'methods'} is empty: name one at least.")
    lengths = sorted({parse_length(length) for length in settings["lengths"]})
    settings |= {
        "model": models.name,
        "methods": [method.name for method in methods],
        "lengths": lengths,
    }
    count = resolve_counter(settings["token_counter"], models.model)
    sets = {
        length: open_task(
            settings["task"],
            length=length,
            samples=settings["samples"],
            seed=settings["seed"],
            data=asked.data,
            variants=settings["variants"] or None,
            count=count,
        )
        for length in lengths
    }
    # The longest sample is the one that the data may be too short for: better now than after hours.
    longest = sets[lengths[-1]][0]
    trial = Trial(
        reader=models(longest, 0),
        memory_tokens=settings["memory_tokens"],
        chunk_tokens=settings["chunk_tokens"],
        answer_tokens=settings["answer_tokens"],
        prompts=settings["prompts"],
        count=count,
        seed=settings["seed"],
        window=settings["window"],
        patience=asked.patience,
    )
    for method in methods:
        method.check(trial)
    settings["prompts"] = trial.preset
    facts = {
        "settings": settings,
        "prompts": prompts_hash(trial.preset or "standard"),
        "data": {name: mark for one in sets.values() for name, mark in one.files.items()},
    }
    plan = Bench(
        samples=sets,
        methods=methods,
        models=models,
        trial=trial,
        runs=settings["runs"],
        concurrency=asked.concurrency,
    )
    return plan, facts
