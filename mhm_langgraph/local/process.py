"""The process that a local model lives in: llama.cpp's server, for as long as its parent holds its input.

Run by its path, and importing nothing of this package: it is up in half a second. The model is in a process
of its own because C++ that aborts (no memory left, a broken file) would take the user's Python with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

__all__: list[str] = []


def _params(asked: dict[str, Any]) -> Any:
    """llama.cpp's parameters. Temperature and top-p are the paper's, where a call names none."""
    from xllamacpp import CommonParams

    params = CommonParams()
    params.model.path = asked["weights"]
    params.model_alias = {asked["model"]}
    params.hostnames, params.port = ["127.0.0.1"], asked["port"]
    params.n_parallel = asked["slots"]
    params.n_ctx = asked["window"] * asked["slots"]  # llama.cpp divides it between the slots
    params.cache_prompt = params.cache_idle_slots = asked["prompt_cache"]
    params.cache_ram_mib = 0  # prompts that left their slot are not kept
    params.sampling.temp, params.sampling.top_p = 0.7, 0.95
    if asked["threads"] is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
    params.ui = params.endpoint_slots = False
    params.cors_origins = "http://127.0.0.1"  # no web page from elsewhere may call it
    params.verbosity = 1  # errors
    return params


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever C++ prints is not for the parent
    from xllamacpp import Server

    try:
        server = Server(_params(json.loads(sys.argv[1])))
    except RuntimeError as error:  # what it is about, llama.cpp has written by itself
        sys.exit(str(error))
    print(server.listening_address, file=said, flush=True)
    sys.stdin.buffer.read()  # until the parent closes it, or ends however it may
    os._exit(0)  # a reply that is being written is of no use to anybody


if __name__ == "__main__":
    _main()
