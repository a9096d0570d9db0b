"""Writes what the benchmarks found: tables and charts for people, out of results/*.json.

python benchmarks/report.py      writes all anew from the results that are there
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from figures import Figure, shown
from goals import GOALS, Goal

HERE = Path(__file__).parent
README, GOALS_PAGE = HERE / "README.md", HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- written by `make bench` -->", "<!-- end of what `make bench` writes -->"
ORDER = (
    "calls", "hits", "rules", "service", "service_load", "batch", "ray_overhead", "tracing", "startup", "deadline",
    "local", "sizes", "profiles",
)  # fmt: skip
TITLES = {
    "calls": "1. A cold ticket", "hits": "2. Cache hits", "rules": "3. Rules", "service": "4. HTTP",
    "service_load": "4b. HTTP under load", "batch": "5. Batch", "ray_overhead": "5b. Ray", "tracing": "5c. Tracing",
    "startup": "6. Start", "deadline": "7. Deadline", "local": "8. Local models",
    "sizes": "9. What a ticket leaves behind", "profiles": "10. Profiles",
}  # fmt: skip
Result = dict[str, Any]


def write(results: Path) -> None:
    """Write README.md, the charts and the goals."""
    found = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(results.glob("*.json"))}
    drawn = _draw(found)
    replace(README, page(found, drawn))
    replace(GOALS_PAGE, "\n".join(goals(found)))


def _draw(found: dict[str, Result]) -> dict[str, str]:
    try:
        import charts
    except ImportError:
        print("matplotlib is not installed: the charts stay as they were")
        return {file.stem: f"charts/{file.name}" for file in sorted((HERE / "charts").glob("*.svg"))}
    return charts.draw(found, HERE / "charts")


def replace(file: Path, text: str) -> None:
    """Replace what stands between the marks of a file."""
    before, _, rest = file.read_text("utf-8").partition(BEGIN)
    file.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", "utf-8")


def page(found: dict[str, Result], drawn: dict[str, str]) -> str:
    """Return the README's part that is written by program."""
    lines: list[str] = []
    for name in ORDER:
        if name in found:
            lines += ["", f"## {TITLES[name]}", "", *_part(found[name], drawn.get(name))]
    return "\n".join(lines)


def _part(result: Result, chart: str | None) -> list[str]:
    if "problem" in result:
        return [f"Did not run: {result['problem']}."]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    lines = [
        f"Measured {result['date']}, commit {result['commit']}, {result['machine']}, load before it "
        f"{result['load_before']}, {result['seconds']} s. Versions: {versions}.",
    ]  # fmt: skip
    if chart:
        lines += ["", f"![{TITLES[result['part']]}]({chart})"]
    for each in result["outcome"]["tables"]:
        lines += ["", f"**{each['title']}.** {each['note']}".strip(), "", *table(each)]
    figures = [Figure(**told) for told in result["outcome"]["figures"]]
    if figures:
        rows = [(figure.name, figure.metric, shown(figure), figure.note) for figure in figures]
        lines += ["", *table({"columns": ("#", "what", "measured", ""), "rows": rows})]
    absent = [f"{name} ({why})" for name, why in result["outcome"]["absent"].items()]
    return [*lines, "", f"Absent: {'; '.join(absent)}."] if absent else lines


def table(told: dict[str, Any]) -> list[str]:
    """Return a table as Markdown."""
    columns = told["columns"]
    rows = [f"| {' | '.join(row)} |" for row in told["rows"]]
    return [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |", *rows]


def goals(found: dict[str, Result]) -> list[str]:
    """Return a row for each figure that has a goal: what was measured, and why it is missed if it is."""
    figures = [Figure(**figure) for result in found.values() for figure in result.get("outcome", {}).get("figures", ())]
    lines = [
        _when(found),
        "",
        "| # | what | goal | stretch | measured | | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for goal in GOALS:
        measured = [figure for figure in figures if figure.name == goal.name and figure.goal is not None]
        lines += [_row(goal, figure) for figure in measured] or [
            f"| {goal.name} | {goal.what} | {goal.goal} | {goal.stretch} | not measured | | |"
        ]
    return lines


def _row(goal: Goal, figure: Figure) -> str:
    verdict = "met" if figure.met else "**missed**"
    why = figure.note if figure.met or not goal.why else f"{figure.note}; {goal.why}" if figure.note else goal.why
    cells = (goal.name, figure.metric, goal.goal, goal.stretch, shown_plain(figure), verdict, why)
    return f"| {' | '.join(cells)} |"


def shown_plain(figure: Figure) -> str:
    """Return a figure's value without its goal."""
    return shown(figure).partition(" (goal")[0]


def _when(found: dict[str, Result]) -> str:
    told = {f"{result['date']}, {result['machine']}" for result in found.values() if "machine" in result}
    return (
        f"Measured {'; '.join(sorted(told))}; medians, [least, most] of the rounds."
        if told
        else "Nothing measured yet."
    )


if __name__ == "__main__":
    write(HERE / "results")
