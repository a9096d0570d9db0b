"""GET /v1/insights: volumes, review share, escalations and satisfaction, in all and over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from triagedesk.playbook import Playbook
from triagedesk.service.access import Caller, admitted
from triagedesk.service.bodies import JSON
from triagedesk.service.problems import Code, Refused, documented
from triagedesk.service.runtime import Runtime, runtime_of
from triagedesk.service.store.database import Store
from triagedesk.service.store.records import OutcomeKind, Scope, StoredSuggestion
from triagedesk.service.wire import Bucket, Insights, Moment, Satisfaction, labels_of

router = APIRouter(tags=["insights"])

MAX_ROWS = 50_000
PAGE = 500
MAX_BUCKETS = 1000
NONE = "unknown"
"""Stands for metadata that a ticket did not bring."""

OF_TICKET = ("channel", "customer_tier", "region")
OF_PROVENANCE = ("source", "fallback_reason")


@router.get("/v1/insights", response_model=Insights, responses=documented(422))
async def read(
    runtime: Annotated[Runtime, Depends(runtime_of)], _key: Annotated[Caller, admitted(Scope.READ)],
    since: Annotated[Moment | None, Query(description="default: 30 days before until")] = None,
    until: Annotated[Moment | None, Query(description="default: now")] = None,
    bucket: Annotated[Literal["day", "hour"], Query()] = "day",
) -> Response:  # fmt: skip
    """Count the suggestions of a span of time; a ticket counts once, with its newest."""
    until = until or runtime.clocks.now()
    since = since or until - timedelta(days=30)
    width = timedelta(days=1) if bucket == "day" else timedelta(hours=1)
    if since >= until or (until - since) / width > MAX_BUCKETS:
        raise Refused(Code.INVALID, f"since lies before until, by {MAX_BUCKETS} {bucket}s at most")
    tally = await count(runtime.store, since, until)
    satisfaction = await _satisfaction(runtime.store, tally.newest)
    said = await _feedback(runtime.store, since, until)
    made = summed_up(tally, runtime.duty.desk.playbook, since, until, width, satisfaction, said)
    return Response(made.model_dump_json(), media_type=JSON)


@dataclass
class Tally:
    """The newest suggestion of each ticket, and how many there were."""

    newest: dict[str, Row] = field(default_factory=dict)
    suggestions: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What is counted of a suggestion; its words are let go at once."""

    at: datetime
    labels: dict[str, str]
    needs_review: bool
    traits: tuple[tuple[str, str], ...]


async def count(store: Store, since: datetime, until: datetime) -> Tally:
    """Read suggestions page by page, the newest first."""
    tally, last = Tally(), None
    while tally.suggestions < MAX_ROWS:
        page = await store.suggestions.between(since, until, before_id=last, limit=PAGE)
        for stored in page:
            tally.newest.setdefault(stored.ticket_id, _row(stored))
        tally.suggestions += len(page)
        if len(page) < PAGE:
            return tally
        last = page[-1].id
    tally.truncated = True
    return tally


def _row(stored: StoredSuggestion) -> Row:
    ticket, provenance = stored.ticket or {}, stored.suggestion["provenance"]
    traits = [(name, str(ticket.get(name) or NONE)) for name in OF_TICKET]
    traits += [(name, str(provenance[name])) for name in OF_PROVENANCE if provenance.get(name)]
    return Row(
        stored.created_at, labels_of(stored.suggestion), bool(stored.suggestion["needs_review"]), tuple(traits)
    )  # fmt: skip


def summed_up(
    tally: Tally, playbook: Playbook, since: datetime, until: datetime, width: timedelta,
    satisfaction: dict[str, dict[str, Satisfaction]], feedback: dict[str, int],
) -> Insights:  # fmt: skip
    """Add rows up."""
    rows = list(tally.newest.values())
    fallback = playbook.dimensions["escalation"].fallback
    escalated = sum(row.labels.get("escalation", fallback) != fallback for row in rows)
    review = sum(row.needs_review for row in rows)
    return Insights(
        since=since, until=until, tickets=len(rows), suggestions=tally.suggestions, truncated=tally.truncated,
        needs_review=review, review_share=_share(review, len(rows)),
        escalated=escalated, escalation_share=_share(escalated, len(rows)),
        volumes=_volumes(rows), satisfaction=satisfaction, feedback=feedback,
        over_time=tuple(_over_time(rows, width)),
    )  # fmt: skip


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _volumes(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    counted: dict[str, Counter[str]] = {}
    for row in rows:
        for name, value in (*row.labels.items(), *row.traits):
            counted.setdefault(name, Counter())[value] += 1
    return {name: dict(values.most_common()) for name, values in counted.items()}


def _over_time(rows: Iterable[Row], width: timedelta) -> list[Bucket]:
    buckets: dict[datetime, list[Row]] = {}
    for row in rows:
        seconds = row.at.timestamp() // width.total_seconds() * width.total_seconds()
        buckets.setdefault(datetime.fromtimestamp(seconds, UTC), []).append(row)
    return [
        Bucket(
            start=start, tickets=len(held), needs_review=sum(row.needs_review for row in held),
            by_urgency=dict(Counter(row.labels.get("urgency", NONE) for row in held)),
        )
        for start, held in sorted(buckets.items())
    ]  # fmt: skip


async def _satisfaction(store: Store, newest: Mapping[str, Row]) -> dict[str, dict[str, Satisfaction]]:
    """Give every label the mean score of its tickets."""
    scores: dict[str, dict[str, list[float]]] = {}
    ids = list(newest)
    for start in range(0, len(ids), PAGE):
        for outcome in await store.outcomes.of(*ids[start : start + PAGE]):
            if outcome.kind is not OutcomeKind.SATISFACTION or outcome.value is None:
                continue
            for name, label in newest[outcome.ticket_id].labels.items():
                scores.setdefault(name, {}).setdefault(label, []).append(outcome.value)
    return {
        name: {label: Satisfaction(count=len(said), mean=sum(said) / len(said)) for label, said in labels.items()}
        for name, labels in scores.items()
    }


async def _feedback(store: Store, since: datetime, until: datetime) -> dict[str, Any]:
    counted: Counter[str] = Counter()
    after = None
    for _ in range(MAX_ROWS // PAGE):
        page = await store.feedback.with_suggestions(since, until, after_id=after, limit=PAGE)
        counted.update(feedback.kind.value for feedback, _ in page)
        if len(page) < PAGE:
            break
        after = page[-1][0].id
    return dict(counted)
