"""A contest: every contestant is a process of its own, all take turns, round by round.

A contestant that cannot start, fails or does not answer in time drops out and is named with the reason; the others go
on. It may live in another Python environment, so nothing here imports more than the standard library. The two speak
lines of JSON: the contestant says that it is ready, then answers each turn with what that took.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Turn = dict[str, Any]
"""What a turn asks, or what it came to: JSON."""

START_S, TURN_S = 120.0, 300.0
"""How long a contestant may take to get ready, and for one turn."""


class DroppedOutError(Exception):
    """A contestant is no longer there; the message says why."""


@dataclass
class Process:
    """A contestant from the outside."""

    name: str
    child: subprocess.Popen[bytes]
    ready: Turn = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    buffered: bytes = b""

    def hear(self, seconds: float) -> Turn:
        """Return its next line. Raises DroppedOutError."""
        assert self.child.stdout is not None
        ends = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.child.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffered:
                if not selector.select(max(0.0, ends - time.monotonic())):
                    raise DroppedOutError(f"no answer in {seconds:g} s")
                data = os.read(self.child.stdout.fileno(), 1 << 16)
                if not data:
                    raise DroppedOutError(f"it ended with {self.child.wait()}")
                self.buffered += data
        line, _, self.buffered = self.buffered.partition(b"\n")
        said: Turn = json.loads(line)
        if "problem" in said:
            raise DroppedOutError(said["problem"])
        return said

    def say(self, turn: Turn) -> None:
        """Ask for a turn. Raises DroppedOutError."""
        assert self.child.stdin is not None
        try:
            self.child.stdin.write(json.dumps(turn).encode() + b"\n")
            self.child.stdin.flush()
        except OSError:
            raise DroppedOutError(f"it ended with {self.child.wait()}") from None

    def end(self) -> None:
        """Stop it."""
        self.child.kill()
        self.child.communicate()


@dataclass
class Contest:
    """Contestants that are there, and those that are not."""

    present: dict[str, Process] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def start(self, commands: Mapping[str, Sequence[str]], start_s: float = START_S) -> None:
        """Start contestants, one after the other."""
        for name, command in commands.items():
            try:
                child = subprocess.Popen(
                    list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    env={key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
                )  # fmt: skip
            except OSError as wrong:
                self.absent[name] = wrong.strerror or "it cannot be started"
                continue
            process = self.present[name] = Process(name, child)
            try:
                process.ready = process.hear(start_s)
            except DroppedOutError as wrong:
                self._drop(name, str(wrong))

    def _drop(self, name: str, why: str) -> None:
        self.present.pop(name).end()
        self.absent[name] = why

    def round(self, turn: Turn, turn_s: float = TURN_S, keep: bool = True) -> None:
        """Let every contestant have its turn; what it took is kept, or forgotten where this only warms up."""
        for name, process in list(self.present.items()):
            try:
                process.say(turn)
                took = process.hear(turn_s)
            except DroppedOutError as wrong:
                self._drop(name, str(wrong))
                continue
            if keep:
                process.turns.append(took)

    def take(self, key: str) -> dict[str, list[float]]:
        """Return one number of every turn, by contestant; then forget the turns."""
        return {name: [turn[key] for turn in each.turns] for name, each in self.present.items()}

    def forget(self) -> None:
        """Begin anew, with the same processes."""
        for each in self.present.values():
            each.turns.clear()

    def ready(self, key: str) -> dict[str, Any]:
        """Return what contestants said when they were ready."""
        return {name: each.ready.get(key) for name, each in self.present.items()}


@contextmanager
def contest(commands: Mapping[str, Sequence[str]], start_s: float = START_S) -> Iterator[Contest]:
    """Start contestants, and stop them all at the end."""
    held = Contest()
    try:
        held.start(commands, start_s)
        yield held
    finally:
        for process in held.present.values():
            process.end()


def paired(spent: Mapping[str, list[float]], one: str, other: str) -> list[float]:
    """Return the ratios of two contestants within each round; none where one is absent."""
    if one not in spent or other not in spent:
        return []
    return [a / b for a, b in zip(spent[one], spent[other], strict=True) if b]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return median, least and most."""
    return statistics.median(values), min(values), max(values)


# --- the contestant's side


def memory_mb() -> float:
    """Return the resident memory of this process, in MB."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize() / 1e6


@dataclass
class Stopwatch:
    """CPU (all threads of this process) and wall microseconds since it was made."""

    cpu: float = field(default_factory=time.process_time)
    wall: float = field(default_factory=time.perf_counter)

    def per(self, count: int) -> Turn:
        """Return what one of so many took."""
        cpu, wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        return {"cpu_us": cpu / count * 1e6, "wall_us": wall / count * 1e6}


async def play(prepare: Callable[[], Awaitable[Callable[[Turn], Awaitable[Turn]]]]) -> None:
    """Get ready and have turns until the other side ends; a failure is told in one line, then it is over."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not mix with the answers

    def tell(said: Turn) -> None:
        out.write(json.dumps(said) + "\n")
        out.flush()

    with contextlib.suppress(BrokenPipeError):
        try:
            have_turn = await prepare()
            tell({"memory_mb": memory_mb()})
            for line in sys.stdin:
                tell(await have_turn(json.loads(line)))
        except (Exception, SystemExit) as wrong:  # noqa: BLE001 - whatever a library raises is named; the rest go on
            first = (str(wrong).strip().splitlines() or [""])[0]
            tell({"problem": f"{type(wrong).__name__}: {first[:160]}"})
