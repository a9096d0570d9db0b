"""What the tests of webhooks, worker and scheduler share: a whole service with its desks, and measured confidences."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import yaml

import triagedesk.playbook
from desk_deliveries import LIBRE, MAP, NOW, SECRET, Json, delivery_of, settings, signed
from service_api_parts import RULES, Service, running, service_settings
from service_store_parts import Clock
from triagedesk.confidence import Calibration, CalibrationCurve, DimensionCalibration, Entry
from triagedesk.playbook import load_playbook
from triagedesk.service.assembly import assemble
from triagedesk.service.desks import DeskSettings
from triagedesk.service.runtime import Clocks
from triagedesk.settings import Settings

KINDS = ("zendesk", "freshdesk", "intercom", "zammad", "chatwoot", "generic")
AUTOMATION = {"urgency": "apply", "issue_type": "suggest", "escalation": "shadow"}
MORE: dict[str, Json] = {
    "freshdesk": {"proof": "header"},
    "intercom": {"admin_id": "814860", "fields": {"urgency": "triagedesk_urgency"}},
    "generic": {"signature": LIBRE.model_dump(mode="json"), "map": MAP, "tiers": {"gold": "vip"}},
}


def desks_file(folder: Path, url: str | None, *kinds: str, automation: Json | None = None,
               each: dict[str, Json] | None = None, **more: Any) -> Path:  # fmt: skip
    """Write the file of desks: one of each kind, named after it, whose API stands at `url`."""
    rows = {
        kind: {
            "kind": kind, "secrets": SECRET, "base_url": url, "api_token": "the-key",
            "automation": AUTOMATION if automation is None else automation, **MORE.get(kind, {}), **more,
            **(each or {}).get(kind, {}),
        }
        for kind in kinds or KINDS
    }  # fmt: skip
    file = folder / "desks.yaml"
    file.write_text(yaml.safe_dump({"desks": rows}), "utf-8")
    return file


def measured(folder: Path, rate: float = 0.95) -> Settings:
    """Settings of rules whose urgency was measured: right at this rate, and applied from 0.9 on."""
    source = (Path(triagedesk.playbook.__file__).parent / "default.yaml").read_text("utf-8")
    book = folder / "book.yaml"
    book.write_text(f"{source}\nautomation:\n  urgency: {{apply: 0.9, suggest: 0.5}}\n", "utf-8")
    known = DimensionCalibration(curve=CalibrationCurve(method="rate", rate=rate), unscored=rate)
    entry = Entry(source="rules", playbook=load_playbook(book).reading_hash, dimensions={"urgency": known})
    (folder / "book.calibration.json").write_text(Calibration(entries=(entry,)).model_dump_json(), "utf-8")
    return Settings(model="rules", playbook=book)


def desk_of(kind: str) -> DeskSettings:
    """Return the settings of a kind's desk, for signing."""
    return settings(kind, **MORE.get(kind, {}))


@contextmanager
def office(
    folder: Path, url: str | None, *kinds: str, settings: Settings = RULES,
    clock: Callable[[], datetime] = lambda: NOW, desks: Json | None = None, **service: Any,
) -> Iterator[Service]:  # fmt: skip
    """Run the whole service with desks, in one moment for ever unless it gets a clock."""
    clocks = Clocks(now=clock)
    made = service_settings(folder, webhooks=desks_file(folder, url, *kinds, **(desks or {})), **service)
    with running(made, settings, clocks=clocks, build=assemble) as opened:
        yield opened


def ticking() -> Callable[[], datetime]:
    """Return a clock that begins at NOW and goes."""
    began = time.monotonic()
    return lambda: NOW + timedelta(seconds=time.monotonic() - began)


def deliver(
    http: httpx2.Client, kind: str, body: Json | bytes | None = None, *, now: datetime = NOW, path: str = ""
) -> httpx2.Response:  # fmt: skip
    """Send a delivery as the desk would."""
    headers, raw = signed(desk_of(kind), delivery_of(kind) if body is None else body, now=now)
    return http.post(f"/v1/webhooks/{kind}{path}", content=raw, headers=dict(plain(headers)))


def later(service: Service, clock: Clock, seconds: float) -> None:
    """Let time pass, and the office see it."""
    clock.pass_s(seconds)

    async def ring() -> None:
        opened = service.app.state.office.opened
        opened.desk_work.ring()
        opened.write_backs.ring()
        await opened.scheduler.look()

    service.call(ring)


def tries(service: Service, kind: str, outcome: str) -> float:
    """Return how many tries of background jobs ended so."""
    labels = {"kind": kind, "outcome": outcome}
    found: float | None = service.runtime.metrics.registry.get_sample_value("triagedesk_job_tries_total", labels)
    return found or 0.0


def plain(headers: list[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    """Return raw headers as text."""
    for name, value in headers:
        yield name.decode(), value.decode()


def lines_of(text: str) -> list[Json]:
    """Read NDJSON."""
    return [json.loads(line) for line in text.splitlines()]
