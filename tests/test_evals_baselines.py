"""Baselines: each is what it says, over the rows it says, and learns nothing from what it is asked."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import accuracy_score, f1_score

from triagedesk.evals.baselines import Baselines, baselines
from triagedesk.evals.conduct import Wish, conduct, open_folder, prepare
from triagedesk.evals.gold import Gold
from triagedesk.evals.labelled.annotations import Annotation
from triagedesk.evals.predictions import Prediction
from triagedesk.evals.sheet import Sheet, make_sheet
from triagedesk.playbook import load_playbook

PLAYBOOK = load_playbook()
SAID = {
    "critical": "smoke comes out of the charger", "high": "charged twice, money back",
    "medium": "the parcel is late", "low": "how do i export the invoice",
}  # fmt: skip


def rows(n: int, seed: int = 0, *, name: str = "t", group: int = 0) -> list[Gold]:
    rng = random.Random(seed)
    made = []
    for i in range(n):
        urgency = rng.choices(list(SAID), [1, 2, 3, 6])[0]
        body = f"{SAID[urgency]} {rng.random():.6f}"
        of = f"g{i // group}" if group else None
        made.append(Gold(i + 1, f"{name}{i}", {"body": body}, {"urgency": urgency}, group=of))
    return made


def sheet_of(gold: list[Gold], rules: dict[str, dict[str, str]] | None = None) -> Sheet:
    said = [Prediction(row.id, labels={"urgency": "low"}, rules=(rules or {}).get(row.id, {})) for row in gold]
    return make_sheet(gold, said, PLAYBOOK)


def value(found: Baselines, name: str, figure: str = "accuracy") -> float:
    number = found[name]["urgency"].figures[figure].value
    assert number is not None
    return number


def test_majority_is_the_most_frequent_label_for_all() -> None:
    gold = rows(120)
    found = baselines(sheet_of(gold), draws=100)
    labels = [row.labels["urgency"] for row in gold]
    most = Counter(labels).most_common(1)[0][0]
    assert value(found, "majority") == pytest.approx(accuracy_score(labels, [most] * 120))
    held = sorted(set(labels))
    expected = f1_score(labels, [most] * 120, labels=held, average="macro", zero_division=0)
    assert value(found, "majority", "macro_f1") == pytest.approx(expected)


def test_random_labels_do_as_well_as_their_shares_allow() -> None:
    gold = rows(400)
    shares = [n / 400 for n in Counter(row.labels["urgency"] for row in gold).values()]
    found = baselines(sheet_of(gold), draws=2000)["prior_random"]["urgency"].figures["accuracy"]
    assert found.value == pytest.approx(sum(share**2 for share in shares), abs=0.003)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high  # type: ignore[operator]


def test_words_are_learned_out_of_fold() -> None:
    found = baselines(sheet_of(rows(150, group=3)), draws=50)
    assert value(found, "tfidf_logreg") > 0.95
    assert found["tfidf_logreg"]["urgency"].note == "5 folds of 150 rows"


def test_words_learned_from_labels_dealt_at_random_are_worth_no_more_than_chance() -> None:
    gold = rows(300)
    labels = [row.labels for row in gold]
    random.Random(1).shuffle(labels)
    dealt = [Gold(row.line, row.id, row.data, given) for row, given in zip(gold, labels, strict=True)]
    found = baselines(sheet_of(dealt), draws=50)
    assert value(found, "tfidf_logreg") < value(found, "majority") + 0.05


def test_a_train_split_is_learned_from_and_what_is_asked_is_left_out_of_it() -> None:
    gold = rows(120)
    other = rows(90, seed=9, name="train")
    apart = baselines(sheet_of(gold), [*other, *gold], draws=0)["tfidf_logreg"]["urgency"]
    assert apart.note == "learned from 90 other rows"
    assert baselines(sheet_of(gold), gold, draws=0)["tfidf_logreg"]["urgency"].note == "5 folds of 120 rows"


def test_too_few_rows_to_learn_from_are_a_stated_reason() -> None:
    found = baselines(sheet_of(rows(6)), draws=0)["tfidf_logreg"]["urgency"]
    assert found.figures == {}
    assert "fewer than two labels have 5 rows" in str(found.skipped)


def test_rules_are_there_only_where_the_run_carries_them() -> None:
    gold = rows(40)
    assert "rules" not in baselines(sheet_of(gold), draws=0)
    told = {row.id: {"urgency": row.labels["urgency"]} for row in gold[:30]}
    found = baselines(sheet_of(gold, told), draws=0)
    assert value(found, "rules") == pytest.approx(30 / 40)


def test_the_human_ceiling_is_over_the_rows_that_were_labelled_again() -> None:
    gold = rows(40)
    again = [Annotation(row.id, "ann", {"urgency": row.labels["urgency"]}) for row in gold[:9]]
    unlike = "critical" if gold[9].labels["urgency"] != "critical" else "low"
    again.append(Annotation(gold[9].id, "ann", {"urgency": unlike}))
    found = baselines(sheet_of(gold), draws=0, annotations=[*again, Annotation("stranger", "ann", {"urgency": "low"})])
    assert found["human"]["urgency"].n == 10
    assert value(found, "human") == pytest.approx(0.9)


def test_more_rows_than_it_reads_are_a_sample_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triagedesk.evals.baselines.MOST_ROWS", 80)
    found = baselines(sheet_of(rows(200)), draws=0)
    assert found["tfidf_logreg"]["urgency"].n == 80
    assert found["majority"]["urgency"].n == 200


def test_a_run_leaves_its_baselines_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEDESK_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "datasets" / "small"
    folder.mkdir(parents=True)

    def write(name: str, lines: list[dict[str, Any]]) -> None:
        (folder / name).write_text("".join(json.dumps(each) + "\n" for each in lines), "utf-8")

    for split, seed in (("dev", 0), ("calibration", 5)):
        made = rows(40, seed, name=split)
        write(f"{split}.jsonl", [{"ticket": {"id": row.id, **row.data}, "labels": row.labels} for row in made])
    write("dev.annotations.jsonl", [{"id": "dev0", "by": "ann", "labels": {"urgency": "low"}}])
    config = tmp_path / "rules.toml"
    config.write_text('dataset = "small"\nsystem = "rules"\ndraws = 50\ntrain = ["calibration"]\n')
    setup = prepare(config, Wish(runs=tmp_path / "runs"))
    run_folder = open_folder(setup)
    asyncio.run(conduct(setup, run_folder))
    found = run_folder.read("baselines.json")
    assert set(found) == {"majority", "prior_random", "tfidf_logreg", "rules", "human"}
    assert found["tfidf_logreg"]["urgency"]["note"] == "learned from 40 other rows"
    assert found["human"]["urgency"]["n"] == 1
    assert set(found["rules"]["urgency"]["accuracy"]) == {"value", "low", "high"}
