"""Rules: many patterns with offsets beside `re` one by one, hostile patterns, building, and the playbook that ships.

    python benchmarks/rules.py [ROUNDS]

P6: 300 and 5,000 made-up rules over tickets of 77 words, English and German, every place of every match. `re` searches
one pattern after the other, as a first version would. P7: five patterns that blow a backtracking engine up. P7b: how
long 5,000 rules take to build.
"""

from __future__ import annotations

import re
import sys
import time
from functools import partial

from figures import Figure, in_turns_sync, middle, ratio, show
from made_up import compile_all, rules, tickets

from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.models import Ticket
from triagedesk.playbook import Facts, load_playbook
from triagedesk.playbook.patterns import PatternRefused, PatternSet
from triagedesk.tidy import read

EVIL = (r"(a+)+$", r"([a-zA-Z]+)*$", r"(a|aa)+$", r"(a|a?)+$", r"(.*a){20}$")
HOSTILE_TEXT = "a" * 30_000 + "!"


def _ours(patterns: PatternSet, texts: list[str]) -> int:
    for text in texts:
        for _ in patterns.find(text):
            pass
    return len(texts)


def _theirs(patterns: list[re.Pattern[str]], texts: list[str]) -> int:
    for text in texts:
        for pattern in patterns:
            for match in pattern.finditer(text):
                match.span()
    return len(texts)


def _missed(patterns: PatternSet, plain: list[re.Pattern[str]], texts: list[str]) -> tuple[int, int]:
    """Return how many (text, rule) pairs `re` finds, and how many of them we do not."""
    found = missed = 0
    for text in texts:
        ours = {index for index, _, _ in patterns.find(text)}
        theirs = {index for index, pattern in enumerate(plain) if pattern.search(text)}
        found += len(theirs)
        missed += len(theirs - ours)
    return found, missed


def many_rules(count: int, goal: float, rounds: int) -> list[Figure]:
    """Measure P6 for a number of rules."""
    sources = rules(count)
    began = time.process_time()
    ours = PatternSet(sources)
    build_s = time.process_time() - began
    plain = [re.compile(source, re.IGNORECASE) for source in sources]
    many, few = tickets(200, seed=3), tickets(200 if count <= 300 else 10, seed=3)
    spent = in_turns_sync({"ours": partial(_ours, ours, many), "re": partial(_theirs, plain, few)}, rounds)
    found, missed = _missed(ours, plain, few)
    name = "P6" if count <= 300 else "P6b"
    told = f"{middle(spent, 'ours'):,.0f} µs beside {middle(spent, 're'):,.0f} µs a ticket; {missed} of {found} missed"
    metric = f"{count:,} rules with offsets, × `re` one by one"
    figures = [Figure(name, metric, 1 / ratio(spent, "ours", "re"), "×", goal, more_is_better=True, note=told)]
    if count > 300:
        figures.append(Figure("P7b", f"building {count:,} rules", build_s, "s", 2))
    return figures


def hostile() -> Figure:
    """Measure P7: the worst of five patterns on 30,000 letters."""
    worst, refused = 0.0, 0
    for source in EVIL:
        try:
            patterns = PatternSet([source])
        except PatternRefused:
            refused += 1
            continue
        began = time.process_time()
        _ours(patterns, [HOSTILE_TEXT])
        worst = max(worst, time.process_time() - began)
    return Figure("P7", "worst of five hostile patterns on 30,000 letters", worst * 1e3, "ms", 10,
                  note=f"{refused} of {len(EVIL)} refused; `re` runs for more than 10 s on each")  # fmt: skip


def shipped(rounds: int) -> list[Figure]:
    """Measure the playbook that ships: reading, signals and rules of a ticket never seen, in a process that is warm."""
    playbook = load_playbook()
    compile_all(playbook)
    classifier = RulesClassifier(playbook)
    figures = []
    for language in ("en", "de"):
        texts = tickets(150 * rounds, seed=9, language=language)
        readings = [read(Ticket(id="T-1", body=text), playbook.document.languages) for text in texts]
        half = len(readings) // 2
        whole = _per_text(
            lambda reading: classifier.classify(reading, Facts(language=reading.language)), readings[:half]
        )
        signals = _per_text(lambda reading: playbook.finder.find(reading.text, reading.language), readings[half:])
        figures.append(Figure("rules", f"the playbook that ships, a ticket in {language}", whole, "µs",
                              note=f"{signals:,.0f} µs of it to find the signals"))  # fmt: skip
    return figures


def _per_text(step, readings) -> float:  # type: ignore[no-untyped-def]
    began = time.process_time()
    for reading in readings:
        step(reading)
    return (time.process_time() - began) / len(readings) * 1e6


def figures(rounds: int = 5) -> list[Figure]:
    """Measure P6, P6b, P7, P7b and the playbook that ships."""
    return [*many_rules(300, 25, rounds), *many_rules(5000, 25, min(rounds, 3)), hostile(), *shipped(rounds)]


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
