"""A chat-completions server that answers after a fixed time, however many ask at once.

In a process of its own and without a framework, so that what is measured is the client. It prints its
address, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["serving"]

_REPLY_WORDS = 100
_MESSAGE = {
    "role": "assistant",
    "content": " ".join(["Ahab nailed a doubloon to the mast."] * (_REPLY_WORDS // 7)),
}
_BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "latency",
        "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5000, "completion_tokens": 130, "total_tokens": 5130},
    }
).encode()
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)


class _Connection(asyncio.Protocol):
    """One kept connection: a request, a pause, the reply, and so on."""

    def __init__(self, latency: float) -> None:
        self._latency, self._read = latency, bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        if len(body) >= length:
            self._read.clear()
            asyncio.get_running_loop().call_later(self._latency, self._reply)

    def _reply(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_HEAD + _BODY)


async def _serve(latency: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency), "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def serving(latency: float) -> Iterator[str]:
    """The server in a process of its own.

    Args:
        latency: Seconds from a request to its reply.

    Yields:
        Its base URL.
    """
    command = [sys.executable, "-m", "benchmarks.latency_server", f"{latency}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
