"""A cold ticket: the whole pipeline beside what a user would write with other libraries, over one mock server.

    python benchmarks/calls.py [ROUNDS]

Every contestant is a process of its own and all take turns (contest.py, contestants/callers.py), one call at a time and
64 at once, against a server that answers at once; then 64 at once against one that thinks for 200 ms. P1, P1', P1b: CPU
of `Desk.suggest` for a ticket never seen (tidy, redact, rules, cache miss, call, validation, evidence, policy, cache
write). P2, P3: tickets a second and median wait against what the server alone would allow. The steps that need no model
are measured alone in the same run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contestants
import model_server
from contest import Contest, contest, paired, spread
from figures import Figure, Outcome, Table, number, show
from made_up import compile_all, tickets

from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.models import Ticket
from triagedesk.playbook import Facts, Playbook, load_playbook
from triagedesk.privacy import redact
from triagedesk.prompts import load_prompt, question_json
from triagedesk.tidy import read

OURS = ("desk", "asking", "sockets", "sdk_post", "sdk_create", "sdk_parse", "instructor")
RIVALS = ("langchain", "litellm", "pydantic_ai")
TOLD = {
    "desk": "**triagedesk**, whole pipeline", "asking": "triagedesk, question to answer only",
    "sockets": "sockets by hand",
    "sdk_post": "openai, `post`", "sdk_create": "openai, `create`", "sdk_parse": "openai, `.parse`",
    "instructor": "instructor, JSON schema", "langchain": "LangChain, structured output", "litellm": "LiteLLM",
    "pydantic_ai": "pydantic-ai, native output",
}  # fmt: skip
CALLS, SLOW_CALLS = 128, 320
WIDE = 64
SLOW_MS = 200.0
IDEAL_PER_S = WIDE / SLOW_MS * 1e3


def config(folder: Path, base_url: str, questions: int) -> Path:
    """Write what contestants are told: address, messages, labels, and tickets that nobody has seen."""
    import json

    playbook = load_playbook()
    texts, seed = [], 1000
    while len(texts) < questions:
        texts += tickets(500, seed=seed)
        seed += 1
    (folder / "questions").write_text("\n".join(question_json("", text) for text in texts), "utf-8")
    labels = {name: item.names for name, item in playbook.dimensions.items() if item.ask_model}
    told = {
        "base_url": base_url, "static": load_prompt().messages(playbook), "labels": labels, "folder": str(folder),
        "questions": str(folder / "questions"),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(told), "utf-8")
    return folder / "config.json"


def measure(rounds: int, *, small: bool = False) -> Outcome:
    """Let all have their turns."""
    calls, slow_calls = (CALLS // 2, CALLS) if small else (CALLS, SLOW_CALLS)
    needed = (rounds + 1) * (2 * calls + 1 + 2 * WIDE + slow_calls + WIDE) + 10
    with model_server.running() as base_url, tempfile.TemporaryDirectory() as folder:
        file = config(Path(folder), base_url, needed)
        with contest(contestants.commands("callers", OURS, RIVALS, str(file))) as held:
            found = {width: _turns(held, rounds, width, calls) for width in (1, WIDE)}
            model_server.think(base_url, SLOW_MS)
            slow = _turns(held, max(2, rounds - 2), WIDE, slow_calls)
            memory = held.ready("memory_mb")
            absent = dict(held.absent)
    tables = [_table(found, memory), _slow_table(slow)]
    series = {f"{width} at once": _middles(spent["cpu_us"]) for width, spent in found.items()}
    return Outcome(_figures(found, slow) + parts(load_playbook()), tables, absent, series)


Spent = dict[str, dict[str, list[float]]]
"""Numbers of each round, by what was measured and by contestant."""


def _turns(held: Contest, rounds: int, width: int, calls: int) -> Spent:
    held.forget()
    for number_ in range(rounds + 1):
        held.round({"width": width, "calls": calls}, keep=number_ > 0)
    return {key: held.take(key) for key in ("cpu_us", "wall_us", "p50_ms", "p95_ms")}


def _figures(found: dict[int, Spent], slow: Spent) -> list[Figure]:
    if "desk" not in slow["cpu_us"]:
        return []
    figures = []
    for width, spent in found.items():
        cpu, at_once = spent["cpu_us"], f"{width} at once"
        told = f"{_middle(cpu, 'desk'):,.0f} µs beside {_middle(cpu, 'sdk_parse'):,.0f} µs"
        figures += _ratio("P1", f"cold ticket, × `.parse`, {at_once}", cpu, "desk", "sdk_parse", 0.50, 0.30, told)
        figures += _ratio("P1'", f"cold ticket with instructor in every call, × `.parse`, {at_once}", cpu, "desk",
                          "sdk_parse", 0.70, 0.65, told)  # fmt: skip
        figures += _ratio("P1b", f"cold ticket, × instructor, {at_once}", cpu, "desk", "instructor", 0.40, 0.25)
        figures += _ratio("P1", f"its question to answer only, × `.parse`, {at_once}", cpu, "asking", "sdk_parse")
    figures += _slow_figures(slow)
    return figures


def _ratio(
    name: str, metric: str, spent: dict[str, list[float]], one: str, other: str, goal: float | None = None,
    stretch: float | None = None, note: str = "",
) -> list[Figure]:  # fmt: skip
    ratios = paired(spent, one, other)
    if not ratios:
        return []
    middle, least, most = spread(ratios)
    return [Figure(name, metric, middle, "×", goal, note=note, stretch=stretch, least=least, most=most)]


def _slow_figures(slow: Spent) -> list[Figure]:
    rate, waited = 1e6 / _middle(slow["wall_us"], "desk"), _middle(slow["p50_ms"], "desk")
    return [
        Figure("P2", f"tickets/s, {WIDE} at once, {SLOW_MS:g} ms model, of {IDEAL_PER_S:g}/s", rate / IDEAL_PER_S, "",
               0.45, more_is_better=True, note=f"{rate:,.0f}/s on one core; 0.60 without instructor", stretch=0.60),
        Figure("P3", f"median wait of that run, × the model's {SLOW_MS:g} ms", waited / SLOW_MS, "×", 1.9,
               note=f"{waited:,.0f} ms; 1.4 without instructor", stretch=1.4),
    ]  # fmt: skip


def _middle(spent: dict[str, list[float]], name: str) -> float:
    return spread(spent[name])[0]


def _middles(spent: dict[str, list[float]]) -> dict[str, float]:
    return {TOLD[name].replace("*", "").replace("`", ""): round(_middle(spent, name), 1) for name in spent}


def _table(found: dict[int, Spent], memory: dict[str, Any]) -> Table:
    rows = []
    for name in sorted(found[1]["cpu_us"], key=lambda name: _middle(found[1]["cpu_us"], name)):
        cells = [TOLD[name]]
        for width in (1, WIDE):
            cpu, wall = found[width]["cpu_us"], found[width]["wall_us"]
            cells += [number(_middle(cpu, name)), number(_middle(wall, name)), _times(paired(cpu, name, "sdk_parse"))]
        rows.append((*cells, f"{memory.get(name) or 0:,.0f}"))
    columns = ("contestant", "CPU µs, 1", "wall µs, 1", "× `.parse`, 1", f"CPU µs, {WIDE}", f"wall µs, {WIDE}",
               f"× `.parse`, {WIDE}", "MB")  # fmt: skip
    note = "CPU and wall per ticket, one and 64 at once; × is paired within rounds: median [least, most]."
    return Table("A cold ticket, a model that answers at once", columns, rows, note)


def _slow_table(slow: Spent) -> Table:
    rows = []
    for name in sorted(slow["cpu_us"], key=lambda name: _middle(slow["wall_us"], name)):
        rate = 1e6 / _middle(slow["wall_us"], name)
        waits = [number(_middle(slow[key], name)) for key in ("p50_ms", "p95_ms")]
        rows.append(
            (TOLD[name], number(_middle(slow["cpu_us"], name)), number(rate), number(rate / IDEAL_PER_S), *waits)
        )
    columns = ("contestant", "CPU µs", "tickets/s", f"of {IDEAL_PER_S:g}/s", "p50 ms", "p95 ms")
    return Table(f"A model of {SLOW_MS:g} ms, {WIDE} at once", columns, rows, "One process, one core.")


def _times(ratios: list[float]) -> str:
    return "{} [{}, {}]".format(*map(number, spread(ratios))) if ratios else "–"


def parts(playbook: Playbook) -> list[Figure]:
    """Say what the steps that need no model cost, alone: they are the difference to a bare call."""
    given = [Ticket(id="T-1", body=body) for body in tickets(300, seed=77)]
    readings = [read(ticket, playbook.document.languages) for ticket in given]
    compile_all(playbook)
    rules = RulesClassifier(playbook)
    steps: dict[str, Callable[[int], object]] = {
        "tidy and language": lambda i: read(given[i], playbook.document.languages),
        "rules": lambda i: rules.classify(readings[i], Facts(language=readings[i].language)),
        "redact": lambda i: redact(readings[i].text),
    }
    return [Figure("P1", f"of which: {name}", _each(step, len(given)), "µs") for name, step in steps.items()]


def _each(step: Callable[[int], object], times: int) -> float:
    began = time.process_time()
    for index in range(times):
        step(index)
    return (time.process_time() - began) / times * 1e6


def outcome(*, quick: bool = False) -> Outcome:
    """Measure P1 to P3."""
    return measure(2 if quick else 5, small=quick)


def figures(rounds: int = 5) -> list[Figure]:
    """Measure P1 to P3; return the figures alone."""
    return measure(rounds).figures


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
