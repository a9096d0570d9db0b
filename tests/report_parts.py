"""A made-up batch for the tests of its report: months of tickets with a rhythm, one pile-up, and hostile words."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HOSTILE = (
    '</style><script>alert("x")</script><img src=x onerror=alert(1)> \u202eevil\u202c \x1b[31mred \x07 {{ 7*7 }} $x^2$'
)
FIRST = datetime(2026, 8, 31, tzinfo=UTC)
"""A Monday. 70 days later lies 8 November 2026; Berlin leaves summer time on 25 October."""
DAYS = 70
PILE_UP = (58, 59)
"""Days, from the first, on which billing tickets about Router X from Germany come many times as often."""
URGENCIES = {"critical": (15, 240), "high": (240, 2880), "medium": (1440, 2880), "low": (480, 1440)}
ISSUES = {
    "billing_payment": ("charged twice", "wrong amount on my invoice", "refund has not arrived"),
    "technical": ("drops every evening", "error code 504", "the app crashes"),
    "order_delivery": ("parcel never arrived", "wrong item", "still waiting for delivery"),
    "account_access": ("locked out", "cannot log in", "password reset does not work"),
    "outage": ("everything is down", "no connection at all"),
    "product_inquiry": ("does it work with", "how much does it cost"),
    "safety": ("started smoking", "smells of burning"),
}
ISSUE_WEIGHTS = (22, 26, 18, 14, 4, 12, 1)
URGENCY_OF = {
    "billing_payment": (1, 40, 20, 39), "technical": (2, 30, 48, 20), "order_delivery": (1, 25, 60, 14),
    "account_access": (3, 60, 25, 12), "outage": (80, 20, 0, 0), "product_inquiry": (0, 1, 15, 84),
    "safety": (100, 0, 0, 0),
}  # fmt: skip
CHANNELS = ("email", "live_chat", "voice", "social_media", "self_service")
TIERS = ("standard", "premium", "vip")
REGIONS = ("DE", "GB", "US", "FR", "ES", "IT")
PRODUCTS = ("Router X", "Router Y", "TV Box", "Mobile S", "Mobile M")
LANGUAGES = {"DE": "de", "GB": "en", "US": "en", "FR": "fr", "ES": "es", "IT": "it"}
HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 19, 17, 14, 16, 17, 16, 14, 12, 9, 8, 7, 5, 3, 2)
WEEKDAYS = (1.35, 1.15, 1.05, 1.0, 0.95, 0.5, 0.4)


def ticket(number: int, at: datetime, **more: Any) -> dict[str, Any]:
    """Return a ticket with all traits."""
    return {
        "id": f"T-{number}", "subject": "Help", "body": "My words.", "channel": "email", "customer_tier": "standard",
        "region": "DE", "product": "Router X", "created_at": at.isoformat(), **more,
    }  # fmt: skip


def suggestion(
    number: int, at: datetime, urgency: str = "medium", issue: str = "technical", *, quote: str = "the app crashes",
    source: str = "model", breached: bool = False, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return a suggestion as a batch writes it."""
    first, resolution = URGENCIES.get(urgency, (60, 600))
    escalation = {"critical": "management", "high": "customer_service"}.get(urgency, "none")
    because = [{"text": "It does not work.", "factor": "impact", "quote": quote, "field": "body", "start": 0, "end": 9}]
    labels = {name: {"label": label, "confidence": 0.9, "confidence_kind": "measured", "reasons": because}
              for name, label in (("urgency", urgency), ("issue_type", issue), ("escalation", escalation))}  # fmt: skip
    made = {
        "ticket_id": f"T-{number}", "labels": labels, "secondary_issues": [],
        "response": {
            "first_response_due": (at + timedelta(minutes=first)).isoformat(),
            "resolution_due": (at + timedelta(minutes=resolution)).isoformat(), "breached": breached,
        },
        "escalation_path": [{"step": 1, "team": f"{issue}_desk", "after_minutes": 0},
                            {"step": 2, "team": "team_lead", "after_minutes": 240}],
        "indicators": {}, "queue": f"{issue}_standard_email", "notify": [], "flags": [], "customer_note": None,
        "language": "en", "needs_review": False, "review_reasons": [],
        "provenance": {
            "source": source, "fallback_reason": "timeout" if source == "rules" else None,
            "model": None if source == "rules" else "openai/tiny", "prompt": "classify@1", "playbook": "default@1",
            "attempts": 1, "tokens": {"prompt": 1200, "cached": 1000, "completion": 90},
            "cost_usd": None if source == "rules" else 0.0004, "elapsed_ms": 812.5,
        },
    }  # fmt: skip
    return made | more


def rows(n: int, seed: int = 7) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield tickets with their suggestions, in the order of arrival."""
    rng = random.Random(seed)
    moments = sorted(_moment(rng) for _ in range(n))
    extra = max(n // 40, 30)
    piled = sorted(_moment(rng, rng.choice(PILE_UP)) for _ in range(extra))
    every = sorted([(at, False) for at in moments] + [(at, True) for at in piled])
    for number, (at, is_piled) in enumerate(every):
        yield _row(rng, number, at, piled=is_piled)


def _moment(rng: random.Random, day: int | None = None) -> datetime:
    if day is None:
        weights = [WEEKDAYS[each % 7] for each in range(DAYS)]
        day = rng.choices(range(DAYS), weights)[0]
    hour = rng.choices(range(24), HOURS)[0]
    return FIRST + timedelta(days=day, hours=hour, minutes=rng.randrange(60), seconds=rng.randrange(60))


def _row(rng: random.Random, number: int, at: datetime, *, piled: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    issue = "billing_payment" if piled else rng.choices(list(ISSUES), ISSUE_WEIGHTS)[0]
    urgency = rng.choices(list(URGENCIES), URGENCY_OF[issue])[0]
    region = "DE" if piled else rng.choices(REGIONS, (40, 20, 15, 10, 8, 7))[0]
    tier, channel = rng.choices(TIERS, (70, 24, 6))[0], rng.choices(CHANNELS, (45, 25, 12, 6, 12))[0]
    quote = "charged twice" if piled else rng.choice(ISSUES[issue])
    came = ticket(
        number, at, subject=quote.capitalize(), region=region, customer_tier=tier, channel=channel,
        product="Router X" if piled else rng.choices(PRODUCTS, (30, 22, 18, 18, 12))[0],
    )  # fmt: skip
    source = rng.choices(("model", "cache", "rules"), (80, 14, 30 if 40 <= (at - FIRST).days < 43 else 3))[0]
    review = rng.random() < (0.5 if urgency == "critical" else 0.06)
    said = suggestion(
        number, at, urgency, issue, quote=quote, source=source, queue=f"{issue}_{tier}_{channel}",
        breached=rng.random() < (0.16 if channel == "social_media" else 0.05), language=LANGUAGES[region],
        needs_review=review, review_reasons=[rng.choice(("low_confidence", "safety_words"))] if review else [],
        flags=["identity_check"] if issue == "account_access" else [],
    )  # fmt: skip
    for choice in said["labels"].values():
        choice["confidence"] = round(min(rng.betavariate(9, 1.4), 1), 3)
    return came, said


def write_batch(folder: Path, n: int, seed: int = 7) -> tuple[Path, Path]:
    """Write tickets and suggestions, and return both files."""
    source, target = folder / "tickets.jsonl", folder / "out.jsonl"
    with source.open("w", encoding="utf-8") as tickets, target.open("w", encoding="utf-8") as said:
        for came, made in rows(n, seed):
            tickets.write(json.dumps(came) + "\n")
            said.write(json.dumps(made) + "\n")
    return source, target


def write_lines(file: Path, lines: list[dict[str, Any]]) -> Path:
    """Write objects as JSON Lines."""
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return file
