"""Start-up: CPU time and memory of the quick commands, of a model's client and of the service, beside other programs.

    python benchmarks/startup.py [ROUNDS]

P10, P10b: CPU is user + system time of the child process, commands take turns, with compiled bytecode; ratios are
paired within a round with `llm --help`. None of the quick commands may import what only a model needs. P11: resident
memory of the service when it says that it is ready with a model's client, beside `instructor.from_openai` ready.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import model_server
import rivals
from contest import spread
from figures import Figure, Outcome, Table, number, show

TICKET = "My charger started smoking, please tell me which cable to buy"
TRIAGEDESK = [sys.executable, "-m", "triagedesk"]
PEER = "llm --help"
QUICK = {
    "triagedesk --help": ("P10", [*TRIAGEDESK, "--help"], 0.12, 0.08),
    "triagedesk --version": ("P10", [*TRIAGEDESK, "--version"], 0.12, 0.08),
    "triagedesk classify, rules": ("P10b", [*TRIAGEDESK, "classify", "--model", "rules", TICKET], 0.30, 0.20),
    "triagedesk classify, rules, --json": (
        "P10b", [*TRIAGEDESK, "classify", "--model", "rules", "--json", TICKET], 0.30, 0.20,
    ),
}  # fmt: skip
READY = "import instructor, openai; instructor.from_openai(openai.AsyncOpenAI(api_key='none')).chat.completions"
OTHERS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import openai": [sys.executable, "-c", "import openai"],
    "instructor.from_openai ready": [sys.executable, "-c", READY],
}
RIVALS = {
    PEER: ["-m", "llm", "--help"],
    "import litellm": ["-c", "import litellm"],
    "import langchain_openai": ["-c", "import langchain_openai"],
    "import pydantic_ai": ["-c", "import pydantic_ai"],
    "import spacy": ["-c", "import spacy"],
}
HEAVY = ("openai", "instructor", "httpx2", "diskcache", "holidays", "phonenumbers", "asyncio")
READY_S = 90.0
"""How long the service may take until it is ready."""

Runs = dict[str, list[tuple[float, float, float]]]
"""CPU ms, wall ms and peak MB of each run, by command."""


def _environment() -> dict[str, str]:
    told = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return told | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def measure(command: Sequence[str]) -> tuple[float, float, float] | None:
    """Return CPU ms, wall ms and peak MB of one run; None where it fails or is not there."""
    began = time.perf_counter()
    try:
        child = subprocess.Popen(
            list(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment()
        )
    except OSError:
        return None
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = (time.perf_counter() - began) * 1000
    return None if child.returncode else ((usage.ru_utime + usage.ru_stime) * 1000, wall, usage.ru_maxrss / 1024)


def imported(command: Sequence[str]) -> list[str]:
    """Return which heavy packages a command imports."""
    timed = [command[0], "-X", "importtime", *command[1:]]
    done = subprocess.run(timed, capture_output=True, text=True, check=True, env=_environment())
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    return [name for name in HEAVY if name in names]


def commands(rounds: int) -> Outcome:
    """Measure P10 and P10b."""
    given: dict[str, list[str]] = {name: command for name, (_, command, _, _) in QUICK.items()} | OTHERS
    given |= {name: [rivals.python(), *rest] for name, rest in RIVALS.items()}
    compiled = {name: measure(command) for name, command in given.items()}
    absent = {name: "not installed, or it failed" for name, took in compiled.items() if took is None}
    runs: Runs = {name: [] for name in given if name not in absent}
    for _ in range(rounds):
        for name, kept in runs.items():
            took = measure(given[name])
            if took is not None:
                kept.append(took)
    series = {"cpu_ms": {name: round(spread([run[0] for run in kept])[0], 1) for name, kept in runs.items()}}
    return Outcome(_figures(runs), [_table(runs)], absent, series)


def _figures(runs: Runs) -> list[Figure]:
    figures = []
    for name, (goal_name, command, goal, stretch) in QUICK.items():
        if name in runs and PEER in runs:
            shares = [mine[0] / theirs[0] for mine, theirs in zip(runs[name], runs[PEER], strict=False)]
            middle, least, most = spread(shares)
            heavy = imported(command)
            told = (
                f"{spread([run[0] for run in runs[name]])[0]:.0f} ms CPU; imports {', '.join(heavy) or 'nothing heavy'}"
            )
            figures.append(Figure(goal_name, f"{name}, × {PEER}", middle, "×", goal, note=told, stretch=stretch,
                                  least=least, most=most))  # fmt: skip
    return figures


def _table(runs: Runs) -> Table:
    rows, peers = [], runs.get(PEER)
    for name in sorted(runs, key=lambda name: spread([run[0] for run in runs[name]])[0]):
        cpu, wall, memory = (spread([run[column] for run in runs[name]])[0] for column in range(3))
        share = number(cpu / spread([run[0] for run in peers])[0]) if peers else "–"
        rows.append((name, number(cpu), number(wall), share, number(memory)))
    return Table("Start", ("command", "CPU ms", "wall ms", f"× {PEER}", "peak MB"), rows, "Bytecode compiled before.")


def service() -> Outcome:
    """Measure P11: start the service with a model's client and ask until it is ready."""
    with model_server.running() as base_url, tempfile.TemporaryDirectory() as folder:
        took = {name: _ready(folder, {**more, "TRIAGEDESK_CACHE_DIR": folder}) for name, more in (
            ("service, rules only", {"TRIAGEDESK_MODEL": "rules"}),
            ("service, model's client ready",
             {"TRIAGEDESK_MODEL": "openai/made-up-1", "TRIAGEDESK_BASE_URL": base_url}),
        )}  # fmt: skip
    peer = measure([sys.executable, "-c", READY])
    rows = [(name, *map(number, each)) for name, each in took.items() if each]
    found = Outcome(tables=[Table("Service ready", ("what", "CPU ms", "wall ms", "MB"), rows)])
    found.absent = {name: f"not ready within {READY_S:g} s" for name, each in took.items() if each is None}
    ready = took["service, model's client ready"]
    if ready and peer:
        told = f"{ready[2]:.0f} MB beside {peer[2]:.0f} MB; ready after {ready[1] / 1000:.1f} s"
        found.figures.append(Figure("P11", "memory of the service with a model's client, × instructor ready",
                                    ready[2] / peer[2], "×", 1.3, note=told, stretch=1.1))  # fmt: skip
    return found


def _ready(folder: str, more: dict[str, str]) -> tuple[float, float, float] | None:
    """Return CPU ms, wall ms and MB of the service at its first ready answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **_environment(), **more, "TRIAGEDESK_SERVICE_PORT": str(port),
        "TRIAGEDESK_SERVICE_DATABASE_URL": f"sqlite:///{Path(folder, 'service.db')}",
    }  # fmt: skip
    began = time.perf_counter()
    child = subprocess.Popen([*TRIAGEDESK, "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - began < READY_S and child.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return _spent(child.pid, (time.perf_counter() - began) * 1000)
            time.sleep(0.05)
        return None
    finally:
        child.terminate()
        child.wait()


def _spent(pid: int, wall_ms: float) -> tuple[float, float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    cpu_ms = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1000
    pages = int(Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1])
    return cpu_ms, wall_ms, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def outcome(*, quick: bool = False) -> Outcome:
    """Measure P10, P10b and P11."""
    found, more = commands(2 if quick else 7), service()
    return Outcome(found.figures + more.figures, found.tables + more.tables, found.absent | more.absent,
                   found.series)  # fmt: skip


def figures(rounds: int = 7) -> list[Figure]:
    """Measure P10, P10b and P11; return the figures alone."""
    return commands(rounds).figures + service().figures


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
