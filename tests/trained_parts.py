"""A small trained classifier, made from made-up tickets: four kinds of matter, each in its own words."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

from triagedesk.classifiers.rules import RulesClassifier
from triagedesk.models import Classification, Ticket
from triagedesk.playbook import Facts, Playbook, load_playbook
from triagedesk.reading import Reading
from triagedesk.tidy import read

MATTERS = {
    "order_delivery": ("operational", "medium", "parcel courier depot doorstep shipment tracking late driver"),
    "billing_payment": ("billing_payment", "high", "invoice debit refund amount charged account statement euros"),
    "product_inquiry": ("none", "low", "colour catalogue sizes material warranty brochure sample fabric"),
    "technical": ("technical", "critical", "crash server screen reboot firmware error outage printer"),
}
FILLER = "hello please could you look into this because today we have been thinking about it again and thanks"
NAME = "Wojciechowska"


def gold_line(number: int, seed: int = 0) -> dict[str, object]:
    """Return a gold line whose words tell its labels; one in three is told in half of them."""
    draw = random.Random(seed * 10_000 + number)
    issue = sorted(MATTERS)[number % len(MATTERS)]
    escalation, urgency, words = MATTERS[issue]
    told = draw.sample(words.split(), 4 if number % 3 else 2) + draw.sample(FILLER.split(), 8)
    draw.shuffle(told)
    body = " ".join(told) + (f" {NAME}" if number == 0 else "")
    ticket = {"id": f"made-{seed}-{number}", "subject": "A ticket", "body": body, "channel": "email"}
    return {"ticket": ticket, "labels": {"urgency": urgency, "issue_type": issue, "escalation": escalation}}


def write_gold(path: Path, rows: int = 120, seed: int = 0) -> Path:
    """Write made-up gold lines and return their file."""
    lines = [json.dumps(gold_line(number, seed)) for number in range(rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@cache
def playbook() -> Playbook:
    """Return the default playbook, loaded once."""
    return load_playbook()


@cache
def _rules() -> RulesClassifier:
    return RulesClassifier(playbook())


def opinion(body: str, subject: str = "") -> tuple[Reading, Classification]:
    """Return a ticket's reading and what the rules say of it."""
    reading = read(Ticket(subject=subject, body=body), playbook().document.languages)
    return reading, _rules().classify(reading, Facts(language=reading.language))
