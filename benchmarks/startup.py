"""Start-up: CPU time of the command line's quick commands, beside `llm --help` where that program is installed.

    python benchmarks/startup.py [ROUNDS]

CPU is user + system time of the child process, the median over the rounds (default 7), with compiled bytecode. The
targets are 0.12 of `llm --help` for --help and --version, and 0.30 for one ticket by rules alone.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

TICKET = "My charger started smoking, please tell me which cable to buy"
TRIAGEDESK = [sys.executable, "-m", "triagedesk"]
COMMANDS = {
    "--help": ([*TRIAGEDESK, "--help"], 0.12),
    "--version": ([*TRIAGEDESK, "--version"], 0.12),
    "classify --json, rules": ([*TRIAGEDESK, "classify", "--model", "rules", "--json", TICKET], 0.30),
    "classify, rules": ([*TRIAGEDESK, "classify", "--model", "rules", TICKET], 0.30),
    "python -c pass": ([sys.executable, "-c", "pass"], None),
}


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


def main() -> int:
    """Measure in interleaved rounds, print a table; 1 if a target is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    commands = {name: command for name, (command, _) in COMMANDS.items()}
    if llm := peer():
        commands["llm --help"] = llm
    for command in commands.values():
        measure(command)  # compiles the bytecode
    runs = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(measure(command))
    middle = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in runs.items()}
    return report(middle)


def report(middle: dict[str, list[float]]) -> int:
    """Print the table; 1 if a target is missed."""
    base = middle.get("llm --help", [None])[0]
    missed = 0
    print(f"{'command':<24} {'cpu ms':>7} {'wall ms':>8} {'MB':>5} {'x llm':>6} {'target':>7}")
    for name, (cpu, wall, memory) in middle.items():
        target = COMMANDS.get(name, (None, None))[1]
        share = cpu / base if base else None
        missed += bool(share and target and share > target)
        shown = [f"{value:.2f}" if value is not None else "-" for value in (share, target)]
        print(f"{name:<24} {cpu:>7.0f} {wall:>8.0f} {memory:>5.0f} {shown[0]:>6} {shown[1]:>7}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
