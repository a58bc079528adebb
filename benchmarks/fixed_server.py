"""A chat-completions server that answers after a fixed time: `python -m benchmarks.fixed_server 2.0`.

It prints its address, and counts: `GET /counts`. A call costs it some 0.1 ms, so that what is measured is
the other side.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.common import HEAD_TOKENS, full_text

__all__ = ["Counts", "FixedServer", "fixed_server"]


@dataclass(frozen=True)
class Counts:
    """What the server has seen.

    Args:
        calls: Calls that were answered.
        seconds: From the first call's coming to the last one's answer.
        most: The most at once.
    """

    calls: int
    seconds: float
    most: int


@dataclass(frozen=True)
class FixedServer:
    """A running server.

    Args:
        url: Its base URL, for `base_url`.
    """

    url: str

    def counts(self) -> Counts:
        """What it has seen since it was asked last."""
        with urllib.request.urlopen(f"{self.url}/counts") as reply:  # noqa: S310  # our own address
            return Counts(**json.load(reply))


@contextmanager
def fixed_server(seconds: float) -> Iterator[FixedServer]:
    """A server in a process of its own.

    Args:
        seconds: How long each answer takes.

    Yields:
        The server.
    """
    command = [sys.executable, "-m", "benchmarks.fixed_server", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield FixedServer(process.stdout.readline().strip())
        finally:
            process.kill()


class _Server:
    """The server's side."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._reply = seconds, _reply()
        self._reset()

    def _reset(self) -> None:
        self._calls = self._now = self._most = 0
        self._first = self._last = 0.0

    async def serve(self) -> None:
        """Serve on a free port of the loopback, and print where."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=4096)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
        async with server:
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET"):
                    writer.write(_http(self._counts()))
                else:
                    await self._call(reader, writer, head)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        self._first = self._first or time.monotonic()
        self._now += 1
        self._most = max(self._most, self._now)
        await reader.readexactly(length)
        await asyncio.sleep(self._seconds)
        self._now -= 1
        self._calls, self._last = self._calls + 1, time.monotonic()
        writer.write(self._reply)

    def _counts(self) -> bytes:
        told = {"calls": self._calls, "seconds": self._last - self._first, "most": self._most}
        self._reset()
        return json.dumps(told).encode()


def _reply() -> bytes:
    """A completion that fills a head."""
    message = {"role": "assistant", "content": full_text(HEAD_TOKENS)}
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "fixed",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 9000,
            "completion_tokens": HEAD_TOKENS,
            "total_tokens": 9000 + HEAD_TOKENS,
        },
    }
    return _http(json.dumps(body).encode())


def _http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


if __name__ == "__main__":
    asyncio.run(_Server(float(sys.argv[1])).serve())
