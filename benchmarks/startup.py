"""Start-up: CPU time of the command line's quick commands, beside `llm --help` where that program is installed.

    python benchmarks/startup.py [ROUNDS]

P10, P10b: CPU is user + system time of the child process, commands take turns, with compiled bytecode; ratios are
paired within a round. None of the commands may import what only a model needs.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from figures import Figure, show

TICKET = "My charger started smoking, please tell me which cable to buy"
TRIAGEDESK = [sys.executable, "-m", "triagedesk"]
PEER = "llm --help"
COMMANDS = {
    "--help": ("P10", [*TRIAGEDESK, "--help"], 0.12),
    "--version": ("P10", [*TRIAGEDESK, "--version"], 0.12),
    "classify by rules": ("P10b", [*TRIAGEDESK, "classify", "--model", "rules", TICKET], 0.30),
    "classify by rules, --json": ("P10b", [*TRIAGEDESK, "classify", "--model", "rules", "--json", TICKET], 0.30),
}
Runs = list[tuple[float, float, float]]
"""CPU ms, wall ms and peak MB of each run."""

HEAVY = ("openai", "instructor", "httpx2", "diskcache", "holidays", "phonenumbers", "asyncio")


def peer() -> list[str] | None:
    """Find `llm`, on the path or beside this Python."""
    beside = Path(sys.executable).with_name("llm")
    found = shutil.which("llm") or (str(beside) if beside.exists() else None)
    return [found, "--help"] if found else None


def measure(command: list[str]) -> tuple[float, float, float]:
    """Return CPU ms, wall ms and peak MB of one run."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"failed with {child.returncode}: {command}")
    wall = (time.perf_counter() - began) * 1000
    return (usage.ru_utime + usage.ru_stime) * 1000, wall, usage.ru_maxrss / 1024


def imported(command: list[str]) -> list[str]:
    """Return which heavy packages a command imports."""
    done = subprocess.run([command[0], "-X", "importtime", *command[1:]], capture_output=True, text=True, check=True)
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    return [name for name in HEAVY if name in names]


def figures(rounds: int = 7) -> list[Figure]:
    """Measure in turns."""
    commands = {name: command for name, (_, command, _) in COMMANDS.items()}
    llm = peer()
    if llm:
        commands[PEER] = llm
    for command in commands.values():
        measure(command)  # compiles the bytecode
    runs: dict[str, Runs] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(measure(command))
    found = [_figure(name, runs[name], runs.get(PEER)) for name in COMMANDS]
    if llm is None:
        print("llm is not installed: no ratio for P10", file=sys.stderr)
    return found


def _figure(
    name: str, own: list[tuple[float, float, float]], others: list[tuple[float, float, float]] | None
) -> Figure:
    number, command, goal = COMMANDS[name]
    cpu, wall, memory = (statistics.median(column) for column in zip(*own, strict=True))
    heavy = imported(command)
    told = f"{cpu:.0f} ms CPU, {wall:.0f} ms, {memory:.0f} MB; imports {', '.join(heavy) or 'nothing heavy'}"
    if others is None:
        return Figure(number, name, cpu, "ms CPU", note=told)
    share = statistics.median(mine[0] / theirs[0] for mine, theirs in zip(own, others, strict=True))
    return Figure(number, f"{name}, × {PEER}", share, "×", goal, note=told)


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
