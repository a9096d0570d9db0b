"""Made-up tickets and rules, the same in every run: 77 words, English and German, each ticket with words of its own."""

from __future__ import annotations

import random
from functools import cache

from triagedesk.playbook import Playbook

WORDS = {
    "en": (
        "the my your account order invoice charger payment card refund delivery package login password website app "
        "support customer service please help today yesterday week again still already twice never always because "
        "since with without after before charged received ordered cancelled broken missing wrong late damaged "
        "waiting called wrote told promised answer nobody somebody problem question issue error message screen "
        "battery cable device phone contract subscription month price discount address street parcel driver"
    ),
    "de": (
        "der die das mein meine ihre konto bestellung rechnung ladegerät zahlung karte erstattung lieferung paket "
        "anmeldung passwort webseite app kundendienst bitte hilfe heute gestern woche wieder immer schon zweimal nie "
        "weil seit mit ohne nach vor abgebucht erhalten bestellt storniert kaputt fehlt falsch verspätet beschädigt "
        "warte angerufen geschrieben gesagt versprochen antwort niemand jemand problem frage fehler meldung "
        "bildschirm akku kabel gerät telefon vertrag abo monat preis rabatt adresse straße überweisung öffnen"
    ),
}
WORDS_A_TICKET = 77
SYLLABLES = {
    "en": "ing er ation con pre ment ter lo ble re un est ar ou sti gra pho ven ly mar tin sto pla ked",
    "de": "ung ver ge en auf be schaft ein stell zei lich kei ab ter mar grün lö sch wei bau ruf zug tät",
}


def compile_all(playbook: Playbook) -> None:
    """Compile the playbook as a service does when it starts, and search texts, as if it had worked for a while."""
    playbook.finder.warm_up(playbook.document.languages)
    for text in tickets(100, seed=99):
        for _ in playbook.finder.pattern_hits(text):
            pass


def vocabulary(language: str, size: int = 1500) -> list[str]:
    """Return the words of a language, the commonest first: real ones, then made-up ones."""
    rng, syllables = random.Random(language), SYLLABLES[language].split()
    made_up = ("".join(rng.choices(syllables, k=rng.choice((2, 3, 3, 4)))) for _ in range(size))
    return list(dict.fromkeys((*WORDS[language].split(), *made_up)))


def tickets(count: int, seed: int = 1, language: str | None = None) -> list[str]:
    """Return so many texts; every other one is German unless a language is given. Word frequencies follow Zipf."""
    rng = random.Random(seed)
    words_of = {name: vocabulary(name) for name in WORDS}
    texts = []
    for number in range(count):
        known = words_of[language or ("en", "de")[number % 2]]
        words = rng.choices(known, weights=_zipf(len(known)), k=WORDS_A_TICKET - 1)
        words.insert(20, f"{rng.choice('ABCDEFGH')}{seed}-{number}")
        lines = [" ".join(words[at : at + 11]).capitalize() for at in range(0, len(words), 11)]
        texts.append(". ".join(lines) + ".")
    return texts


@cache
def _zipf(size: int) -> tuple[float, ...]:
    return tuple(1 / (rank + 5) for rank in range(size))


def rules(count: int, seed: int = 2) -> list[str]:
    """Return so many patterns: keyword phrases with alternations, optional words, gaps and word boundaries."""
    rng = random.Random(seed)
    words_of = {name: vocabulary(name) for name in WORDS}
    patterns = []
    for number in range(count):
        one, two, three, four = rng.choices(words_of[("en", "de")[number % 2]], k=4)
        patterns.append(
            rng.choice((
                rf"\b(?:{one}|{two}|{three})\b",
                rf"\b{one} (?:{two}|{three}|{four})\b",
                rf"\b(?:{one}|{two})(?:s|ing|en)? (?:{three}|{four})\b",
                rf"\b(?:{one}|{two}) \w+ {three}\b",
                rf"\b{one}(?:n|s|es)? (?:is|was|ist|war)? ?{three}\b",
            ))
        )  # fmt: skip
    return patterns
