"""A chat-completions server on loopback that misbehaves on order: real sockets, real HTTP.

    with ModelServer() as server:
        server.then(refuses(429, headers={"Retry-After": "2"}), HANGS)  # the first two calls
        graph = create_mhm_agent("openai:test", base_url=server.url)
    server.journal[0].behaviour  # "429"

What it answers depends on every byte of the prompt, so two runs with the same heads had the same prompts.
"""

from __future__ import annotations

import json
import random
import socket
import socketserver
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """One call, as the server's journal keeps it."""

    number: int
    behaviour: str
    prompt: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Behaviour:
    """What to do with one call."""

    name: str
    act: Callable[[Exchange], None]


class Exchange(BaseHTTPRequestHandler):
    """One connection; a behaviour writes to it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    body: dict[str, Any]

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.owner.taking(self.body) as behaviour:
            behaviour.act(self)

    def log_message(self, format: str, *args: Any) -> None:
        """The journal tells more."""

    @property
    def reply(self) -> str:
        return self.server.owner.reply(prompt_of(self.body))

    def send(self, status: int, content: str, headers: Mapping[str, str] | None = None) -> None:
        self.write_headers(status, len(content.encode()), headers)
        self.wfile.write(content.encode())

    def write_headers(self, status: int, length: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.head_on({"Content-Type": "application/json", "Content-Length": str(length), **(headers or {})})

    def head_on(self, headers: Mapping[str, str]) -> None:
        if not self.server.owner.keep_alive:
            headers = {**headers, "Connection": "close"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def break_off(self, *, reset: bool = False) -> None:
        """Close the connection: in order, or with a reset that throws away what is on its way."""
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def wait(self) -> None:
        """Say nothing more until the server is closed."""
        self.server.owner.closing.wait()
        self.break_off()


def prompt_of(body: Mapping[str, Any]) -> str:
    return "\n".join(str(message["content"]) for message in body["messages"])


def noted(prompt: str) -> str:
    """The reply where a test gives none: another one for every prompt."""
    return f"fact {sha256(prompt.encode()).hexdigest()[:12]}"


def completion(content: Any, finish_reason: Any = "stop", **message: Any) -> dict[str, Any]:
    """A reply in the protocol's words."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish_reason,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "test",
        "choices": [choice],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def says(content: Any, finish_reason: Any = "stop", *, name: str = "says", **message: Any) -> Behaviour:
    """Answers with this content; None is `null`."""
    return sends(json.dumps(completion(content, finish_reason, **message)), name=name)


def sends(content: str, status: int = 200, *, name: str = "sends", **headers: str) -> Behaviour:
    """Answers with a body of any kind."""
    return Behaviour(name, lambda call: call.send(status, content, headers))


def refuses(status: int, error: Any = None, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answers with an error in OpenAI's form."""
    given = {"message": f"refused with {status}", "type": "error", "code": None, **(error or {})}
    return Behaviour(str(status), lambda call: call.send(status, json.dumps({"error": given}), headers))


def _answer(call: Exchange) -> None:
    if call.body.get("stream"):
        _stream(call)
    else:
        call.send(200, json.dumps(completion(call.reply)))


def _stream(call: Exchange, *, whole: bool = True) -> None:
    """The reply in server-sent events; not whole: the connection closes in the middle."""
    half = len(call.reply) // 2
    deltas = [{"role": "assistant", "content": call.reply[:half]}, {"content": call.reply[half:]}, {}]
    events = [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"} for delta in deltas]
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "test"}
    lines = [f"data: {json.dumps({**base, 'choices': [event]})}\n\n" for event in events]
    lines = [*lines, "data: [DONE]\n\n"] if whole else lines[:1]
    call.send_response(200)
    call.head_on({"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
    for line in [*lines, ""] if whole else lines:  # an empty one ends the body
        call.wfile.write(f"{len(line.encode()):x}\r\n{line}\r\n".encode())
    if not whole:
        call.break_off()


def _half(call: Exchange, *, reset: bool = False, wait: bool = False) -> None:
    if call.body.get("stream"):
        return _stream(call, whole=False)
    content = json.dumps(completion(call.reply)).encode()
    call.write_headers(200, len(content))
    call.wfile.write(content[: len(content) // 2])
    return call.wait() if wait else call.break_off(reset=reset)


ANSWERS = Behaviour("answers", _answer)
HANGS = Behaviour("hangs", Exchange.wait)
STALLS = Behaviour("stalls in the middle", lambda call: _half(call, wait=True))
RESETS = Behaviour("resets", lambda call: call.break_off(reset=True))
CLOSES = Behaviour("closes", lambda call: call.break_off())
HALF_A_BODY = Behaviour("half a body", _half)
RESETS_IN_THE_MIDDLE = Behaviour("resets in the middle", lambda call: _half(call, reset=True))
HALF_A_JSON = sends(json.dumps(completion("a reply that is cut off"))[:90], name="half a JSON text")
FAILURES = (
    *(refuses(status) for status in (408, 429, 500, 502, 503, 529)),
    *(RESETS, CLOSES, HALF_A_BODY, RESETS_IN_THE_MIDDLE, HALF_A_JSON),
)
"""What passes by itself: the random failures are drawn from these."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    owner: ModelServer

    def server_bind(self) -> None:
        """As HTTPServer's, without its look-up of the host's name."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            self.owner.faults.append(repr(sys.exception()))


class _Taken:
    """A call that is being served, counted while it is."""

    def __init__(self, server: ModelServer, behaviour: Behaviour) -> None:
        self.server, self.behaviour = server, behaviour

    def __enter__(self) -> Behaviour:
        with self.server.lock:
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        self.server.closing.wait(self.server.latency)
        return self.behaviour

    def __exit__(self, *_: object) -> None:
        with self.server.lock:
            self.server.at_once -= 1


class ModelServer:
    """The server, from `with` to its end.

    Args:
        reply: The right reply to a prompt.
        failure_rate: Share of calls that fail, one of `FAILURES` each; decided by seed and number.
        seed: Seed of these failures.
        latency: Seconds before anything is answered.
        keep_alive: Whether connections are kept. A client's kept ones outlive an event loop, which
            Python warns of, so not in a test that has one.
    """

    def __init__(
        self,
        reply: Callable[[str], str] = noted,
        *,
        failure_rate: float = 0.0,
        seed: int = 0,
        latency: float = 0.0,
        keep_alive: bool = False,
    ) -> None:
        self.reply, self.failure_rate, self.seed, self.latency = reply, failure_rate, seed, latency
        self.keep_alive = keep_alive
        self.plan: deque[Behaviour] = deque()
        self.always: Behaviour = ANSWERS
        self.journal: list[Asked] = []
        self.faults: list[str] = []
        self.at_once = self.most_at_once = 0
        self.lock, self.closing = threading.Lock(), threading.Event()

    def then(self, *behaviours: Behaviour) -> Self:
        """What to do with the next calls, one behaviour each; afterwards it answers."""
        self.plan.extend(behaviours)
        return self

    def taking(self, body: dict[str, Any]) -> _Taken:
        """Enter a call into the journal and decide what is done with it."""
        with self.lock:
            number = len(self.journal)
            behaviour = self.plan.popleft() if self.plan else self._by_chance(number)
            self.journal.append(Asked(number, behaviour.name, prompt_of(body), body))
        return _Taken(self, behaviour)

    def _by_chance(self, number: int) -> Behaviour:
        dice = random.Random(f"{self.seed}:{number}")
        return dice.choice(FAILURES) if dice.random() < self.failure_rate else self.always

    def anew(self) -> Self:
        """As if it had just been started, at the same address: clients of a known one are made faster."""
        with self.lock:
            self.plan.clear()
            self.journal, self.always = [], ANSWERS
        return self

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def behaviours(self) -> list[str]:
        """What was done with each call."""
        return [asked.behaviour for asked in self.journal]

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), Exchange)
        self._server.owner = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        assert not self.faults, self.faults
