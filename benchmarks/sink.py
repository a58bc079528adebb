"""A LangSmith server that only counts: what the real client uploads, by run and by field."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import zstandard

__all__ = ["Account", "Sink", "Upload"]

_PART_NAME = re.compile(rb'name="(?P<operation>\w+)\.(?P<run>[0-9a-f-]{36})(?:\.(?P<field>\w+))?"')
_INFO: dict[str, Any] = {
    "version": "0.0.0",
    "instance_flags": {"zstd_compression_enabled": True},
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    },
}
"""What a server says of itself; compressed, so posts and patches are sent one by one, never merged."""


@dataclass(frozen=True)
class Upload:
    """One field of one run in one operation.

    Args:
        run: The run's id.
        operation: `post` when it starts, `patch` when it ends.
        field: `inputs`, `outputs`, `extra`, ...; `run` for its own record.
        size: Bytes, before compression.
    """

    run: str
    operation: str
    field: str
    size: int


@dataclass
class Account:
    """What came in.

    Args:
        sent: Bytes on the wire, compressed.
        size: Bytes after decompression, the multipart frame included.
        uploads: The parts.
        names: Runs' names by id, numbers in them turned into `#`.
        values: What came last of each run's fields; `run` is its own record.
    """

    sent: int = 0
    size: int = 0
    uploads: list[Upload] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    values: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def read(self, field: str, name: str) -> list[Any]:
        """The last value of a field (`inputs`, `outputs`, `extra`, `tags`, ...) of every run of a name."""
        runs = [run for run, named in self.names.items() if named == name]
        if field in ("inputs", "outputs", "extra"):
            return [json.loads(self.values.get((run, field), b"null")) for run in runs]
        return [json.loads(self.values[run, "run"]).get(field) for run in runs]

    def by_name(self) -> Counter[tuple[str, str, str]]:
        """Bytes by run name, operation and field, the largest first."""
        totals: Counter[tuple[str, str, str]] = Counter()
        for upload in self.uploads:
            name = self.names.get(upload.run, "unknown")
            totals[name, upload.operation, upload.field] += upload.size
        return totals

    def runs(self) -> Counter[str]:
        """How many runs of each name there are."""
        return Counter(self.names.values())

    def unfinished(self) -> int:
        """How many runs began and never ended: more than 0 tells that uploads were lost."""
        ended = {upload.run for upload in self.uploads if upload.operation == "patch"}
        return len(self.names.keys() - ended)

    def take(self, body: bytes, boundary: bytes) -> None:
        """Add one request's parts."""
        for part in body.split(b"--" + boundary)[1:]:
            head, _, value = part.partition(b"\r\n\r\n")
            if (found := _PART_NAME.search(head)) is None:
                continue
            run, operation = found["run"].decode(), found["operation"].decode()
            value, kind = value.rstrip(b"\r\n"), (found["field"] or b"run").decode()
            self.uploads.append(Upload(run, operation, kind, len(value)))
            self.values[run, kind] = value
            if found["field"] is None and operation == "post":
                self.names[run] = re.sub(r"\d+", "#", json.loads(value)["name"])


class Sink:
    """The server, on a free port of the loopback interface."""

    def __init__(self) -> None:
        self.account = Account()
        self._lock = Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply(_INFO)

            def do_POST(self) -> None:
                sink.receive(dict(self.headers.items()), self._body())
                self._reply({})

            do_PATCH = do_POST  # noqa: N815  # the name http.server looks for

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

            def _body(self) -> bytes:
                if length := self.headers.get("Content-Length"):
                    return self.rfile.read(int(length))
                return b"".join(self._pieces())

            def _pieces(self) -> Iterator[bytes]:
                """A body sent in pieces: the client does so where it does not know the length."""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

            def _reply(self, value: dict[str, Any]) -> None:
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def receive(self, headers: dict[str, str], body: bytes) -> None:
        """Count one request."""
        known = {name.lower(): value for name, value in headers.items()}
        plain = body
        if known.get("content-encoding") == "zstd":
            plain = zstandard.ZstdDecompressor().decompressobj().decompress(body)
        with self._lock:
            self.account.sent += len(body)
            self.account.size += len(plain)
            if "boundary=" in (kind := known.get("content-type", "")):
                self.account.take(plain, kind.partition("boundary=")[2].strip('"').encode())

    @contextmanager
    def running(self) -> Iterator[Sink]:
        """Serve in threads of its own, and stop."""
        thread = Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
