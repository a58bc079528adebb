"""A LangSmith server on loopback that keeps what the client sends: datasets, examples, runs, feedback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import zstandard

_INFO: dict[str, Any] = {
    "version": "0.13.0",
    "instance_flags": {
        "zstd_compression_enabled": True,
        "dataset_examples_multipart_enabled": True,
        "examples_multipart_enabled": True,
    },
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    },
}
_TENANT = "00000000-0000-0000-0000-000000000001"
_TIME = "2026-01-01T00:00:00+00:00"


class LangSmithServer:
    """What came in, and the server that took it. Paths in `refuses` are answered with 403."""

    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, Any]] = {}
        self.examples: dict[str, dict[str, Any]] = {}
        self.projects: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.feedback: list[dict[str, Any]] = []
        self.unknown: list[str] = []
        self.refuses: set[str] = set()
        self.lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve in threads of its own; gives the address."""
        owner = self

        class Handler(_Handler):
            server_of = owner

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
            assert not self.unknown, self.unknown


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: LangSmithServer

    def log_message(self, format: str, *args: Any) -> None:
        """The server's own lists tell more."""

    def do_GET(self) -> None:
        path, query = self._asked()
        account = self.server_of
        if path == "/info":
            return self._reply(_INFO)
        if path == "/datasets":
            name = query.get("name", [None])[0]
            return self._reply([one for one in account.datasets.values() if one["name"] == name])
        if path == "/sessions":  # the client looks whose workspace it is
            return self._reply(
                [{"id": str(uuid4()), "tenant_id": _TENANT, "start_time": _TIME, "name": "any"}]
            )
        if path == "/examples":
            wanted, start = query["dataset"][0], int(query.get("offset", ["0"])[0])
            found = [one for one in account.examples.values() if one["dataset_id"] == wanted]
            return self._reply(found[start : start + int(query.get("limit", ["100"])[0])])
        return self._lost(path)

    def do_POST(self) -> None:
        path, _ = self._asked()
        body = self._body()
        account = self.server_of
        if path in account.refuses:
            return self._reply({"detail": "not allowed"}, 403)
        with account.lock:
            if path in ("/datasets", "/sessions"):
                made = {"id": str(uuid4()), "created_at": _TIME, "start_time": _TIME, "tenant_id": _TENANT}
                made |= json.loads(body)
                (account.datasets if path == "/datasets" else account.projects)[made["id"]] = made
                return self._reply(made)
            if found := re.fullmatch(r"(?:/v1)?/platform/datasets/([0-9a-f-]+)/examples", path):
                return self._reply(self._take_examples(found[1], body))
            if path == "/runs/multipart":
                return self._reply(self._take_runs(body))
            if path == "/feedback":
                account.feedback.append(json.loads(body))
                return self._reply({})
        return self._lost(path)

    def do_PATCH(self) -> None:
        path, _ = self._asked()
        self._body()
        self._lost(path)

    def _take_examples(self, dataset: str, body: bytes) -> dict[str, Any]:
        taken = []
        for name, value in self._parts(body):
            id_, _, part = name.partition(".")
            example = self.server_of.examples.setdefault(
                id_,
                {"id": id_, "dataset_id": dataset, "created_at": _TIME, "modified_at": _TIME, "inputs": {}},
            )
            example |= {part: value} if part else value
            taken.append(id_)
        ids = list(dict.fromkeys(taken))
        return {"example_ids": ids, "count": len(ids), "as_of": _TIME}

    def _take_runs(self, body: bytes) -> dict[str, Any]:
        for name, value in self._parts(body):
            kind, id_, *part = name.split(".")
            if kind == "feedback":
                self.server_of.feedback.append(value)
                continue
            run = self.server_of.runs.setdefault(id_, {})
            run |= {part[0]: value} if part else value
        return {}

    def _parts(self, body: bytes) -> Iterator[tuple[str, Any]]:
        """The parts of a multipart body, read as JSON."""
        head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
        for part in BytesParser().parsebytes(head + body).walk():
            if name := part.get_param("name", header="content-disposition"):
                yield str(name), json.loads(part.get_payload(decode=True) or b"null")  # type: ignore[arg-type]

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        return url.path, parse_qs(url.query)

    def _body(self) -> bytes:
        if length := self.headers.get("Content-Length"):
            body = self.rfile.read(int(length))
        else:
            body = b"".join(self._pieces())
        if self.headers.get("Content-Encoding") == "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
        return body

    def _pieces(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _lost(self, path: str) -> None:
        self.server_of.unknown.append(f"{self.command} {path}")
        self._reply({"detail": "unknown"}, 404)

    def _reply(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
