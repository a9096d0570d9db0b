"""Training: what is learned from whom, how far it is trusted, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trained_parts import NAME, playbook, write_gold
from triagedesk.classifiers.ngrams import features
from triagedesk.classifiers.trained import load_trained
from triagedesk.classifiers.trained_file import TrainedFile, read_trained, to_bytes
from triagedesk.cli import main
from triagedesk.errors import ConfigError
from triagedesk.evals.datasets import file_hash
from triagedesk.evals.metrics.scale import Scale
from triagedesk.training import Recipe, train
from triagedesk.training.examples import Examples, read_examples
from triagedesk.training.fit import fit
from triagedesk.training.heads import Evidence, fit_head, nested, tell
from triagedesk.training.words import known_features

DATA = Path(__file__).parent.parent / "evals" / "datasets" / "support"
SHIPPED = Path(playbook().where).with_suffix(".trained.safetensors")
SMALL = Recipe(name="small", most=3000, passes=10)
THREE = Scale(("a", "b", "c"))


def evidence(words: float, votes: float, *, rows: int = 600, seed: int = 0, trust: float = 1.0) -> Evidence:
    """Make rows whose gold is drawn from the softmax of `words` and `votes` times two independent signals.

    What is handed on is the first signal times `trust`: an over-sure classifier has more than 1.
    """
    draw = np.random.default_rng(seed)
    first, second = draw.normal(size=(rows, 3)), draw.normal(size=(rows, 3))
    scores = words * first + votes * second
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    gold = np.array([draw.choice(3, p=row) for row in chances], dtype=np.int64)
    return Evidence(first * trust, second, second.argmax(1), gold, np.arange(rows))


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Eighty made-up tickets, read once."""
    return read_examples([], [write_gold(tmp_path_factory.mktemp("gold") / "gold.jsonl", 80)], playbook())


def test_a_head_finds_how_far_words_and_votes_can_be_trusted() -> None:
    head = fit_head(THREE.labels, evidence(2.0, 0.5, rows=4000), THREE)
    assert head.words == pytest.approx(2.0, abs=0.25)
    assert head.rules == pytest.approx(0.5, abs=0.15)


def test_what_an_over_sure_classifier_says_is_brought_down_to_how_often_it_is_right() -> None:
    rows = evidence(1.0, 0.0, rows=2000, trust=6.0)
    told = nested(THREE.labels, rows, THREE, seed=0)
    confidence = told.chances[np.arange(len(rows)), told.said]
    assert confidence.mean() == pytest.approx((told.said == rows.gold).mean(), abs=0.04)


def test_rules_that_know_nothing_are_not_listened_to() -> None:
    assert fit_head(THREE.labels, evidence(2.0, 0.0, rows=4000), THREE).rules < 0.12


def test_the_rules_label_stands_where_words_are_at_a_loss_and_rules_are_not() -> None:
    rows = evidence(0.0, 0.0, rows=900)
    knowing = Evidence(rows.words, np.zeros_like(rows.votes), rows.gold, rows.gold, rows.groups)
    head = fit_head(THREE.labels, knowing, THREE)
    assert head.defer_below >= 0.4
    assert (tell(head, knowing).said == rows.gold).mean() > 0.9


def test_the_first_label_is_leant_towards_only_where_missing_it_costs_more() -> None:
    rows = evidence(1.0, 0.0, rows=1500)
    dear = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (9.0, 9.0, 0.0))
    even = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))
    leaning = [fit_head(("c", "b", "a"), rows, Scale(THREE.labels, ordinal=True, cost=cost)) for cost in (dear, even)]
    assert leaning[0].eager > 0.8
    assert leaning[1].eager < 0.4
    found = [int((tell(head, rows).said[rows.gold == 0] == 0).sum()) for head in leaning]
    assert found[0] > found[1]


def test_confidence_is_fitted_on_tickets_that_the_rules_authors_have_not_read(tmp_path: Path) -> None:
    """The rules know the first file by heart: only the second may say how far they are trusted."""
    known, fresh = write_gold(tmp_path / "known.jsonl", 60), write_gold(tmp_path / "fresh.jsonl", 60, seed=1)
    examples = read_examples([known], [fresh], playbook())
    assert {row.gold.id.split("-")[1] for row in examples.rows if row.honest} == {"1"}
    file = train([known], [fresh], playbook(), SMALL)
    assert {head.rows for head in file.manifest.heads.values()} == {60}
    assert {each.name: each.role for each in file.manifest.trained_on} == {
        "fresh.jsonl": "words and confidence", "known.jsonl": "words",
    }  # fmt: skip


def test_a_word_of_too_few_tickets_is_not_kept_even_as_a_hash(examples: Examples) -> None:
    kept = known_features(examples.rows, at_least=3, most=100_000)
    name, common = features(NAME).ids[0], features("courier").ids[0]
    assert name in np.concatenate([row.text.ids for row in examples.rows])
    assert name not in kept.ids
    assert common in kept.ids


def test_the_same_tickets_make_the_same_file_byte_for_byte(examples: Examples) -> None:
    one, two = (to_bytes(fit(examples, playbook(), SMALL)) for _ in range(2))
    assert one == two
    assert to_bytes(fit(examples, playbook(), replace(SMALL, seed=1))) != one


def test_a_file_keeps_all_that_was_trained(examples: Examples, tmp_path: Path) -> None:
    file = fit(examples, playbook(), SMALL)
    (tmp_path / "m.safetensors").write_bytes(to_bytes(file))
    read = read_trained(tmp_path / "m.safetensors")
    assert read.manifest == file.manifest
    assert read.identity == file.identity
    assert all(np.array_equal(read.tensors[name], tensor) for name, tensor in file.tensors.items())


def test_too_few_tickets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 50 labelled tickets"):
        train([write_gold(tmp_path / "gold.jsonl", 40)], [], playbook(), SMALL)


def test_a_sealed_test_split_is_refused(tmp_path: Path) -> None:
    sealed = write_gold(tmp_path / "test.jsonl", 60)
    (tmp_path / "openings.jsonl").touch()
    with pytest.raises(ConfigError, match="sealed test split"):
        train([sealed], [], playbook(), SMALL)


def test_the_command_writes_a_file_and_tells_its_worth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, model = write_gold(tmp_path / "gold.jsonl", 60), tmp_path / "model.safetensors"
    assert main(["train", str(gold), "-o", str(model), "--features", "2000", "--name", "ours"]) == 0
    shown = capsys.readouterr().out
    assert "macro f1" in shown
    read = read_trained(model)
    assert read.identity in shown
    assert read.identity.startswith("ours@")
    assert [each.model_dump() for each in read.manifest.trained_on] == [
        {"name": "gold.jsonl", "sha256": file_hash(gold), "rows": 60, "role": "words and confidence"}
    ]
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


@pytest.mark.parametrize(
    ("gold", "target", "said"),
    [
        pytest.param("absent.jsonl", "m.safetensors", "cannot be read", id="no-such-gold"),
        pytest.param("broken.jsonl", "m.safetensors", "line 1", id="a-wrong-line"),
        pytest.param("gold.jsonl", "nowhere/m.safetensors", "folder does not exist", id="no-such-folder"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gold: str, target: str, said: str
) -> None:
    write_gold(tmp_path / "gold.jsonl", 2)
    secret = "my order number is 4711"
    (tmp_path / "broken.jsonl").write_text(json.dumps({"ticket": {"body": secret}, "labels": {"urgency": "dire"}}))
    assert main(["train", str(tmp_path / gold), "-o", str(tmp_path / target)]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert secret not in shown.err + shown.out


def test_a_name_that_cannot_stand_in_an_identity_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, model = write_gold(tmp_path / "gold.jsonl", 2), tmp_path / "model.safetensors"
    assert main(["train", str(gold), "-o", str(model), "--name", "our @ desk"]) == 2
    assert "--name: give up to 60 letters" in capsys.readouterr().err
    assert not model.exists()


def shipped() -> TrainedFile:
    """Return the classifier that ships."""
    return read_trained(SHIPPED)


def test_the_shipped_classifier_is_small_and_of_these_very_tickets() -> None:
    """Whoever changes a gold file, or the labels, runs `make train`."""
    manifest = shipped().manifest
    assert SHIPPED.stat().st_size < 1_000_000
    splits = {f"{name}.jsonl" for name in ("dev", "hard", "long", "extra", "calibration")}
    assert {each.name: each.sha256 for each in manifest.trained_on} == {
        name: file_hash(DATA / name) for name in splits
    }  # fmt: skip
    assert {each.name for each in manifest.trained_on if each.role != "words"} == {"calibration.jsonl"}
    assert tuple(manifest.heads) == ("escalation", "issue_type", "urgency")
    assert load_trained(SHIPPED, playbook()).identity.startswith("default@")


def test_the_shipped_classifier_is_worth_more_than_the_rules_where_neither_had_seen_the_tickets() -> None:
    heads = shipped().manifest.heads
    for name, head in heads.items():
        assert head.measured["macro_f1"] > head.measured["rules_macro_f1"] + 0.05, name
        assert head.measured["ece"] < 0.1, name
    urgency = heads["urgency"].measured
    assert urgency["critical_recall"] >= 0.9
    assert urgency["critical_false_alarm"] <= 0.12
