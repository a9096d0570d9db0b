"""`triagedesk eval data`: what is wrong with a labelled set, and what can be made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triagedesk.cli.eval_extra import require_extra
from triagedesk.cli.terminal import say, warn

if TYPE_CHECKING:
    from triagedesk.evals.labelled.agree import Agreement
    from triagedesk.evals.labelled.check import Checked, Holds
    from triagedesk.evals.labelled.dedup import Duplicates, Pair
    from triagedesk.evals.labelled.noise import Noise
    from triagedesk.playbook import Playbook

FINE, WRONG, CANNOT_TELL = 0, 1, 2
SHOWN_LABELS, SHOWN_PAIRS, SHOWN_ROWS = 30, 50, 50


def _playbook(file: Path | None) -> Playbook:
    require_extra()
    from triagedesk.playbook import load_playbook

    return load_playbook(file)


def told_opening(file: Path, command: str) -> None:
    """Count the opening of a sealed split, and say so on stderr."""
    from triagedesk.evals.datasets import count_file
    from triagedesk.evals.sets import found

    times = count_file(found(file), command)
    if times:
        warn(f"{file}: a sealed split, opened {'once' if times == 1 else f'{times} times'} so far, this time included")


def check(
    files: Sequence[Path], playbook_file: Path | None, *, as_json: bool, columns: Path | None = None
) -> int:  # fmt: skip
    """Name every wrong line: 1 when there are some. Raises ConfigError for a file that cannot be used."""
    playbook = _playbook(playbook_file)
    from triagedesk.evals.labelled.check import check_set
    from triagedesk.evals.sets import columns_of

    by = columns_of(columns)
    sets = [check_set(file, playbook, by) for file in files]
    if as_json:
        say(json.dumps({"files": [each.as_json() for each in sets]}))
    else:
        for each in sets:
            _print_checked(each)
    return WRONG if any(each.problems for each in sets) else FINE


def _print_checked(checked: Checked) -> None:
    for problem in checked.problems:
        say(f"{checked.path}: line {problem.line}: {problem.text}")
    wrong = len({problem.line for problem in checked.problems})
    say(f"{checked.path}: {checked.lines} lines, {wrong or 'none'} wrong")
    _print_holds(checked.holds)


def _print_holds(holds: Holds) -> None:
    for name, counts in holds.labels.items():
        shown = counts.most_common(SHOWN_LABELS)
        told = [f"{label} {n} ({n / max(1, counts.total()):.1%})" for label, n in shown]
        say(f"  {name}: {_joined(told, len(counts))}")
    for name, counts in holds.slices.items():
        if counts:
            told = [f"{value} {n}" for value, n in counts.most_common(SHOWN_LABELS)]
            say(f"  {name}: {_joined(told, len(counts))}")
    if holds.groups:
        say(f"  groups: {len(holds.groups)}, the largest of {max(holds.groups.values())} rows")
    for name, rare in holds.rare.items():
        if rare:
            told = [f"{label} {n}" for label, n in list(rare.items())[:SHOWN_LABELS]]
            say(f"  {name}, fewer than 30 rows: {_joined(told, len(rare))}")


def _joined(told: Iterable[str], of: int) -> str:
    listed = list(told)
    return ", ".join(listed) + (f", and {of - len(listed)} more" if of > len(listed) else "")


def split(
    gold: Path, output: Path, *, parts: str, seed: int, playbook_file: Path | None, columns: Path | None = None
) -> int:
    """Write the parts of a set and their manifest. Raises ConfigError."""
    playbook = _playbook(playbook_file)
    from triagedesk.evals.labelled.split import MANIFEST, shares_of, write_split
    from triagedesk.evals.sets import columns_of

    manifest = write_split(gold, output, playbook, shares_of(parts), seed=seed, columns=columns_of(columns))
    for name, part in manifest["parts"].items():
        say(f"{output / part['file']}: {part['rows']} rows ({name})")
    pairs = manifest["near_duplicates"]
    say(f"{pairs['pairs']} pairs of near-duplicates, {pairs['across']} across parts; see {output / MANIFEST}")
    return WRONG if pairs["across"] else FINE


def agree(
    gold: Path, others: Sequence[Path], playbook_file: Path | None, *, as_json: bool, columns: Path | None = None
) -> int:
    """Say how far annotators agree. Raises ConfigError when nothing was labelled twice."""
    playbook = _playbook(playbook_file)
    from triagedesk.evals.labelled.agree import agreement, unknown_ids
    from triagedesk.evals.labelled.annotations import read_annotations
    from triagedesk.evals.sets import columns_of, read_gold

    rows = read_gold(gold, playbook, columns_of(columns))
    told_opening(gold, "eval data agree")
    annotations = [one for file in others for one in read_annotations(file, playbook)]
    found = agreement(rows, annotations, playbook)
    strangers = unknown_ids(rows, annotations)
    if as_json:
        dimensions = {name: each.as_json() for name, each in found.items()}
        say(json.dumps({"unknown_ids": strangers, "dimensions": dimensions}))
    else:
        for name, each in found.items():
            _print_agreement(name, each)
    if strangers:
        warn(f"{strangers} annotations belong to no ticket of {gold} and were left out")
    return FINE


def _print_agreement(name: str, agreement: Agreement) -> None:
    from triagedesk.cli.eval_table import figure

    say(f"{name}: {agreement.n} rows labelled twice or more, by {', '.join(agreement.annotators)}")
    for each, value in agreement.figures.items():
        say(f"  {each.replace('_', ' ')} {figure(value)}")
    say(f"  disagreements: {len(agreement.disagreements)}")
    for row in agreement.disagreements[:SHOWN_ROWS]:
        say(f"    {row.id}: " + ", ".join(f"{by} {label}" for by, label in row.labels.items()))
    if len(agreement.disagreements) > SHOWN_ROWS:
        say(f"    and {len(agreement.disagreements) - SHOWN_ROWS} more; --json lists them")


def noise(
    gold: Path, playbook_file: Path | None, *, top: int, as_json: bool, columns: Path | None = None
) -> int:  # fmt: skip
    """List suspects and judge the labels: 1 when some cannot be told from chance, 2 when there are too few rows."""
    playbook = _playbook(playbook_file)
    from triagedesk.evals.labelled.noise import noise as judge
    from triagedesk.evals.sets import columns_of, read_gold

    rows = read_gold(gold, playbook, columns_of(columns))
    told_opening(gold, "eval data noise")
    found = judge(rows, playbook, top=top)
    if as_json:
        say(json.dumps({"dimensions": {name: each.as_json() for name, each in found.items()}}))
    else:
        _print_noise(found)
    verdicts = {each.verdict for each in found.values()}
    return WRONG if "chance" in verdicts else CANNOT_TELL if "too_few" in verdicts else FINE


def _print_noise(found: Mapping[str, Noise]) -> None:
    for name, each in found.items():
        say(each.words(name))
        if each.verdict != "learnable":
            continue
        if each.too_rare:
            say(f"  too rare to judge: {_joined(each.too_rare[:SHOWN_LABELS], len(each.too_rare))}")
        for row in each.suspects:
            rather = f"rather {row.likely} ({row.likely_confidence:.3f})"
            say(f"  line {row.line}, {row.id}: {row.given} ({row.confidence:.3f}), {rather}")


def dedup(
    files: Sequence[Path], playbook_file: Path | None, *, threshold: float, as_json: bool, columns: Path | None = None
) -> int:
    """Find near-duplicates: 1 when some stand in two sets."""
    playbook = _playbook(playbook_file)
    from triagedesk.evals.labelled.dedup import Duplicates, Place, near_duplicates
    from triagedesk.evals.sets import columns_of, read_gold

    by = columns_of(columns)
    rows = [(file, row) for file in files for row in read_gold(file, playbook, by)]
    for file in files:
        told_opening(file, "eval data dedup")
    places = [Place(str(file), row.line, row.id) for file, row in rows]
    found = Duplicates(places, near_duplicates([row.text for _, row in rows], threshold), threshold)
    if as_json:
        say(json.dumps(found.as_json()))
    else:
        _print_duplicates(found)
    return WRONG if found.across else FINE


def _print_duplicates(found: Duplicates) -> None:
    for title, pairs in (("in two sets", found.across), ("within a set", found.within)):
        say(f"{len(pairs)} pairs of near-duplicates {title}, of {len(found.places)} rows")
        for pair in pairs[:SHOWN_PAIRS]:
            say(f"  {pair.cosine:.3f}  {_told(found, pair)}")
        if len(pairs) > SHOWN_PAIRS:
            say(f"  and {len(pairs) - SHOWN_PAIRS} more; --json lists them")


def _told(found: Duplicates, pair: Pair) -> str:
    first, second = found.places[pair.first], found.places[pair.second]
    if first.file == second.file:
        return f"{first.id} – {second.id}  ({first.file}, lines {first.line} and {second.line})"
    return f"{first.id} – {second.id}  ({first.file} line {first.line}, {second.file} line {second.line})"
