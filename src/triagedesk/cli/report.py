"""`triagedesk report`: one page on a labelled batch, and what stands out on the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from triagedesk.cli.options import Options, PlaybookOption
from triagedesk.cli.terminal import inert_json, say, warn
from triagedesk.errors import ConfigError

if TYPE_CHECKING:
    from triagedesk.report import Report
    from triagedesk.report.zone import By

NEEDED = ("jinja2", "matplotlib")
DEFAULT_PAGE = "report.html"


def report(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="What `triagedesk batch` wrote: .jsonl, .csv, .parquet.")],
    tickets: Annotated[
        str | None,
        typer.Option(metavar="IN", help="The tickets it read, as `batch` takes them: adds dates, channels, tiers …"),
    ] = None,
    page: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The page.")] = Path(DEFAULT_PAGE),
    playbook: PlaybookOption = None,
    by: Annotated[str, typer.Option(metavar="day|week|month|auto", help="The periods of charts over time.")] = "auto",
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Stands on top. Default: OUT's name.")] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Europe/Berlin … Default: of the playbook's default calendar.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--map", metavar="OUR=THEIRS", help="The map of IN, as the batch was given it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON, too.")] = False,
) -> None:
    """Make one HTML page of a labelled batch: volumes, pile-ups, service levels, load, reviews, money."""
    _require_extra()
    _check(out, page)
    wanted = {"by": _period(by), "title": title, "timezone": timezone}
    raise typer.Exit(_run(Options(playbook=playbook), out, tickets, page, columns or (), wanted, as_json=as_json))


def _run(
    options: Options, out: Path, tickets: str | None, page: Path, columns: Sequence[str], wanted: dict[str, Any], *,
    as_json: bool,
) -> int:  # fmt: skip
    from triagedesk.batch.columns import read_map
    from triagedesk.pages.frame import write_page
    from triagedesk.playbook import load_playbook
    from triagedesk.report import Job, make_report
    from triagedesk.report.page import page as page_of

    made = make_report(
        Job(out, tickets, columns=read_map(columns), **wanted), load_playbook(options.settings().playbook)
    )
    write_page(page, page_of(made))
    if as_json:
        print(inert_json(json.dumps({"page": str(page), **made.as_json()}, ensure_ascii=False)))  # noqa: T201
    else:
        _tell(made, page)
    return 0


def _tell(report: Report, page: Path) -> None:
    say(report.sentence)
    for line in report.findings:
        say(f"- {line}")
    for line in report.warnings:
        warn(f"mind: {line}")
    say(f"report {page}")


def _require_extra() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"report needs {', '.join(missing)}; pip install 'triagedesk[report]'")


def _check(out: Path, page: Path) -> None:
    """Refuse a page that cannot be written, before anything is read, or that would replace a file that is no page."""
    if out.exists() and page.exists() and out.samefile(page):
        raise ConfigError(f"{page}: is what the report is made from; choose another -o")
    if page.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{page}: is no name of a page; give -o NAME.html")
    if not page.absolute().parent.is_dir():
        raise ConfigError(f"{page}: its folder does not exist; create it first")


def _period(by: str) -> By:
    from triagedesk.report.zone import By

    if by not in get_args(By):
        raise ConfigError(f"--by: {by!r} is none of {', '.join(get_args(By))}")
    return cast("By", by)
