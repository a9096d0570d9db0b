"""OpenAI's Files and Batches API on loopback: what its documentation promises, and every way it may go wrong.

Slow phases are driven by the count of requests: each look at a batch moves it one step on. `bill` holds the custom_id
of every request that was run, so that a test sees what was paid, and how often.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from misbehaving import completion

Body = dict[str, Any]
Reply = tuple[int, Body | bytes]
STEPS = ("validating", "in_progress", "finalizing", "completed")
EXPIRED = {"code": "batch_expired", "message": "This request could not be executed before the completion window."}
CANCELLED = {"code": "batch_cancelled", "message": "This request was cancelled."}


@dataclass
class Stored:
    """A file at the provider."""

    id: str
    name: str
    data: bytes
    purpose: str = "batch"

    def shown(self) -> Body:
        """Return the File object."""
        return {
            "id": self.id, "object": "file", "bytes": len(self.data), "created_at": int(time.time()),
            "filename": self.name, "purpose": self.purpose, "status": "processed",
        }  # fmt: skip


@dataclass
class Batch:
    """A batch at the provider; `run` is how many of its lines are run before it ends as `ends` says."""

    id: str
    input: Stored
    metadata: dict[str, str] | None
    ends: str = "completed"
    run: int | None = None
    status: str = "validating"
    errors: list[Body] = field(default_factory=list)
    output: str | None = None
    error: str | None = None
    total: int = 0
    counts: tuple[int, int] = (0, 0)

    def shown(self) -> Body:
        """Return the Batch object."""
        return {
            "id": self.id, "object": "batch", "endpoint": "/v1/chat/completions", "completion_window": "24h",
            "input_file_id": self.input.id, "created_at": int(time.time()), "status": self.status,
            "metadata": self.metadata, "output_file_id": self.output, "error_file_id": self.error,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "request_counts": {"total": self.total, "completed": self.counts[0], "failed": self.counts[1]},
        }  # fmt: skip


class FakeBatchApi:
    """The provider. Everything may be changed while it runs.

    `says` turns a request's body into a reply: the content of a completion, or (status, body). `faults` are sent first,
    by "METHOD /path"; a fault is a status, "drop before" or "drop after" (the effect happens, the reply does not come).
    `ends` gives the end of the next batches: ("expired", 3) runs three lines. `seen` is called as "before POST /files";
    a request for which it then says True has no effect.
    """

    def __init__(self) -> None:
        self.says: Callable[[Body], object] = lambda body: {}
        self.faults: dict[str, list[int | str]] = {}
        self.ends: list[tuple[str, int | None]] = []
        self.seen: Callable[[str], object] = lambda what: None
        self.token_limit: int | None = None
        self.max_lines = 50_000
        self.lost: set[int] = set()
        self.extra_lines: list[bytes] = []
        self.calls: Counter[str] = Counter()
        self.bill: Counter[str] = Counter()
        self.live: list[Body] = []
        self.files: dict[str, Stored] = {}
        self.batches: dict[str, Batch] = {}
        self.uploads: list[Stored] = []
        self._lock = threading.RLock()
        self._random = random.Random(7)
        self.port = 0

    @property
    def base_url(self) -> str:
        """Where to reach it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, method: str, path: str, query: dict[str, list[str]], kind: str, data: bytes) -> Reply:
        """Answer one request."""
        folder, *rest = path.removeprefix("/v1/").split("/")
        if folder == "files":
            return self._upload(kind, data) if method == "POST" else self._files(method, rest, query)
        if folder == "batches":
            return self._create(json.loads(data)) if (method, rest) == ("POST", []) else self._batches(rest, query)
        if folder == "chat":
            self.live.append(json.loads(data))
            return _replied(self.says(json.loads(data)))
        return 200, {"object": "list", "data": []}  # models

    def _files(self, method: str, rest: list[str], query: dict[str, list[str]]) -> Reply:
        """List files, send one, or remove one."""
        if not rest:
            return 200, _page([file.shown() for file in reversed(self.files.values())], query, 10_000)
        if rest[0] not in self.files:
            return 404, _problem("no such file", "not_found")
        if method == "DELETE":
            del self.files[rest[0]]
            return 200, {"id": rest[0], "object": "file", "deleted": True}
        return 200, self.files[rest[0]].data

    def _batches(self, rest: list[str], query: dict[str, list[str]]) -> Reply:
        """List batches, show one, or cancel one."""
        if not rest:
            return 200, _page([batch.shown() for batch in reversed(self.batches.values())], query, 20)
        if rest[0] not in self.batches:
            return 404, _problem("no such batch", "not_found")
        batch = self.batches[rest[0]]
        if rest[1:] == ["cancel"]:
            self._cancel(batch)
        else:
            self._step(batch)
        return 200, batch.shown()

    def _upload(self, kind: str, data: bytes) -> Reply:
        message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + data)
        fields = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        if "file" not in fields or fields["purpose"].get_content().strip() != "batch":
            return 400, _problem("'purpose' and 'file' are required", "invalid_request_error")
        part = fields["file"]
        name = str(part.get_filename())
        if not name.endswith(".jsonl"):
            return 400, _problem("Invalid file format for Batch API. Must be .jsonl", "invalid_request_error")
        content = part.get_payload(decode=True)
        stored = Stored(f"file-{len(self.uploads) + 1}", name, bytes(content))
        self.uploads.append(stored)
        self.files[stored.id] = stored
        return 200, stored.shown()

    def _create(self, asked: Body) -> Reply:
        metadata = asked.get("metadata") or {}
        fits = len(metadata) <= 16 and all(len(k) <= 64 and len(v) <= 512 for k, v in metadata.items())
        if asked.get("completion_window") != "24h" or asked.get("endpoint") != "/v1/chat/completions" or not fits:
            return 400, _problem("invalid", "invalid_request_error")
        if asked["input_file_id"] not in self.files:
            return 400, _problem("no such file", "invalid_request_error")
        ends, run = self.ends.pop(0) if self.ends else ("completed", None)
        made = Batch(f"batch_{len(self.batches) + 1}", self.files[asked["input_file_id"]], metadata, ends, run)
        self.batches[made.id] = made
        return 200, made.shown()

    def _step(self, batch: Batch) -> None:
        """Move a batch on by one phase."""
        if batch.status == "validating":
            batch.errors = self._problems(batch)
            batch.status = "failed" if batch.errors else "in_progress"
        elif batch.status == "in_progress" and batch.ends != "stuck":
            batch.status = "finalizing"
        elif batch.status in ("finalizing", "cancelling"):
            self._run(batch)
            batch.status = "cancelled" if batch.status == "cancelling" else batch.ends

    def _cancel(self, batch: Batch) -> None:
        if batch.status in ("validating", "in_progress", "finalizing"):
            batch.status = "cancelling"

    def _problems(self, batch: Batch) -> list[Body]:
        """Validate the input file as the provider does: the first error of each kind, with its line."""
        names: set[str] = set()
        models: set[str] = set()
        lines = batch.input.data.splitlines()
        batch.total = len(lines)
        if batch.ends == "failed":
            return [{"code": "invalid_request", "line": 2, "message": "secret words of a ticket", "param": None}]
        if self.token_limit is not None and self._queued(batch) > self.token_limit:
            return [{"code": "token_limit_exceeded", "line": None, "message": "Enqueued token limit reached"}]
        if not lines or len(lines) > self.max_lines:
            return [{"code": "too_many_tasks" if lines else "empty_file", "line": None, "message": ""}]
        for number, line in enumerate(lines, 1):
            try:
                asked = json.loads(line)
            except ValueError:
                return [{"code": "invalid_json_line", "line": number, "message": "not parseable", "param": None}]
            models.add(asked["body"]["model"])
            for code, wrong in (
                ("duplicate_custom_id", asked["custom_id"] in names),
                ("url_mismatch", asked["url"] != "/v1/chat/completions" or asked["method"] != "POST"),
                ("model_mismatch", len(models) > 1),
            ):
                if wrong:
                    return [{"code": code, "line": number, "message": "", "param": None}]
            names.add(asked["custom_id"])
        return []

    def _queued(self, new: Batch) -> int:
        """Count the requests that wait, as if each were one token."""
        others = (batch.total for batch in self.batches.values() if batch.status in ("in_progress", "finalizing"))
        return new.total + sum(others)

    def _run(self, batch: Batch) -> None:
        """Run the lines, in any order, and write the two files."""
        lines = [json.loads(line) for line in batch.input.data.splitlines()]
        self._random.shuffle(lines)
        stopped = batch.status == "cancelling"
        ready = len(lines) // 2 if stopped and batch.run is None else batch.run
        good, bad = list(self.extra_lines), []
        for number, line in enumerate(lines):
            if ready is not None and number >= ready:
                bad.append(_line(line, None, CANCELLED if stopped else EXPIRED))
            elif number not in self.lost:
                self.bill[line["custom_id"]] += 1
                status, body = _replied(self.says(line["body"]))
                (good if status == 200 else bad).append(_line(line, (status, body), None))
        batch.counts = (len(good), len(bad))
        batch.output, batch.error = self._result(batch, "output", good), self._result(batch, "error", bad)

    def _result(self, batch: Batch, kind: str, lines: list[bytes]) -> str | None:
        if not lines:
            return None
        name = f"file-{batch.id}-{kind}"
        self.files[name] = Stored(name, f"{name}.jsonl", b"".join(lines), "batch_output")
        return name

    def handle(self, request: _Handler) -> None:
        """Take one request from the wire, with its fault if it is due."""
        split = urlsplit(request.path)
        what = f"{request.command} {_pattern(split.path)}"
        data = request.rfile.read(int(request.headers.get("content-length", 0)))
        with self._lock:
            self.calls[what] += 1
            fault = self.faults[what].pop(0) if self.faults.get(what) else None
        if self.seen(f"before {what}"):
            request.drop()
            return
        if isinstance(fault, int):
            request.reply(fault, _problem("a fault", "server_error"), {"Retry-After": "0"} if fault == 429 else {})
            return
        if fault == "drop before":
            request.drop()
            return
        with self._lock:
            kind = request.headers.get("content-type", "")
            status, body = self.answer(request.command, split.path, parse_qs(split.query), kind, data)
        self.seen(f"after {what}")
        if fault == "drop after":
            request.drop()
        elif fault == "cut":
            request.cut(body)
        else:
            request.reply(status, body, {})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: FakeBatchApi

    def do_GET(self) -> None:
        self.api.handle(self)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def reply(self, status: int, body: Body | bytes, headers: dict[str, str]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(data)

    def cut(self, body: Body | bytes) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.drop()

    def drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def log_message(self, *args: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None: ...


def _pattern(path: str) -> str:
    """Return a path without ids: /files/*/content."""
    parts = path.removeprefix("/v1").split("/")
    if len(parts) > 2 and parts[1] in ("files", "batches"):
        parts[2] = "*"
    return "/".join(parts)


def _page(rows: list[Body], query: dict[str, list[str]], default: int) -> Body:
    limit = int(query.get("limit", [str(default)])[0])
    after = query.get("after", [None])[0]
    start = next((number + 1 for number, row in enumerate(rows) if row["id"] == after), 0)
    page = rows[start : start + limit]
    return {
        "object": "list", "data": page, "has_more": start + limit < len(rows),
        "first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None,
    }  # fmt: skip


def _replied(said: object) -> Reply:
    return said if isinstance(said, tuple) else (200, completion(said))


def _line(asked: Body, reply: Reply | None, error: Body | None) -> bytes:
    response = reply and {"status_code": reply[0], "request_id": "req_1", "body": reply[1]}
    told = {"id": "batch_req_1", "custom_id": asked["custom_id"], "response": response, "error": error}
    return json.dumps(told).encode() + b"\n"


def _problem(message: str, code: str) -> Body:
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


@contextmanager
def fake_batch_api() -> Any:
    """Serve a fake provider on a free port of loopback."""
    api = FakeBatchApi()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
