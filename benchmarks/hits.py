"""Cache hits through the public interface, beside other libraries' caches and the limits below all of them.

    python benchmarks/hits.py [ROUNDS]

P4: a ticket that comes again, through `Desk.suggest`, beside `model_validate_json` of the bare answer. P5: its answer
only on disk, beside `diskcache.Cache.get`, for a ticket that is remembered and for one that this process never saw.
P5b: any hit beside the cheapest of the other libraries'. Contestants are processes that take turns; the model behind
them thinks for 200 ms, so that a miss is found out.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import contestants
import model_server
from contest import Contest, contest, paired, spread
from figures import Figure, Outcome, Table, number, show
from made_up import tickets

from triagedesk.models import ModelAnswer, Said, Tokens
from triagedesk.playbook import load_playbook
from triagedesk.prompts import load_prompt

OURS = ("limit_validate", "limit_dict", "limit_sqlite", "limit_diskcache", "limit_redis", "desk_memory", "desk_disk",
        "desk_disk_new")  # fmt: skip
RIVALS = ("langchain_memory", "langchain_sqlite", "litellm_memory", "litellm_disk", "gptcache")
TOLD = {
    "limit_validate": "limit: `model_validate_json` of the answer", "limit_dict": "limit: a dict of objects",
    "limit_sqlite": "limit: SQLite, one row", "limit_diskcache": "limit: diskcache.get",
    "limit_redis": "limit: Redis GET on loopback", "desk_memory": "**triagedesk**, a ticket that comes again",
    "desk_disk": "**triagedesk**, answer on disk, ticket remembered",
    "desk_disk_new": "**triagedesk**, answer on disk, ticket new to the process",
    "langchain_memory": "LangChain, memory", "langchain_sqlite": "LangChain, SQLite",
    "litellm_memory": "LiteLLM, memory", "litellm_disk": "LiteLLM, disk",
    "gptcache": "GPTCache, memory, exact",
}  # fmt: skip
KEYS = 100
THINKS_MS = 200.0


@contextmanager
def redis_server() -> Iterator[int | None]:
    """Run a Redis or Valkey that keeps nothing, on a free port of loopback; None where none is installed."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(port)
        yield port
    finally:
        child.terminate()
        child.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.1):
            return
        time.sleep(0.05)


def _config(folder: Path, base_url: str, redis_port: int | None) -> Path:
    playbook = load_playbook()
    texts = tickets(KEYS, seed=7)
    said = {
        name: Said(label=label, confidence=0.9, reason="The customer says that money is wrong.", quote=texts[0][:40])
        for name, label in model_server.LABELS.items()
    }
    answer = ModelAnswer(said=said, model="made-up-1", tokens=Tokens(prompt=1200, cached=1024, completion=120))
    told = {
        "base_url": base_url, "static": load_prompt().messages(playbook), "keys": KEYS, "texts": texts,
        "labels": {name: item.names for name, item in playbook.dimensions.items() if item.ask_model},
        "folder": str(folder), "answer": answer.model_dump_json(), "redis_port": redis_port,
        "said": model_server.answer(texts[0][:40]),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(told), "utf-8")
    return folder / "config.json"


def measure(rounds: int) -> Outcome:
    """Fill all caches, then hit them in turns."""
    with (
        model_server.running() as base_url,
        tempfile.TemporaryDirectory() as folder,
        redis_server() as port,
        contest(contestants.commands("keepers", OURS, RIVALS, str(_config(Path(folder), base_url, port)))) as held,
    ):
        model_server.think(base_url, THINKS_MS)
        for round_ in range(rounds + 1):
            held.round({}, keep=round_ > 0)
        return _outcome(held, port is None)


def _outcome(held: Contest, no_redis: bool) -> Outcome:
    cpu, wall = held.take("cpu_us"), held.take("wall_us")
    absent = dict(held.absent)
    if no_redis:
        absent["limit_redis"] = "neither valkey-server nor redis-server is installed"
    middles = {TOLD[name].replace("*", "").replace("`", ""): round(spread(cpu[name])[0], 2) for name in cpu}
    return Outcome(_figures(cpu), [_table(cpu, wall)], absent, {"cpu_us": middles})


CHEAPEST = "the cheapest of CALLERS"
CALLERS = ("langchain_memory", "langchain_sqlite", "litellm_memory", "litellm_disk")
PAIRS = (
    ("P4", "memory hit, × validating the answer", "desk_memory", "limit_validate", 6.0, 3.0),
    ("P5", "disk hit, ticket remembered, × diskcache.get", "desk_disk", "limit_diskcache", 4.0, 3.0),
    ("P5", "disk hit, ticket new to the process, × diskcache.get", "desk_disk_new", "limit_diskcache", 4.0, 3.0),
    ("P5b", "memory hit, × the cheapest rival that calls a model", "desk_memory",
     CHEAPEST, 1 / 50, 1 / 100),
    ("P5b", "disk hit, ticket remembered, × the same", "desk_disk", CHEAPEST, 1 / 50, 1 / 100),
    ("P5b", "disk hit, ticket new to the process, × the same", "desk_disk_new", CHEAPEST, 1 / 50, 1 / 100),
)  # fmt: skip


def _figures(cpu: dict[str, list[float]]) -> list[Figure]:
    figures = []
    for name, metric, one, named, goal, stretch in PAIRS:
        other = _cheapest(cpu) if named == CHEAPEST else named
        ratios = paired(cpu, one, other)
        if ratios:
            middle, least, most = spread(ratios)
            note = f"{number(spread(cpu[one])[0])} µs beside {number(spread(cpu[other])[0])} µs ({_plainly(other)})"
            figures.append(Figure(name, metric, middle, "×", goal, note=note, stretch=stretch, least=least, most=most))
    return figures


def _plainly(name: str) -> str:
    return TOLD[name].replace("limit: ", "")


def _cheapest(cpu: dict[str, list[float]]) -> str:
    return min((name for name in CALLERS if name in cpu), key=lambda name: spread(cpu[name])[0], default="")


def _table(cpu: dict[str, list[float]], wall: dict[str, list[float]]) -> Table:
    rows = []
    for name in sorted(cpu, key=lambda name: spread(cpu[name])[0]):
        middle, least, most = spread(cpu[name])
        share = paired(cpu, name, "limit_validate")
        rows.append((
            TOLD[name], number(middle), f"{number(least)} to {number(most)}", number(spread(wall[name])[0]),
            number(spread(share)[0]) if share else "–",
        ))  # fmt: skip
    columns = ("contestant", "CPU µs", "least to most", "wall µs", "× validating")
    return Table("One cache hit", columns, rows, f"{KEYS} questions, an answer of half a kilobyte.")


def outcome(*, quick: bool = False) -> Outcome:
    """Measure P4, P5 and P5b."""
    return measure(2 if quick else 9)


def figures(rounds: int = 9) -> list[Figure]:
    """Measure P4, P5 and P5b; return the figures alone."""
    return measure(rounds).figures


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
