"""What the tests of notifications share: receivers on loopback that write things down, and a clock that never waits."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio

from desk_parts import default_playbook, ticket
from triagedesk.models import Choice, Provenance, Reason, Response, Source, Suggestion, Ticket
from triagedesk.service.notify import Kind, Notice, notice_of

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY = "R0UT1NGK3Y" + "x" * 22
SECRET = "a-shared-secret-of-32-characters"
SLACK_PATH = "/services/T000CANARY/B000CANARY/token-canary"


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Seconds so far."""
        return self.at

    def now(self) -> datetime:
        """Noon, and what was slept since."""
        return NOON + timedelta(seconds=self.at - 1000)

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.slept.append(seconds)
        self.at += seconds
        await anyio.lowlevel.checkpoint()


@dataclass(frozen=True)
class Got:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP server that gives its replies in order (the last again and again) and writes requests down."""

    replies: list[tuple[int, Mapping[str, str]]] = field(default_factory=lambda: [(200, {})])
    got: list[Got] = field(default_factory=list)
    port: int = 0
    release: threading.Event = field(default_factory=threading.Event)
    holds: bool = False

    def url(self, path: str = "/") -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}{path}"

    def take(self, got: Got) -> tuple[int, Mapping[str, str]]:
        """Write a request down and say what to reply."""
        self.got.append(got)
        if self.holds:
            self.release.wait(10)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def receiver(*replies: int | tuple[int, Mapping[str, str]], holds: bool = False) -> Iterator[Receiver]:
    """Open a receiver on loopback."""
    made = Receiver([reply if isinstance(reply, tuple) else (reply, {}) for reply in replies or (200,)], holds=holds)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            lower = {name.lower(): value for name, value in self.headers.items()}
            status, headers = made.take(Got(self.path, lower, body))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstairs
            """Say nothing."""

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        made.port = port
        try:
            yield made
        finally:
            made.release.set()


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    if isinstance(server, socketserver.ThreadingMixIn):
        server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class MailServer:
    """A small SMTP server: what it says to a command can be set; what it was told is written down."""

    says: dict[str, list[str]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    drips: bool = False
    port: int = 0

    def reply(self, command: str) -> str:
        """Say what comes next for a command."""
        replies = self.says.get(command, [_GOOD.get(command, "250 ok")])
        return replies.pop(0) if len(replies) > 1 else replies[0]


_GOOD = {"": "220 test", "DATA": "354 go on", "QUIT": "221 bye", "AUTH": "235 welcome", "STARTTLS": "220 go on"}


@contextmanager
def mail_server(*, tls: ssl.SSLContext | None = None, drips: bool = False, **says: list[str]) -> Iterator[MailServer]:
    """Open a mail server on loopback."""
    made = MailServer(says=says, tls=tls, drips=drips)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with ExitStack() as open_lines, suppress(OSError, ValueError):
                _converse(made, self.request, open_lines)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with _serving(Server(("127.0.0.1", 0), Handler)) as port:
        made.port = port
        yield made


def _converse(made: MailServer, line: Any, open_lines: ExitStack) -> None:
    if made.drips:
        for _ in range(100):
            line.sendall(b"2")
            time.sleep(0.05)
        return
    reader = open_lines.enter_context(line.makefile("rb"))
    line.sendall(made.reply("").encode() + b"\r\n")
    while text := reader.readline().decode().strip():
        made.told.append(text)
        command = text.split()[0].upper()
        if command == "EHLO":
            offers = ["250-test", *(["250-STARTTLS"] if made.tls else []), "250 AUTH PLAIN"]
            line.sendall("\r\n".join(offers).encode() + b"\r\n")
            continue
        reply = made.reply(command)
        line.sendall(reply.encode() + b"\r\n")
        if command == "STARTTLS" and made.tls and reply.startswith("220"):
            line = open_lines.enter_context(made.tls.wrap_socket(line, server_side=True))
            reader = open_lines.enter_context(line.makefile("rb"))
        if command == "DATA" and reply.startswith("354"):
            made.messages.append(b"".join(iter(reader.readline, b".\r\n")))
            line.sendall(made.reply("TAKEN").encode() + b"\r\n")
        if command == "QUIT":
            return


def suggestion(
    *reasons: Reason, urgency: str = "critical", ticket_id: str = "T-1", queue: str = "incident"
) -> Suggestion:
    """Write a suggestion."""
    return Suggestion(
        ticket_id=ticket_id,
        labels={
            "urgency": Choice(label=urgency, reasons=reasons),
            "issue_type": Choice(label="outage"),
            "escalation": Choice(label="technical"),
        },
        response=Response(first_response_due=NOON, resolution_due=NOON),
        queue=queue,
        provenance=Provenance(source=Source.RULES, playbook="default@1"),
    )


def reason(body: str, quote: str, text: str = "A service is down for many.") -> Reason:
    """Write a reason whose quote stands in the body."""
    start = body.index(quote)
    return Reason(text=text, quote=quote, field="body", start=start, end=start + len(quote))


def notice(kind: Kind = Kind.CRITICAL, *, body: str = "All tills are down.", quote: str = "All tills are down",
           urgency: str = "critical", ticket_id: str = "T-1", text: str = "A service is down for many.",
           suggestion_id: str = "s_1", given: Ticket | None = None, **more: Any) -> Notice:  # fmt: skip
    """Write an alarm about a ticket."""
    return notice_of(
        kind, suggestion(reason(body, quote, text), urgency=urgency, ticket_id=ticket_id), suggestion_id=suggestion_id,
        playbook=default_playbook(), at=NOON, ticket=given or ticket(body), **more,
    )  # fmt: skip
