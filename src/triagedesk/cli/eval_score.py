"""`triagedesk eval score`: any system's predictions against gold labels."""

from __future__ import annotations

import json
from pathlib import Path

from triagedesk.cli.eval_extra import require_extra
from triagedesk.cli.terminal import say, warn


def run(
    gold: Path, predictions: Path, playbook_file: Path | None, *, columns: Path | None = None,
    html: Path | None, draws: int, seed: int, as_json: bool,
) -> int:  # fmt: skip
    """Score a file of predictions. Raises ConfigError."""
    require_extra()
    from triagedesk.cli.eval_data import told_opening
    from triagedesk.evals.predictions import read_predictions
    from triagedesk.evals.run import Run
    from triagedesk.evals.sets import columns_of, read_gold
    from triagedesk.evals.sheet import make_sheet
    from triagedesk.playbook import load_playbook

    playbook = load_playbook(playbook_file)
    rows = read_gold(gold, playbook, columns_of(columns))
    told_opening(gold, "eval score")
    sheet = make_sheet(rows, read_predictions(predictions), playbook)
    done = Run(sheet, draws, seed)
    scores = done.metrics
    if html is not None:
        from triagedesk.evals.report import write_report

        write_report(html, done, title=predictions.name)
    if as_json:
        say(json.dumps(scores.as_json()))
    else:
        from triagedesk.cli.eval_table import print_scores

        print_scores(scores)
    if scores.missing:
        warn(f"{scores.missing} of {scores.n} tickets have no prediction: they count as wrong")
    if scores.unknown_ids:
        warn(f"{scores.unknown_ids} predictions belong to no ticket of {gold} and were left out")
    if not scores.answered:
        warn("no ticket was answered: nothing is measured")
        return 2
    return 0
