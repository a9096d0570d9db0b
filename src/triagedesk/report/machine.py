"""How the labels were made: sources, why the model did not answer, confidence, time and money."""

from __future__ import annotations

from collections.abc import Iterator

from triagedesk.models import ConfidenceKind, Source
from triagedesk.pages.drawing import KINDS
from triagedesk.pages.words import title_of
from triagedesk.report import charts
from triagedesk.report.answers import BINS
from triagedesk.report.blocks import Block, Cell, Chart, Column, Missing, Section, Table, counts
from triagedesk.report.calendar import Calendar
from triagedesk.report.tally import Tally

KIND_WORDS = {
    ConfidenceKind.MEASURED.value: "measured on labelled tickets",
    ConfidenceKind.SELF_REPORTED.value: "the model's own word",
    "": "of unknown kind",
}  # fmt: skip
MOST_REASONS = 5


def section(tally: Tally, calendar: Calendar) -> Section:
    """Return sources, fallbacks, confidence, time and money."""
    note = "Labels of a model and labels of the rules are not worth the same: this says how much of which there is."
    return Section("machine", "How the labels were made", note, tuple(_blocks(tally, calendar)), tuple(_boxes(tally)))


def _boxes(tally: Tally) -> Iterator[Table]:
    answers = tally.answers
    yield counts("sources", "Answered by", answers.sources.ranked(), tally.n)
    if answers.fallbacks:
        yield counts("fallbacks", "No model answer, because", answers.fallbacks.ranked(), tally.n)
    if answers.models:
        yield counts("models", "Models", answers.models.ranked(), tally.n, kind="text")
    yield _money(tally)
    if answers.waits:
        yield _waits(tally)


def _money(tally: Tally) -> Table:
    money, tokens = tally.answers.money, tally.answers.tokens
    rows: list[tuple[Cell, ...]] = []
    if money.priced:
        rows += [("spent", money.spent), ("per 1,000 tickets", 1000 * money.spent / tally.n)]
    if money.saved:
        rows.append(("saved by the cache", money.saved))
    note = "" if rows else "No answer says what it cost. Set the price_… settings before the batch to see money here."
    if rows and money.unpriced:
        note = f"{money.unpriced:,} model answers bear no price and are not in it."
    if any(tokens.values()):
        prompt = f"{tokens['prompt']:,} prompt tokens, {tokens['cached']:,} of them cached"
        note = f"{note} {prompt}; {tokens['completion']:,} answered.".strip()
    return Table("money", "Money", (Column("name", "", "text"), Column("usd", "USD", "usd")), tuple(rows), note)


def _waits(tally: Tally) -> Table:
    rows = tuple(
        (source, waits.n, waits.quantile(0.5), waits.quantile(0.95))
        for source, waits in sorted(tally.answers.waits.items())
    )
    columns = (Column("name", "", "text"), Column("tickets", "tickets"), Column("median", "median", "ms"),
               Column("p95", "95 %", "ms"))  # fmt: skip
    return Table("waits", "Time per ticket", columns, rows, "From receipt to answer, to a fifth.")


def _blocks(tally: Tally, calendar: Calendar) -> Iterator[Block]:
    if calendar.periods:
        yield _over_time(tally, calendar)
        if tally.answers.fallbacks:
            yield _fallbacks(tally, calendar)
    yield from _confidences(tally)


def _over_time(tally: Tally, calendar: Calendar) -> Chart:
    known = [source.value for source in Source]
    order = [name for name in known if name in tally.answers.sources]
    order += sorted(set(tally.answers.sources) - set(known))
    series = calendar.series(tally.answers.by_day, order)
    table = calendar.table("sources_over_time", f"Who answered, by {calendar.by}", series)
    colours = [KINDS[known.index(name) if name in known else -1] for name in order]
    return Chart(table, charts.stacked("sources", table.title, calendar.names, series, colours, 2.4))


def _fallbacks(tally: Tally, calendar: Calendar) -> Chart:
    reasons = [name for name, _ in tally.answers.fallbacks.ranked()[:MOST_REASONS]]
    series = calendar.series(tally.answers.fallbacks_by_day, reasons)
    note = "" if len(tally.answers.fallbacks) <= MOST_REASONS else "The commonest reasons only."
    table = calendar.table("fallbacks_over_time", f"No model answer, by {calendar.by} and reason", series, note)
    drawing = charts.stacked("fallbacks", table.title, calendar.names, series, charts.kind_colours(len(series)), 2.2)
    return Chart(table, drawing)


def _confidences(tally: Tally) -> Iterator[Block]:
    order = list(tally.labels)
    found = sorted(tally.answers.confidences.items(), key=lambda each: (order.index(each[0][0]), each[0]))
    if not found:
        yield Missing(
            "How sure the labels are: no answer carries a confidence.",
            "`triagedesk eval calibrate` measures it on labelled tickets; the batch then writes it.",
        )
    for place, ((dimension, kind), values) in enumerate(found):
        title = f"{title_of(dimension)}: confidence, {KIND_WORDS.get(kind, kind)}"
        edges = [f"{100 * step // BINS}–{100 * (step + 1) // BINS} %" for step in range(BINS)]
        columns = (Column("confidence", "confidence", "text"), Column("tickets", "tickets"))
        key = f"confidence_{dimension}{'_' + kind if kind else ''}"
        rows = tuple((edge, n) for edge, n in zip(edges, values, strict=True) if n)
        yield Chart(Table(key, title, columns, rows), charts.bins(f"conf{place}", title, values))
