"""`mhm serve-local`. The server's address goes to standard output, all else to standard error."""

from __future__ import annotations

import sys
from typing import Annotated

from typer import Option

from mhm_langgraph.cli.ask import FAILED, INTERRUPTED, MISTAKE, fail
from mhm_langgraph.errors import MHMError
from mhm_langgraph.local import serve_local

__all__ = ["serve_local_command"]


def serve_local_command(
    port: Annotated[int, Option(help="Port on 127.0.0.1; 0 takes a free one.", max=65535)] = 0,
    window: Annotated[int, Option(help="Tokens of a prompt and its reply.")] = 8192,
    slots: Annotated[int, Option(help="Calls worked on at the same time.")] = 2,
    threads: Annotated[int | None, Option(help="Threads. [default: one a core]")] = None,
    prompt_cache: Annotated[
        bool, Option("--prompt-cache", help="Keep the beginning of the last prompt of each slot.")
    ] = False,
    weights: Annotated[
        str | None, Option(metavar="FILE", help="A .gguf file. [default: SmolLM2-135M-Instruct]")
    ] = None,
) -> int:
    """Serve a small language model on this machine, OpenAI-compatible, until Ctrl-C.

    Use it with --model openai:NAME --base-url ADDRESS, or let --model local start one by itself.
    """
    try:
        with serve_local(
            port=port,
            window=window,
            slots=slots,
            threads=threads,
            prompt_cache=prompt_cache,
            weights=weights,
        ) as server:
            print(server.base_url, flush=True)
            print(f"mhm: serving {server.model}, {window:,} tokens; Ctrl-C ends it.", file=sys.stderr)
            code = server.process.wait()
    except MHMError as error:
        return fail(MISTAKE, str(error))
    except KeyboardInterrupt:
        return fail(INTERRUPTED, "stopped.")
    return fail(FAILED, f"the server ended by itself (exit code {code}).")
