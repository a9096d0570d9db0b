"""The commands and their options. Bodies import what they need, so that --help costs only typer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from triagedesk.cli.batch_ray import ActorsOption, AddressOption, BlockRowsOption, EngineOption, OnRay
from triagedesk.cli.eval_app import eval_app
from triagedesk.cli.mcp import attach as attach_mcp
from triagedesk.cli.options import (
    BaseUrlOption,
    CacheDirOption,
    DeadlineOption,
    InArgument,
    ModelOption,
    NoCacheOption,
    Options,
    OutArgument,
    PlaybookOption,
    PromptOption,
)
from triagedesk.cli.report import report
from triagedesk.cli.service_app import keys_app, serve

app = typer.Typer(
    name="triagedesk",
    help="A support ticket goes in; a suggestion comes out, in time, with reasons, whatever the model does.",
    rich_markup_mode=None,  # rich would triple the time of --help
    add_completion=False,
    pretty_exceptions_enable=False,
)
playbook_app = typer.Typer(name="playbook", help="Copy, check or print a playbook.", rich_markup_mode=None)
cache_app = typer.Typer(name="cache", help="Look at or empty the answer cache.", rich_markup_mode=None)
app.add_typer(playbook_app)
app.add_typer(cache_app)
app.add_typer(eval_app)
app.add_typer(keys_app)
app.command()(serve)
attach_mcp(app)


def version_line() -> str:
    """Return "triagedesk" and the version installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"triagedesk {version('triagedesk')}"
    except PackageNotFoundError:
        return "triagedesk, not installed"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_line())
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _front(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


@app.command()
def classify(
    text: Annotated[str | None, typer.Argument(help="The ticket's text; else standard input.")] = None,
    ticket: Annotated[Path | None, typer.Option(metavar="FILE", help="A ticket as JSON, or plain text.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the suggestion as JSON.")] = False,
    subject: Annotated[str | None, typer.Option(metavar="TEXT", help="The subject line.")] = None,
    channel: Annotated[str | None, typer.Option(metavar="NAME", help="email, live_chat, voice …")] = None,
    tier: Annotated[str | None, typer.Option(metavar="NAME", help="standard, premium, vip …")] = None,
    product: Annotated[str | None, typer.Option(metavar="NAME", help="What it is about.")] = None,
    region: Annotated[str | None, typer.Option(metavar="CODE", help="Where the customer is: DE, US-NY …")] = None,
    language: Annotated[str | None, typer.Option(metavar="CODE", help="BCP 47; detected when absent.")] = None,
    created_at: Annotated[str | None, typer.Option(metavar="TIME", help="When it arrived, ISO 8601.")] = None,
    due_at: Annotated[str | None, typer.Option(metavar="TIME", help="By when an answer was promised.")] = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    deadline: DeadlineOption = None,
    playbook: PlaybookOption = None,
    prompt: PromptOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Suggest labels for one ticket: a text, --ticket FILE, or standard input."""
    from triagedesk.cli.classify import run

    metadata = {
        "subject": subject, "channel": channel, "customer_tier": tier, "product": product, "region": region,
        "language": language, "created_at": created_at, "due_at": due_at,
    }  # fmt: skip
    raise typer.Exit(
        run(
            Options(model, base_url, deadline, playbook, prompt, no_cache),
            text=text,
            file=ticket,
            metadata={name: value for name, value in metadata.items() if value is not None},
            as_json=as_json,
        )
    )


@app.command()
def batch(
    source: InArgument,
    target: OutArgument,
    concurrency: Annotated[
        str, typer.Option(metavar="N|auto", help="Tickets in flight at most; auto: what the server bears.")
    ] = "auto",
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on where a killed run stopped.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again, whatever OUT holds.")] = False,
    unordered: Annotated[bool, typer.Option("--unordered", help="Write rows as they finish.")] = False,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OUR=THEIRS", help="Where a field stands: body=Beschreibung, id=ticket.key …"),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", metavar="USD", min=0, help="Stop when this much is spent.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Cores to use, where no model is asked.")] = 1,
    via: Annotated[
        str, typer.Option(metavar="live|batch-api", help="batch-api: OpenAI's, within 24 hours at half the price.")
    ] = "live",
    then: Annotated[
        str | None,
        typer.Option(metavar="rules|live", help="Who answers what the Batch API did not. Default: rules."),
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="End what runs of it at the provider.")] = False,
    pack: Annotated[int | None, typer.Option(metavar="N", min=1, max=20, help="Short tickets in a request.")] = None,
    engine: EngineOption = "local",
    ray_address: AddressOption = None,
    actors: ActorsOption = None,
    block_rows: BlockRowsOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    deadline: DeadlineOption = None,
    playbook: PlaybookOption = None,
    prompt: PromptOption = None,
    no_cache: NoCacheOption = False,
) -> None:
    """Suggest labels for many tickets. Rows that are no tickets go to OUT's .errors.jsonl; the rest is done."""
    from triagedesk.cli.batch import Wanted, run

    wanted = Wanted(
        concurrency, resume, overwrite, unordered, tuple(columns or ()), max_cost, processes, via, then, cancel, pack,
        OnRay(engine, ray_address, actors, block_rows),
    )  # fmt: skip
    raise typer.Exit(run(Options(model, base_url, deadline, playbook, prompt, no_cache), source, target, wanted))


app.command()(report)


@app.command()
def demo(
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    deadline: DeadlineOption = None,
    playbook: PlaybookOption = None,
) -> None:
    """Classify the bundled sample tickets. Needs no key: no model is asked unless --model or --base-url is given."""
    from triagedesk.cli.demo import run

    raise typer.Exit(run(Options(model, base_url, deadline, playbook)))


@app.command()
def doctor(
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    deadline: DeadlineOption = None,
    playbook: PlaybookOption = None,
    prompt: PromptOption = None,
    cache_dir: CacheDirOption = None,
) -> None:
    """Check playbook, prompt, cache, language detector and model (one tiny real call), one line each."""
    from triagedesk.cli.doctor import run

    raise typer.Exit(run(Options(model, base_url, deadline, playbook, prompt, cache_dir=cache_dir)))


@app.command()
def train(
    gold: Annotated[
        list[Path], typer.Argument(metavar="GOLD…", help="Labelled tickets: .jsonl, .csv or a set's name.")
    ],
    target: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL", help="The file to write: .safetensors.")],
    measure_on: Annotated[
        list[Path] | None,
        typer.Option(metavar="GOLD", help="Fit confidence on these alone: who wrote the rules has not read them."),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Its name. Default: the playbook's.")] = None,
    features: Annotated[int, typer.Option(min=100, max=1_000_000, help="The most features kept.")] = 32_000,
    at_least: Annotated[int, typer.Option(min=2, help="Tickets in which a feature must stand.")] = 3,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of folds and fit.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
    playbook: PlaybookOption = None,
) -> None:
    """Train a classifier on labelled tickets: the second line where no model answers, and the cascade's first."""
    from triagedesk.cli.train import run

    raise typer.Exit(
        run(
            gold, target, playbook, measure_on=measure_on or [], name=name, features=features, at_least=at_least,
            seed=seed, as_json=as_json,
        )
    )  # fmt: skip


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(version_line())


@playbook_app.command("init")
def playbook_init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("playbook.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Copy the bundled playbook to a file of your own."""
    from triagedesk.cli.playbook import init

    raise typer.Exit(init(file, force=force))


@playbook_app.command("check")
def playbook_check(file: Annotated[Path | None, typer.Argument(help="Default: the bundled one.")] = None) -> None:
    """Say what is wrong with a playbook: exit code 2 if it cannot be used, 1 if its rules hold errors."""
    from triagedesk.cli.playbook import check

    raise typer.Exit(check(file))


@playbook_app.command("show")
def playbook_show(
    file: Annotated[Path | None, typer.Argument(help="Default: the bundled one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print a playbook with its hash."""
    from triagedesk.cli.playbook import show

    raise typer.Exit(show(file, as_json=as_json))


@cache_app.command("stats")
def cache_stats(cache_dir: CacheDirOption = None) -> None:
    """Say what the answer cache holds."""
    from triagedesk.cli.cache import stats

    raise typer.Exit(stats(Options(cache_dir=cache_dir)))


@cache_app.command("clear")
def cache_clear(cache_dir: CacheDirOption = None) -> None:
    """Forget every cached answer."""
    from triagedesk.cli.cache import clear

    raise typer.Exit(clear(Options(cache_dir=cache_dir)))
