"""The tables and the chart of docs/scale.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import report
from figures import Outcome, Table, number
from scale_inputs import Measured

if TYPE_CHECKING:
    from scale import Day

HERE = Path(__file__).parent
PAGE, CHART = HERE.parent / "docs" / "scale.md", HERE / "charts" / "scale.svg"
SECONDS_A_DAY = 86_400
Days = dict[str, list["Day"]]


def tables(days: Days, told: dict[str, Any], ours: Measured, ticket_usd: float) -> list[Table]:
    """Return every table of the page."""
    return [
        _inputs(ours), _sizes(days["sizes"], told), _repeated(days["repeated"], ours), _limits(days["limits"]),
        _servers(told, ours, ticket_usd),
    ]  # fmt: skip


def write(found: Outcome, days: Days, told: dict[str, Any], ours: Measured) -> None:  # noqa: ARG001
    """Replace what stands between the marks of docs/scale.md, and the chart."""
    lines = []
    for each in found.tables:
        lines += [
            f"### {each.title}",
            "",
            each.note,
            "",
            *report.table({"columns": each.columns, "rows": each.rows}),
            "",
        ]
    checked = "; ".join(f"{figure.metric}: {number(figure.value)} ({figure.note})" for figure in found.figures)
    lines.append(f"Check of the simulation: {checked}.")
    if _draw(days["sizes"], told):
        lines[:0] = ["![Cost a day by tickets a day](../benchmarks/charts/scale.svg)", ""]
    report.replace(PAGE, "\n".join(lines))


def _many(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"


def _usd(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def _inputs(ours: Measured) -> Table:
    told = {
        "cold_us": "CPU µs of a new ticket, model asked",
        "new_hit_us": "CPU µs of a ticket new to the process, answer cached",
        "again_us": "CPU µs of a ticket that comes again to the same process",
        "rules_us": "CPU µs of a ticket by rules",
        "http_us": "CPU µs that the service adds (HTTP, key, recording)",
        "stored_bytes": "bytes of a suggestion in the service's database",
        "answer_bytes": "bytes of an answer in the cache",
    }  # fmt: skip
    rows = [
        (what, number(getattr(ours, name)), "stand-in" if ours.sources[name] == "scale.toml" else "measured",
         ours.sources[name])
        for name, what in told.items()
    ]  # fmt: skip
    return Table("What it is computed from", ("figure", "value", "", "from"), rows)


def _sizes(days: list[Day], told: dict[str, Any]) -> Table:
    prices = told["prices"]
    rows = [
        (
            _many(day.case.size), number(day.peak_per_s), f"{day.hit_rate:.0%}", str(day.cores), _many(day.calls),
            _usd(day.model_usd), _usd(day.model_usd * prices["batch"]), _usd(day.core_usd), number(day.stored_gb),
            number(day.cached_gb), f"{day.rules:.2%}", f"{day.p50_s:.1f} / {day.p99_s:.1f}",
        )
        for day in days
    ]  # fmt: skip
    columns = ("tickets a day", "peak/s", "cache hits", "replicas (cores)", "model calls", "model USD a day",
               "by Batch API", "cores USD a day", "database GB a day", "cache GB a day", "by rules",
               "p50 / p99 s")  # fmt: skip
    note = (
        f"Computed. {told['tickets']['usual_share']:.0%} of tickets repeat, no provider limit, a hosted model at "
        f"{prices['prompt']:g}, {prices['cached']:g} (cached) and {prices['completion']:g} USD a million tokens. A "
        f"replica is one core, {told['service']['busy']:.0%} busy in the peak second "
        f"(the {told['service']['peak_quantile']:.1%} point)."
    )
    return Table("A day by size", columns, rows, note)


def _repeated(days: list[Day], ours: Measured) -> Table:
    rows = [
        (f"{day.case.repeated:.0%}", f"{day.hit_rate:.1%}", _many(day.calls), _usd(day.model_usd), str(day.cores))
        for day in days
    ]
    note = (
        f"Computed, a million tickets a day. Hits save the model's money and less CPU: a ticket that is new to a "
        f"replica is read and judged by rules before the cache is asked ({number(ours.new_hit_us)} of "
        f"{number(ours.cold_us)} µs)."
    )
    return Table(
        "The share that repeats", ("repeat", "cache hits", "model calls", "model USD a day", "replicas"), rows, note
    )


def _limits(days: list[Day]) -> Table:
    sizes = sorted({day.case.size for day in days})
    by_case = {(day.case.limit, day.case.size): day for day in days}
    names = list(dict.fromkeys(day.case.limit for day in days))
    rows = [(name, *(f"{by_case[name, size].rules:.1%}" for size in sizes)) for name in names]
    note = (
        "Computed: share of tickets that rules answer because the provider refuses (429) or the deadline would pass. A "
        "limit is held second by second, so peaks suffer long before a day's total does."
    )
    return Table("The provider's limits, a minute", ("limit", *(f"{_many(size)} a day" for size in sizes)), rows, note)


def _servers(told: dict[str, Any], ours: Measured, ticket_usd: float) -> Table:
    rows = [_server(each, told, ours, ticket_usd) for each in told["servers"]]
    per_s = 1e6 / ours.rules_us
    price = told["prices"]["core_hour"]
    usd, source = _usd(price / 3600 / per_s * 1e6), ours.sources["rules_us"]
    kind = "stand-in" if source == "scale.toml" else "measured"
    rows.append(("no model: rules, one core", number(per_s), usd, *_units(per_s), kind, source))
    columns = ("who answers", "tickets/s of one unit", "USD a million tickets", "units for 1 M a day",
               "units for 100 M a day", "", "from")  # fmt: skip
    note = "Units for an even load; a peak of three times the mean needs three times as many, or a queue (batch)."
    return Table("Models side by side", columns, rows, note)


def _server(each: dict[str, Any], told: dict[str, Any], ours: Measured, ticket_usd: float) -> tuple[str, ...]:
    if "paid_by_token" in each:
        usd = ticket_usd * each["paid_by_token"] * 1e6
        return (each["name"], "the account's limit", _usd(usd), "–", "–", each["kind"], each["source"])
    source, kind, seconds = each["source"], each["kind"], ours.local.get(each.get("measured", ""))
    if "seconds_per_ticket" in each:
        per_s = 1 / (seconds or each["seconds_per_ticket"])
        kind, source = (kind, source) if seconds else ("stand-in", "scale.toml; benchmarks/local.py was not run")
    else:
        per_s = each["output_tokens_per_s"] / told["tickets"]["completion_tokens"]
    usd = each["usd_per_hour"] / 3600 / per_s * 1e6
    return (each["name"], number(per_s), _usd(usd), *_units(per_s), kind, source)


def _units(per_s: float) -> tuple[str, str]:
    one, most = (f"{max(1, -(-size // (per_s * SECONDS_A_DAY))):,.0f}" for size in (1e6, 1e8))
    return one, most


def _draw(days: list[Day], told: dict[str, Any]) -> bool:
    try:
        import charts
    except ImportError:
        return False
    with charts.mpl.rc_context(charts.STYLE):
        figure, axes = charts.plt.subplots(figsize=(7.2, 3.4))
        sizes = [day.case.size for day in days]
        lines = {
            "hosted model, live": ([day.model_usd for day in days], charts.OTHERS, "-"),
            "hosted model, Batch API": ([day.model_usd * told["prices"]["batch"] for day in days], charts.OTHERS, "--"),
            "triagedesk's cores": ([day.core_usd for day in days], charts.OURS, "-"),
        }
        for name, (values, colour, style) in lines.items():
            axes.plot(sizes, values, marker="o", label=name, color=colour, linestyle=style)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("tickets a day")
        axes.set_ylabel("USD a day")
        axes.legend()
        charts.save(figure, CHART)
    return True
