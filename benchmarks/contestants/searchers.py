"""Many rules over one text. Run by rules.py: `searchers.py NAME CONFIG.json`.

`*_ids` say only which rules match and are limits; the others say where as well. Phrases are rules without a pattern.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from contest import Turn, memory_mb, play

Search = Callable[[str], int]
"""Searches a text; returns how many matches it met."""

ENOUGH_S = 1.0
"""A turn ends after so much CPU, whatever is left."""


def ours(rules: list[str]) -> Search:
    """triagedesk's PatternSet: RE2, every place of every match."""
    from triagedesk.playbook.patterns import PatternSet

    patterns = PatternSet(rules)
    return lambda text: sum(1 for _ in patterns.find(text))


def re_loop(rules: list[str]) -> Search:
    """`re`, one rule after the other: what a first version does."""
    patterns = [re.compile(rule, re.IGNORECASE) for rule in rules]
    return lambda text: sum(1 for pattern in patterns for _ in pattern.finditer(text))


def re2_ids(rules: list[str]) -> Search:
    """RE2's Filter: which rules match, not where."""
    import re2

    options = re2.Options()
    options.log_errors, options.case_sensitive = False, False
    found = re2.Filter()
    for rule in rules:
        found.Add(rule, options)
    found.Compile()
    return lambda text: len(found.Match(text.lower()) or ())


def hyperscan_ids(rules: list[str]) -> Search:
    """hyperscan: which rules match, not where."""
    import hyperscan

    base = hyperscan.Database()
    flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_SINGLEMATCH
    base.compile(
        expressions=[rule.encode() for rule in rules], ids=list(range(len(rules))), elements=len(rules),
        flags=[flags] * len(rules),
    )  # fmt: skip

    def search(text: str) -> int:
        met: list[int] = []
        base.scan(text.encode(), match_event_handler=lambda *hit: met.append(hit[0]))
        return len(met)

    return search


def aho_corasick(phrases: list[str]) -> Search:
    """ahocorasick_rs: phrases with offsets, word boundaries checked after."""
    import ahocorasick_rs

    automaton = ahocorasick_rs.AhoCorasick([phrase.lower() for phrase in phrases])

    def bounded(text: str, start: int, end: int) -> bool:
        before, after = text[start - 1 : start], text[end : end + 1]
        return not (before.isalnum() or after.isalnum())

    def search(text: str) -> int:
        low = text.lower()
        hits = automaton.find_matches_as_indexes(low, overlapping=True)
        return sum(bounded(low, start, end) for _, start, end in hits)

    return search


def spacy_phrases(phrases: list[str]) -> Search:
    """spaCy's PhraseMatcher on lower-cased tokens."""
    import spacy
    from spacy.matcher import PhraseMatcher

    nlp = spacy.blank("en")
    matcher = PhraseMatcher(nlp.vocab, attr="LOWER")
    matcher.add("rules", [nlp.make_doc(phrase) for phrase in phrases])
    return lambda text: len(matcher(nlp.make_doc(text)))


def re_alternation(phrases: list[str]) -> Search:
    """`re`, all phrases as one alternation."""
    whole = re.compile(r"\b(?:" + "|".join(map(re.escape, phrases)) + r")\b", re.IGNORECASE)
    return lambda text: sum(1 for _ in whole.finditer(text))


def ours_phrases(phrases: list[str]) -> Search:
    """triagedesk's PatternSet, each phrase a pattern between word boundaries."""
    return ours([rf"\b{phrase}\b" for phrase in phrases])


CONTESTANTS: dict[str, Callable[[list[str]], Search]] = {
    each.__name__: each
    for each in (
        ours, re_loop, re2_ids, hyperscan_ids, aho_corasick, spacy_phrases, re_alternation, ours_phrases,
    )
}  # fmt: skip


async def _turn(search: Search, texts: list[str], built: Turn, turn: Turn) -> Turn:  # noqa: ARG001
    began, done, met = time.process_time(), 0, 0
    for text in texts:
        met += search(text)
        done += 1
        if time.process_time() - began > ENOUGH_S:
            break
    return {**built, "cpu_us": (time.process_time() - began) / done * 1e6, "matches": met / done}


def _told(file: str) -> Turn:
    config: Turn = json.loads(Path(file).read_text("utf-8"))
    return config


async def _prepare(name: str, file: str) -> Callable[[Turn], Awaitable[Turn]]:
    config = _told(file)
    before, began = memory_mb(), time.process_time()
    search = CONTESTANTS[name](config["rules"])
    built = {"build_s": time.process_time() - began, "memory_mb": memory_mb() - before}
    search(config["texts"][0])
    return partial(_turn, search, config["texts"], built)


if __name__ == "__main__":
    asyncio.run(play(partial(_prepare, *sys.argv[1:3])))
