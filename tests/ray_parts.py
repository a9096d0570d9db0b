"""What the tests of the Ray engine share: a cluster of two nodes on this machine, and a model server that can kill."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from misbehaving import Request, completion, good_answer

STORE_BYTES = 100_000_000
POISON = "POISON-1984 kills whoever asks about it"
KEY = "sk-CANARY-RAY-4242"


class Cluster:
    """Two nodes with one CPU each; the driver is connected to the first."""

    def __init__(self) -> None:
        import ray
        from ray.cluster_utils import Cluster as Nodes

        # A dead node shall be noticed within three seconds, not ten.
        health = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500,
                  "health_check_timeout_ms": 1000, "health_check_failure_threshold": 3}  # fmt: skip
        node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
        self._nodes: Any = Nodes(
            initialize_head=True, head_node_args={**node, "include_dashboard": False, "_system_config": health}
        )
        self._second = self._nodes.add_node(**node)
        ray.init(address=self.address, log_to_driver=False, logging_level=logging.CRITICAL)

    @property
    def address(self) -> str:
        """Where another driver connects."""
        return str(self._nodes.address)

    @property
    def session(self) -> Path:
        """The folder where Ray writes its logs."""
        return Path(str(self._nodes.head_node.get_session_dir_path()))

    def kill_second_node(self) -> None:
        """Kill every process of the second node, without a word."""
        self._nodes.remove_node(self._second, allow_graceful=False)

    def workers(self) -> list[int]:
        """Return the processes of this cluster's actors that answer blocks."""
        raylets = [[b"%d" % one.all_processes["raylet"][0].process.pid] for one in self._nodes.list_all_nodes()]
        return [
            int(folder.name) for folder in Path("/proc").iterdir()
            if folder.name.isdigit()
            and _read(folder / "cmdline").startswith(b"ray::MapWorker(MapBatches(AnswerBlocks))")
            and _read(folder / "stat").rpartition(b")")[2].split()[1:2] in raylets
        ]  # fmt: skip

    def close(self) -> None:
        """End every process of the cluster."""
        import ray

        ray.shutdown()
        self._nodes.shutdown()


def kill(process: int) -> None:
    """Kill a process so that it cannot do anything about it."""
    os.kill(process, signal.SIGKILL)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


class Model:
    """A model server on loopback: answers validly after `delay_s`, kills who asks about poison, refuses when told to.

    `asked` are the tickets' texts in the order in which they came, each with its time; `refuse_s` is the Retry-After of
    the next request's 429, once.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.delay_s, self.refuse_s, self.refused_at = 0.0, 0.0, 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def texts(self) -> list[str]:
        """Return what was asked about."""
        return [text for _, text in self.asked]

    def hear(self, body: bytes, port: int) -> tuple[int, dict[str, str], bytes]:
        """Answer one request of the client at a port: status, headers, body."""
        request = Request(body, 0)
        text = json.loads(request.body["messages"][-1]["content"])["body"]
        self.asked.append((time.monotonic(), text))
        if POISON in text:
            kill(owner(port))
        if self.refuse_s:
            seconds, self.refuse_s, self.refused_at = self.refuse_s, 0.0, time.monotonic()
            return 429, {"Retry-After": f"{seconds:g}"}, b'{"error":{"message":"slow down"}}'
        time.sleep(self.delay_s)
        return 200, {}, json.dumps(completion(good_answer(request))).encode()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def _handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, {}, b'{"data":[]}')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._send(*model.hear(body, self.client_address[1]))

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            try:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # the client was killed
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


def owner(port: int) -> int:
    """Return the process that has a TCP connection from this port of the machine (Linux)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port and fields[9] != "0":
            return _holder(f"socket:[{fields[9]}]")
    raise LookupError(port)


def _holder(socket: str) -> int:
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == socket:
                return int(link.parts[2])
        except OSError:  # gone meanwhile
            continue
    raise LookupError(socket)


@contextmanager
def serving() -> Iterator[Model]:
    """Run a model server for a test."""
    model = Model()
    try:
        yield model
    finally:
        model.close()
