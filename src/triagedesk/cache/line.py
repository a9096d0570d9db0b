"""One connection to a Redis or Valkey server, kept by a task of its own; nobody waits for one that hangs or is lost.

What callers want is sent in batches, in the order in which it was given. The first fault fails all that waits, and from
then on nobody is kept waiting, until the task has connected anew and been answered in time: a circuit breaker whose
probes cost no ticket anything. The timer stands where the reply is read, so a busy event loop is not taken for a fault.
"""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import re2
from redis import exceptions as redis_errors
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from triagedesk.errors import ConfigError

CALL_S = 0.02
"""A server that has not answered for so long is at fault, in seconds (RELIABILITY F50)."""

CONNECT_S = 1.0
"""How long a connection may take to come about, in seconds. Nobody waits for it."""

SHORTEST_REST_S, REST_S = 0.1, 2.0
"""After a fault the server is left alone for so many seconds: twice as long each time, up to the second figure."""

MAX_WAITING, MAX_BATCH, MAX_BATCH_CHARS = 1_024, 50, 524_288
"""So many writes may wait, and so many errands or characters go in one batch."""

SECRET_NAME = "triagedesk:secret"  # noqa: S105 (a name)
SECRET_BYTES = 32

Command = tuple[str | bytes | int, ...]
Reply = object
"""What the server said: bytes, a number, None, a list, or a ResponseError that it answered with."""

FAULTS = (
    redis_errors.RedisError, OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    RuntimeError, MemoryError,
)  # fmt: skip
"""What a lost, hanging, refusing or garbling server makes of a call."""


class SecretChangedError(ValueError):
    """The secret on the server is not the one that names and seals were made with."""


def fault_kind(wrong: BaseException) -> str:
    """Name a fault: one closed set of kinds for counters."""
    if isinstance(wrong, (TimeoutError, redis_errors.TimeoutError)):
        return "timeout"
    if isinstance(wrong, (redis_errors.AuthenticationError, redis_errors.AuthorizationError)):
        return "refused"
    if isinstance(wrong, redis_errors.ResponseError):
        return "foreign" if str(wrong).startswith("WRONGTYPE") else "refused"
    if isinstance(wrong, SecretChangedError):
        return "foreign"
    if isinstance(wrong, (redis_errors.ConnectionError, OSError, EOFError)):
        return "connect"
    return "protocol"


PROBLEMS = {
    "timeout": "it does not answer in time",
    "refused": "it refuses us: check user, password and permissions",
    "foreign": f"{SECRET_NAME} is not ours there",
    "connect": "it cannot be reached",
    "protocol": "it does not speak as Redis does",
}
"""What is wrong, in words that hold nothing of the address or the reply."""


def shown(url: str) -> str:
    """Return an address without user, password and options."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    host = parts.hostname or "localhost"
    number = parts.path.strip("/")
    database = f"/{number}" if number.isdecimal() else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port or 6379}{database}"


def _options(url: str) -> dict[str, Any]:
    """Read an address; whatever it says, time is kept here and nothing is retried."""
    return {
        **parse_url(url), "socket_timeout": None, "socket_connect_timeout": None, "health_check_interval": 0,
        "protocol": 2, "decode_responses": False, "retry": Retry(NoBackoff(), 0),
    }  # fmt: skip


@dataclass(eq=False, slots=True)
class _Errand:
    commands: tuple[Command, ...]
    asks: bool
    chars: int = 0
    done: anyio.Event = field(default_factory=anyio.Event)
    replies: list[Reply] | None = None


class Line:
    """Carries commands to a server. Raises ConfigError for options in the address that redis-py does not know."""

    def __init__(self, url: str, faults: Counter[str], *, secret: bytes | None, call_s: float) -> None:
        self.place = shown(url)
        self.up = False
        self.problem: str | None = None
        self.secret = secret or b""
        self._agrees = secret is None
        self._faults, self._call_s = faults, call_s
        try:
            self._options = _options(url)
            self._kind: type[AbstractConnection] = self._options.pop("connection_class", Connection)
            self._connection = self._kind(**self._options)
        except (TypeError, ValueError, redis_errors.RedisError):
            raise ConfigError("cache_url: it has an option that is not known or cannot be used") from None
        self._waiting: deque[_Errand] = deque()
        self._under_way: list[_Errand] = []
        self._wake = anyio.Event()
        self._tried = anyio.Event()
        self._strikes, self._struck_at = 0, float("-inf")

    # --- what callers say ---

    async def ask(self, *commands: Command) -> list[Reply] | None:
        """Return the replies to some commands, or None when there is a fault, which is counted."""
        if not self.up:
            self._faults["resting"] += 1
            return None
        errand = _Errand(commands, asks=True)
        self._hand_over(errand)
        await errand.done.wait()
        return errand.replies

    def tell(self, command: Command, chars: int = 0) -> bool:
        """Send a command soon, after all that was given before it. Returns False, and counts it, if that cannot be."""
        if not self.up or len(self._waiting) >= MAX_WAITING:
            self._faults["dropped"] += 1
            return False
        self._hand_over(_Errand((command,), asks=False, chars=chars))
        return True

    def _hand_over(self, errand: _Errand) -> None:
        self._waiting.append(errand)
        self._wake.set()

    async def finish(self, seconds: float) -> None:
        """Wait until what was given so far has been sent, for so many seconds at most."""
        with anyio.move_on_after(seconds):
            if self.up:
                await self.ask(("PING",))  # what is answered last came last

    async def tried(self, seconds: float) -> None:
        """Wait until the first connection has come about or failed, for so many seconds at most."""
        with anyio.move_on_after(seconds):
            await self._tried.wait()

    # --- the task ---

    async def serve(self) -> None:
        """Keep the connection and carry what waits, until cancelled; then nobody is left waiting."""
        try:
            await self._serve()
        finally:
            self._let_go()

    async def _serve(self) -> None:
        while True:
            try:
                await self._connect()
                while True:
                    await self._carry()
            except FAULTS as wrong:
                self._fail(fault_kind(wrong))
            finally:
                self.up = False
                await self._hang_up()
                self._tried.set()
            await anyio.sleep(self._rest_s())

    def _rest_s(self) -> float:
        """Return how long to leave the server alone; one that was well for a while is forgiven its earlier faults."""
        now = anyio.current_time()
        self._strikes = 0 if now - self._struck_at > 2 * REST_S else self._strikes + 1
        self._struck_at = now
        return min(SHORTEST_REST_S * 2.0**self._strikes, REST_S)

    async def _connect(self) -> None:
        with anyio.fail_after(max(CONNECT_S, self._call_s)):
            self._connection = self._kind(**self._options)
            await self._connection.connect()
        with anyio.fail_after(self._call_s):
            (pong,) = await self._send([("PING",)])
        if pong != b"PONG":
            raise pong if isinstance(pong, redis_errors.ResponseError) else redis_errors.InvalidResponse
        if self._agrees:
            with anyio.fail_after(2 * self._call_s):
                self.secret = await self._agreed()
        self.up, self.problem = True, None
        self._tried.set()

    async def _agreed(self) -> bytes:
        """Return the secret that lies on the server, put there by whoever came first."""
        made = secrets.token_hex(SECRET_BYTES)
        (found,) = await self._send([("GET", SECRET_NAME)])
        if found is None:
            _, found = await self._send([("SET", SECRET_NAME, made, "NX"), ("GET", SECRET_NAME)])
        if isinstance(found, redis_errors.ResponseError):
            raise found
        if not isinstance(found, bytes) or not re2.fullmatch(rb"[0-9a-f]{64}", found):
            raise SecretChangedError
        return found

    async def _carry(self) -> None:
        """Send what waits; with it goes a look at the secret, which also keeps a full server from evicting that."""
        while not self._waiting:
            self._wake = anyio.Event()
            await self._wake.wait()
        self._gather()
        look: list[Command] = [("GET", SECRET_NAME)] if self._agrees else []
        with anyio.fail_after(self._call_s):
            replies = await self._send([*look, *(command for each in self._under_way for command in each.commands)])
        if look and replies.pop(0) != self.secret:
            raise SecretChangedError
        for errand in self._under_way:
            errand.replies, replies = replies[: len(errand.commands)], replies[len(errand.commands) :]
            self._note(errand)
        self._under_way = []

    def _gather(self) -> None:
        chars = 0
        while self._waiting and len(self._under_way) < MAX_BATCH and chars <= MAX_BATCH_CHARS:
            self._under_way.append(self._waiting.popleft())
            chars += self._under_way[-1].chars

    def _note(self, errand: _Errand) -> None:
        """Hand an errand its replies; each error among them is a fault."""
        for reply in errand.replies or ():
            if isinstance(reply, redis_errors.ResponseError):
                self._faults[fault_kind(reply)] += 1
        errand.done.set()

    async def _send(self, commands: Sequence[Command]) -> list[Reply]:
        connection = self._connection
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        replies: list[Reply] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except redis_errors.ResponseError as said:
                replies.append(said)
        return replies

    def _fail(self, kind: str) -> None:
        """Let nobody wait any longer; a question is a counted miss, a write is dropped."""
        self.up, self.problem = False, f"{self.place}: {PROBLEMS[kind]}"
        self._faults[kind] += max(1, self._let_go())

    def _let_go(self) -> int:
        """Give up all errands. Returns how many of them were questions."""
        errands = [*self._under_way, *self._waiting]
        self._under_way = []
        self._waiting.clear()
        asked = sum(errand.asks for errand in errands)
        if len(errands) > asked:
            self._faults["dropped"] += len(errands) - asked
        for errand in errands:
            errand.done.set()
        return asked

    async def _hang_up(self) -> None:
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._call_s):
                await self._connection.disconnect()
        except FAULTS:
            return  # it was lost already
