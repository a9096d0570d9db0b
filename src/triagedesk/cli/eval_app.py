"""The commands of `triagedesk eval` and their options. Bodies import what they need: --help costs only typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triagedesk.cli.options import PlaybookOption

eval_app = typer.Typer(name="eval", help="Say what labels are worth, on labelled tickets, with error bars.",
                       rich_markup_mode=None, no_args_is_help=True)  # fmt: skip
data_app = typer.Typer(name="data", help="Check, split and clean labelled sets.", rich_markup_mode=None,
                       no_args_is_help=True)  # fmt: skip
eval_app.add_typer(data_app)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]
RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where runs are kept.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
GoldArgument = Annotated[Path, typer.Argument(metavar="GOLD", help="Labelled tickets, .jsonl or .csv.")]
BaselinesOption = Annotated[Path, typer.Option("--baselines", metavar="DIR", help="Where blessed baselines are kept.")]

ColumnsOption = Annotated[
    Path | None,
    typer.Option("--columns", metavar="FILE", help="A TOML file with a table [columns] for CSV: our field = column."),
]

RUNS, BASELINES = Path("evals/runs"), Path("evals/baselines")


@eval_app.command("run")
def eval_run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A run's config, .toml.")],
    split: Annotated[str | None, typer.Option(metavar="NAME", help="dev, calibration, smoke; test is sealed.")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="The first N tickets only.")] = None,
    k: Annotated[int | None, typer.Option("--k", min=1, max=100, metavar="N", help="Ask every ticket N times.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest run of this config.")] = False,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Ask again what came to nothing.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Ask even what was answered before.")] = False,
    max_cost: Annotated[float | None, typer.Option(min=0, metavar="USD", help="Stop before more is spent.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say tokens and price; ask nothing.")] = False,
    runs: RunsOption = RUNS,
    as_json: JsonOption = False,
) -> None:
    """Ask a system about every ticket of a labelled set, and report what it is worth."""
    from triagedesk.cli.eval_run import Wanted, run

    wanted = Wanted(split, limit, k, resume, retry_errors, not no_cache, max_cost, dry_run, runs, as_json)
    raise typer.Exit(run(config, wanted))


@eval_app.command("score")
def eval_score(
    gold: GoldArgument,
    predictions: Annotated[Path, typer.Argument(help="Suggestions, or lines with ticket_id and labels, .jsonl.")],
    playbook: PlaybookOption = None,
    columns: ColumnsOption = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as a page.")] = None,
    draws: Annotated[int, typer.Option(min=0, max=100_000, help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Score any system's predictions against gold labels."""
    from triagedesk.cli.eval_score import run

    done = run(gold, predictions, playbook, columns=columns, html=html, draws=draws, seed=seed, as_json=as_json)
    raise typer.Exit(done)


@eval_app.command("report")
def eval_report(
    run: RunArgument,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: report.html in the run.")] = None,
    markdown: Annotated[Path | None, typer.Option("--md", metavar="FILE", help="Write a Markdown summary too.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a run's report anew from its predictions, and print its figures."""
    from triagedesk.cli.eval_report import run as report

    raise typer.Exit(report(run, html=html, markdown=markdown, as_json=as_json))


@eval_app.command("ls")
def eval_ls(runs: RunsOption = RUNS, as_json: JsonOption = False) -> None:
    """List the runs."""
    from triagedesk.cli.eval_report import list_runs

    raise typer.Exit(list_runs(runs, as_json=as_json))


@eval_app.command("compare")
def eval_compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="The run to compare with.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The run that may be better.")],
    flips: Annotated[int, typer.Option(min=0, help="How many flipped tickets to list each way.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs on the same tickets: differences with paired intervals, and the tickets that flipped."""
    from triagedesk.cli.eval_compare import run

    raise typer.Exit(run(run_a, run_b, flips=flips, as_json=as_json))


@eval_app.command("gate")
def eval_gate(
    run: RunArgument,
    baseline: Annotated[str | None, typer.Option(metavar="NAME", help="A blessed baseline's file or a run; "
                                                 "default: the one blessed for this config.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML for CI.")] = None,
    baselines: BaselinesOption = BASELINES,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Pass (exit code 0), fail (1) or say that it cannot be told (2)."""
    from triagedesk.cli.eval_gate import gate

    raise typer.Exit(gate(run, baseline=baseline, junit=junit, baselines=baselines, as_json=as_json))


@eval_app.command("bless")
def eval_bless(
    run: RunArgument,
    baselines: BaselinesOption = BASELINES,
    force: Annotated[bool, typer.Option("--force", help="Even a run that --limit cut short.")] = False,
) -> None:
    """Make a run the baseline that `gate` compares with."""
    from triagedesk.cli.eval_gate import bless

    raise typer.Exit(bless(run, baselines=baselines, force=force))


@eval_app.command("calibrate")
def eval_calibrate(
    run: RunArgument,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE",
                                                help="Default: beside the playbook, NAME.calibration.json.")] = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Fit how true a run's confidences are; from then on suggestions carry measured ones."""
    from triagedesk.cli.eval_calibrate import calibrate

    raise typer.Exit(calibrate(run, output=output, as_json=as_json))


@eval_app.command("threshold")
def eval_threshold(
    run: RunArgument,
    max_risk: Annotated[float, typer.Option(help="The share of wrong labels that is borne.")] = 0.05,
    suggest_risk: Annotated[float, typer.Option(help="Above this risk a person is asked.")] = 0.20,
    write: Annotated[Path | None, typer.Option(metavar="PLAYBOOK", help="Write the levels into this playbook.")] = None,
    cascade: Annotated[
        Path | None,
        typer.Option(metavar="MODEL_RUN", help="A model's run on the same tickets: choose where to spare the model."),
    ] = None,
    max_loss: Annotated[float, typer.Option(help="With --cascade: how far macro-F1 may fall.")] = 0.02,
    as_json: JsonOption = False,
) -> None:
    """Choose from which confidence on labels are applied, suggested, or left to a person, or a model is spared."""
    from triagedesk.cli import eval_calibrate

    if cascade is not None:
        raise typer.Exit(eval_calibrate.cascade(run, cascade, max_loss=max_loss, as_json=as_json))
    threshold = eval_calibrate.threshold
    raise typer.Exit(threshold(run, max_risk=max_risk, suggest_risk=suggest_risk, write=write, as_json=as_json))


FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Labelled sets, .jsonl or .csv.")]


@data_app.command("check")
def data_check(
    files: FilesArgument, playbook: PlaybookOption = None, columns: ColumnsOption = None, as_json: JsonOption = False
) -> None:
    """Name every line that is wrong, and say what the sets hold. Exit code 1 when lines are wrong."""
    from triagedesk.cli.eval_data import check

    raise typer.Exit(check(files, playbook, as_json=as_json, columns=columns))


@data_app.command("split")
def data_split(
    gold: GoldArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where the splits are written.")],
    parts: Annotated[str, typer.Option(help="Names and shares.")] = "dev=.3,calibration=.3,test=.4",
    seed: Annotated[int, typer.Option(help="Of the shuffle.")] = 0,
    playbook: PlaybookOption = None,
    columns: ColumnsOption = None,
) -> None:
    """Split a set by labels, keeping groups and near-duplicates together."""
    from triagedesk.cli.eval_data import split

    raise typer.Exit(split(gold, output, parts=parts, seed=seed, playbook_file=playbook, columns=columns))


@data_app.command("agree")
def data_agree(
    gold: GoldArgument,
    others: Annotated[list[Path], typer.Argument(metavar="ANNOTATIONS…", help="Lines with id, by and labels.")],
    playbook: PlaybookOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how far annotators agree: the ceiling of any system."""
    from triagedesk.cli.eval_data import agree

    raise typer.Exit(agree(gold, others, playbook, as_json=as_json, columns=columns))


@data_app.command("noise")
def data_noise(
    gold: GoldArgument,
    top: Annotated[int, typer.Option(min=1, help="How many suspects to list.")] = 20,
    playbook: PlaybookOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List labels that are probably wrong, and say whether the labels can be told from chance at all."""
    from triagedesk.cli.eval_data import noise

    raise typer.Exit(noise(gold, playbook, top=top, as_json=as_json, columns=columns))


@data_app.command("dedup")
def data_dedup(
    files: FilesArgument,
    threshold: Annotated[float, typer.Option(min=0.5, max=1.0, help="Cosine from which two are too near.")] = 0.9,
    playbook: PlaybookOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find near-duplicates within and across sets. Exit code 1 when some stand in two sets."""
    from triagedesk.cli.eval_data import dedup

    raise typer.Exit(dedup(files, playbook, threshold=threshold, as_json=as_json, columns=columns))
