"""`mhm batch JOBS --out DIR`. Results go to files in DIR, all that is said to standard error."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from mhm_langgraph import MHMError, Settings, SettingsError
from mhm_langgraph.batch import Engine, Limits, Local, Progress, Ray, run_batch
from mhm_langgraph.cli import options as option
from mhm_langgraph.cli.ask import FAILED, INTERRUPTED, MISTAKE, fail
from mhm_langgraph.cli.progress import Meter

__all__ = ["batch"]

_DEFAULT = Settings.checked({})


def batch(
    jobs: Annotated[
        str, Argument(metavar="JOBS", help="JSONL, CSV or Parquet: id, source or document, question.")
    ],
    out: Annotated[str, Option(metavar="DIR", help="Where results and unfinished jobs are kept.")],
    model: option.Model = "extractive",
    base_url: option.BaseUrl = None,
    concurrency: Annotated[int, Option(help="Jobs that run at once, in each worker.")] = 8,
    root: Annotated[
        str | None, Option(metavar="DIR", help="Folder that sources lie in. [default: that of JOBS]")
    ] = None,
    results: Annotated[str, Option("--format", help="jsonl, or parquet as well.")] = "jsonl",
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="Run the jobs again that failed in earlier runs.")
    ] = False,
    max_failures: Annotated[str, Option(help="Jobs of a run that may fail: a number or a share.")] = "50%",
    max_tokens: Annotated[int | None, Option(help="Ceiling of tokens, over all runs.")] = None,
    max_cost: Annotated[float | None, Option(help="Ceiling of cost, over all runs.")] = None,
    price_in: Annotated[float, Option(help="Price of a million tokens of prompts.")] = 0.0,
    price_out: Annotated[float, Option(help="Price of a million tokens of replies.")] = 0.0,
    requests_per_minute: Annotated[float | None, Option(help="Model calls a minute, all workers.")] = None,
    tokens_per_minute: Annotated[float | None, Option(help="Tokens a minute, all workers.")] = None,
    checkpoints: Annotated[
        str | None,
        Option(
            metavar="WHERE",
            envvar="MHM_CHECKPOINTS",
            help="Of unfinished jobs: a folder or postgresql://... [default: in --out]",
        ),
    ] = None,
    keep_threads: Annotated[
        bool, Option("--keep-threads", help="Keep the threads of finished jobs, for mhm inspect.")
    ] = False,
    engine: Annotated[str, Option(help="local, this process; or ray.")] = "local",
    workers: Annotated[int, Option(help="Processes, with --engine ray.")] = 2,
    address: Annotated[
        str | None, Option(help="A running Ray cluster. [default: one on this machine]")
    ] = None,
    heads: option.Heads = str(_DEFAULT.heads),
    memory_tokens: option.MemoryTokens = _DEFAULT.memory_tokens,
    head_tokens: option.HeadTokens = _DEFAULT.head_tokens,
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
) -> int:
    """Answer a question about each of many texts, each job on a thread of its own.

    DIR/results.jsonl gets one row a job. A run that was stopped or killed goes on with the same command,
    unfinished jobs in the middle of their text.
    """
    options: dict[str, Any] = {
        "model": model, "base_url": base_url, "concurrency": concurrency, "root": root,
        "retry_failed": retry_failed, "checkpoints": checkpoints, "keep_threads": keep_threads,
        "heads": heads, "head_tokens": head_tokens, "memory_tokens": memory_tokens,
        "chunk_tokens": chunk_tokens, "answer_tokens": answer_tokens, "selector": selector,
        "seed": seed, "prompts": prompts, "recall": recall, "recall_tokens": recall_tokens,
        "recall_updates": recall_updates, "grounding": grounding, "grounding_rule": grounding_rule,
        "token_counter": token_counter, "parallel_heads": parallel_heads, "update_gate": update_gate,
        "exit_gate": exit_gate, "call_timeout": call_timeout, "max_retries": max_retries,
    }  # fmt: skip
    try:
        limits = Limits(
            max_tokens=max_tokens,
            max_cost=max_cost,
            price_in=price_in,
            price_out=price_out,
            max_failures=max_failures,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        options |= {
            "limits": limits,
            "engine": _engine(engine, workers, address),
            "parquet": _parquet(results),
        }
        with Meter(sys.stderr, priced=bool(price_in or price_out)) as meter:
            progress = run_batch(jobs, out, watch=meter.show, **options)
    except MHMError as error:
        return fail(MISTAKE, str(error))
    except KeyboardInterrupt:
        _leave(fail(INTERRUPTED, "stopped at once. The same command goes on."))
    return _told(progress, Path(out))


def _engine(name: str, workers: int, address: str | None) -> Engine:
    if name == "ray":
        return Ray(workers=workers, address=address)
    if name != "local":
        raise SettingsError(f"--engine {name} is not known: use local or ray.")
    if address is not None:
        raise SettingsError(f"--address {address} goes with --engine ray.")
    return Local()


def _parquet(results: str) -> bool:
    if results not in ("jsonl", "parquet"):
        raise SettingsError(f"--format {results} is not known: use jsonl or parquet.")
    return results == "parquet"


def _told(progress: Progress, out: Path) -> int:
    """What is to be said at the end, and the exit code."""
    failed = progress.failed + progress.failed_before
    if progress.stopped is not None:
        code = INTERRUPTED if progress.stopped.startswith("interrupted") else FAILED
        return fail(code, f"stopped with {progress.left:,} jobs left: {progress.stopped}")
    if failed:
        return fail(
            FAILED,
            f"{failed:,} jobs failed, see error in {out / 'results.jsonl'}; --retry-failed runs them again.",
        )
    return 0


def _leave(code: int) -> None:
    """End the process: a call under way may take minutes, and what came before it is on disk."""
    sys.stderr.flush()
    os._exit(code)
