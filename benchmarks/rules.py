"""Rules: many patterns with offsets, plain phrases, hostile patterns, building, and the playbook that ships.

    python benchmarks/rules.py [ROUNDS]

P6, P6b: 10 to 5,000 made-up rules over tickets of 77 words, English and German, every place of every match, beside `re`
one by one, as a first version would search; RE2's Filter and hyperscan say only which rules match. P6c: 5,000 plain
phrases beside ahocorasick_rs, spaCy's PhraseMatcher and one alternation of `re`. P7: five patterns that blow a
backtracking engine up. P7b: how long 5,000 rules take to build. Contestants are processes that take turns.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import contestants
from contest import contest, paired, spread
from figures import Figure, Outcome, Table, number, show
from made_up import compile_all, rules, tickets, vocabulary

from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.models import Ticket
from triagedesk.playbook import Facts, load_playbook
from triagedesk.playbook.patterns import PatternSet
from triagedesk.reading import Reading
from triagedesk.tidy import read

EVIL = (r"(a+)+$", r"([a-zA-Z]+)*$", r"(a|aa)+$", r"(a|a?)+$", r"(.*a){20}$")
HOSTILE_TEXT = "a" * 30_000 + "!"
COUNTS = (10, 100, 300, 1000, 5000)
BUILD_S, HOSTILE_S = 45.0, 3.0
"""An engine that takes longer to build its rules, or for one hostile text, is out."""

TOLD = {
    "ours": "**triagedesk**", "re_loop": "`re`, one by one", "re2_ids": "limit: RE2 Filter, ids only",
    "hyperscan_ids": "limit: hyperscan, ids only", "ours_phrases": "**triagedesk**", "aho_corasick": "ahocorasick_rs",
    "spacy_phrases": "spaCy PhraseMatcher", "re_alternation": "`re`, one alternation",
}  # fmt: skip
Spent = dict[str, dict[str, list[float]]]


def compete(
    given: Sequence[str], texts: list[str], own: tuple[str, ...], theirs: tuple[str, ...], rounds: int,
    patience_s: tuple[float, float] = (BUILD_S, BUILD_S),
) -> tuple[Spent, dict[str, str]]:  # fmt: skip
    """Let engines search texts for rules, in turns. Returns what it took, and who was out."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.json")
        file.write_text(json.dumps({"rules": list(given), "texts": texts}), "utf-8")
        with contest(contestants.commands("searchers", own, theirs, str(file)), patience_s[0]) as held:
            for round_ in range(rounds + 1):  # the first one warms up: RE2 builds its states as it meets them
                held.round({}, patience_s[1], keep=round_ > 0)
            return {key: held.take(key) for key in ("cpu_us", "build_s", "memory_mb", "matches")}, held.absent


def patterns(rounds: int) -> Outcome:
    """Measure P6, P6b and P7b."""
    found, texts = Outcome(), tickets(200, seed=3)
    rows = []
    for count in COUNTS:
        spent, absent = compete(rules(count), texts, ("ours", "re_loop", "re2_ids"), ("hyperscan_ids",), rounds)
        found.absent |= {f"{TOLD[name]}, {count:,} rules": why for name, why in absent.items()}
        rows += _rows(spent, "re_loop", f"{count:,}")
        for name, values in spent["cpu_us"].items():
            told = found.series.setdefault(TOLD[name].replace("*", "").replace("`", ""), {})
            told[str(count)] = round(1e6 / spread(values)[0])
        if count in (300, 5000):
            found.figures += _beside_re(spent, rules(count), texts, count)
    columns = ("rules", "engine", "tickets/s", "CPU µs a ticket", "× `re`", "build s", "MB", "matches a ticket")
    note = "tickets/s is one core's, by CPU; × is paired within rounds; ids: which rules, not where."
    found.tables.append(Table("Rules with patterns", columns, rows, note))
    return found


def _rows(spent: Spent, base: str, count: str) -> list[tuple[str, ...]]:
    rows = []
    for name in sorted(spent["cpu_us"], key=lambda name: spread(spent["cpu_us"][name])[0]):
        cpu, build_s, memory, matches = (
            spread(spent[key][name])[0] for key in ("cpu_us", "build_s", "memory_mb", "matches")
        )
        times = paired(spent["cpu_us"], base, name)
        rows.append((
            count, TOLD[name], f"{1e6 / cpu:,.0f}", number(cpu), number(spread(times)[0]) if times else "–",
            number(build_s), number(memory), number(matches),
        ))  # fmt: skip
    return rows


def _beside_re(spent: Spent, given: list[str], texts: list[str], count: int) -> list[Figure]:
    times = paired(spent["cpu_us"], "re_loop", "ours")
    if not times:
        return []
    middle, least, most = spread(times)
    seen, missed = _missed(given, texts[: 200 if count <= 300 else 10])
    cpu = {name: spread(values)[0] for name, values in spent["cpu_us"].items()}
    told = f"{cpu['ours']:,.0f} µs beside {cpu['re_loop']:,.0f} µs a ticket; {missed} of {seen} missed"
    figures = [
        Figure("P6" if count <= 300 else "P6b", f"{count:,} rules with offsets, × `re` one by one", middle, "×", 25,
               more_is_better=True, note=told, stretch=50, least=least, most=most)
    ]  # fmt: skip
    if count > 300:
        build_s = spread(spent["build_s"]["ours"])[0]
        figures.append(Figure("P7b", f"building {count:,} rules", build_s, "s", 2, stretch=1))
    return figures


def _missed(given: list[str], texts: list[str]) -> tuple[int, int]:
    """Return how many (text, rule) pairs `re` finds, and how many of them we do not."""
    own, plain = PatternSet(given), [re.compile(rule, re.IGNORECASE) for rule in given]
    seen = missed = 0
    for text in texts:
        ours = {index for index, _, _ in own.find(text)}
        theirs = {index for index, pattern in enumerate(plain) if pattern.search(text)}
        seen += len(theirs)
        missed += len(theirs - ours)
    return seen, missed


def phrases(count: int = 5000) -> list[str]:
    """Return so many phrases of two or three words."""
    rng, words = random.Random(5), {name: vocabulary(name) for name in ("en", "de")}
    made = (" ".join(rng.choices(words[("en", "de")[i % 2]], k=rng.choice((2, 3)))) for i in range(2 * count))
    return list(dict.fromkeys(made))[:count]


def keywords(rounds: int) -> Outcome:
    """Measure P6c."""
    own, theirs = ("ours_phrases", "re_alternation"), ("aho_corasick", "spacy_phrases")
    spent, absent = compete(phrases(), tickets(200, seed=3), own, theirs, rounds)
    columns = ("phrases", "engine", "tickets/s", "CPU µs a ticket", "× `re`", "build s", "MB", "matches a ticket")
    table = Table("Plain phrases", columns, _rows(spent, "re_alternation", "5,000"))
    figures = []
    shares = paired(spent["cpu_us"], "aho_corasick", "ours_phrases")
    if shares:
        middle, least, most = spread(shares)
        figures.append(Figure("P6c", "5,000 plain phrases, share of ahocorasick_rs's speed", middle, "×", 0.5,
                              more_is_better=True, stretch=0.8, least=least, most=most))  # fmt: skip
    return Outcome(figures, [table], absent)


def hostile() -> Outcome:
    """Measure P7: the worst of five patterns on 30,000 letters; a refused pattern costs nothing."""
    rows, worst = [], 0.0
    for source in EVIL:
        limits = (BUILD_S, HOSTILE_S)
        spent, absent = compete([source], ["a", HOSTILE_TEXT], ("ours", "re_loop"), ("hyperscan_ids",), 1, limits)
        took = {
            name: 2 * values[0] / 1e3 for name, values in spent["cpu_us"].items() if values
        }  # two texts, one counts
        cells = [f"{took[name]:.2f} ms" if name in took else f"out: {absent.get(name, 'absent')}"
                 for name in ("ours", "re_loop", "hyperscan_ids")]  # fmt: skip
        rows.append((f"`{source}`".replace("|", "\\|"), *cells))
        worst = max(worst, took.get("ours", 0.0))
    columns = ("pattern", "**triagedesk**", "`re`", "hyperscan, ids only")
    figure = Figure("P7", "worst of five hostile patterns on 30,000 letters", worst, "ms", 10, stretch=1)
    return Outcome([figure], [Table("Hostile patterns on 30,000 letters", columns, rows)])


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


def _per_text(step: Callable[[Reading], object], readings: list[Reading]) -> float:
    began = time.process_time()
    for reading in readings:
        step(reading)
    return (time.process_time() - began) / len(readings) * 1e6


def outcome(*, quick: bool = False) -> Outcome:
    """Measure P6, P6b, P6c, P7, P7b and the playbook that ships."""
    rounds = 1 if quick else 3
    found = patterns(rounds)  # its series are what the chart shows
    for more in (keywords(rounds), hostile()):
        found.figures += more.figures
        found.tables += more.tables
        found.absent |= more.absent
    found.figures += shipped(rounds)
    return found


def figures(rounds: int = 3) -> list[Figure]:
    """Measure all of it; return the figures alone."""
    return outcome(quick=rounds < 3).figures


if __name__ == "__main__":
    show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
