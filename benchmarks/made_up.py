"""Made-up tickets and rules, the same in every run: 77 words, English and German, each ticket with words of its own."""

from __future__ import annotations

import random
from collections.abc import Sequence

WORDS = {
    "en": (
        "the my your account order invoice charger payment card refund delivery package login password website app "
        "support customer service please help today yesterday week again still already twice never always because "
        "since with without after before charged received ordered cancelled broken missing wrong late damaged "
        "waiting called wrote told promised answer nobody somebody problem question issue error message screen "
        "battery cable device phone contract subscription month price discount address street parcel driver"
    ).split(),
    "de": (
        "der die das mein meine ihre konto bestellung rechnung ladegerät zahlung karte erstattung lieferung paket "
        "anmeldung passwort webseite app kundendienst bitte hilfe heute gestern woche wieder immer schon zweimal nie "
        "weil seit mit ohne nach vor abgebucht erhalten bestellt storniert kaputt fehlt falsch verspätet beschädigt "
        "warte angerufen geschrieben gesagt versprochen antwort niemand jemand problem frage fehler meldung "
        "bildschirm akku kabel gerät telefon vertrag abo monat preis rabatt adresse straße überweisung öffnen"
    ).split(),
}
WORDS_A_TICKET = 77


def tickets(count: int, seed: int = 1, language: str | None = None) -> list[str]:
    """Return so many texts; every other one is German unless a language is given."""
    rng = random.Random(seed)
    texts = []
    for number in range(count):
        words = rng.choices(WORDS[language or ("en", "de")[number % 2]], k=WORDS_A_TICKET - 1)
        words.insert(20, f"{rng.choice('ABCDEFGH')}{seed}-{number}")
        lines = [" ".join(words[at : at + 11]).capitalize() for at in range(0, len(words), 11)]
        texts.append(". ".join(lines) + ".")
    return texts


def rules(count: int, seed: int = 2) -> list[str]:
    """Return so many patterns: keyword phrases with alternations, optional words, gaps and word boundaries.

    Each holds a word of its own kind, as real rule sets do; about two in a hundred match a ticket.
    """
    rng = random.Random(seed)
    stems = _stems(rng, count)
    patterns = []
    for number in range(count):
        words = WORDS[("en", "de")[number % 2]]
        one, two, three = rng.sample(words, 3)
        rare = stems[number]
        patterns.append(
            rng.choice((
                rf"\b(?:{one}|{rare}) {two}\b",
                rf"\b{one} (?:{two}|{three}|{rare})\b",
                rf"\b{rare}(?:s|ing|en)? (?:{one}|{two})\b",
                rf"\b(?:{one}|{two}) \w+ {rare}\b",
                rf"\b{one}(?:n|s|es)? (?:is|was|ist|war)? ?{three}\b",
            ))
        )  # fmt: skip
    return patterns


def _stems(rng: random.Random, count: int) -> Sequence[str]:
    syllables = "ba ke li mo nu ra se ti vo zu pra ste gli kno dru wei sau mor fen tal".split()
    return ["".join(rng.choices(syllables, k=4)) for _ in range(count)]
