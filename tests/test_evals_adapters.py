"""Other people's layouts: CSV columns, and public sets with a playbook each, read where they are there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from triagedesk.cli import main
from triagedesk.errors import ConfigError
from triagedesk.evals.adapters import PUBLIC, csv_lines, public_set, slug
from triagedesk.evals.config import load_config
from triagedesk.evals.datasets import load_dataset
from triagedesk.evals.gold import checked
from triagedesk.evals.sets import read_gold, values_of
from triagedesk.playbook import load_playbook

HERE = Path(__file__).resolve().parent.parent
CONFIGS = HERE / "evals" / "configs"
DATA = Path(os.environ.get("TRIAGEDESK_EVAL_DATA") or HERE.parent / "shared" / "data")
SETS = {"banking77": (10_003, 77), "dstc11": (913, 22), "hint3": (1_398, 103), "facility": (100, 10)}


def test_a_label_becomes_a_name_that_a_playbook_may_hold() -> None:
    assert slug("reverted_card_payment?") == "reverted_card_payment"
    assert slug("Refund not  showing-up") == "refund_not_showing_up"
    assert slug("100_NIGHT_TRIAL_OFFER") == "l_100_night_trial_offer"


def test_csv_columns_are_taken_by_map_or_by_name(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("Text;Prio\nThe lamp flickers;low\n", "utf-8")
    found = list(csv_lines(path, {"body": "Text", "labels.urgency": "Prio"}))
    assert found == [(2, {"ticket": {"body": "The lamp flickers"}, "labels": {"urgency": "low"}, "group": None})]
    path.write_text("id,body,labels.urgency,group\na,The lamp flickers,low,g\n", "utf-8")
    rows = read_gold(path, load_playbook())
    assert (rows[0].id, rows[0].labels, rows[0].group) == ("a", {"urgency": "low"}, "g")
    with pytest.raises(ConfigError, match="has no column 'Words'"):
        list(csv_lines(path, {"body": "Words", "labels.urgency": "labels.urgency"}))


def test_a_line_of_another_layout_is_named_and_not_a_crash(tmp_path: Path) -> None:
    folder = tmp_path / "facility_support"
    folder.mkdir()
    path = folder / "dev.jsonl"
    mail = {"id": "f", "body": "Subject: Hello\n\nGood day", "labels": {"urgency": "high", "categories": ["a_b", "c"]}}
    path.write_text(f'{json.dumps(mail)}\n{{"labels": 3}}\n', "utf-8")
    first, second = values_of(path)
    assert first[1]["ticket"]["subject"] == "Hello"
    assert first[1]["labels"] == {"urgency": "high"}  # two categories are no single issue
    assert isinstance(second[1], ValueError)


def test_gold_is_read_alike_whatever_its_layout(tmp_path: Path) -> None:
    ticket, labels = {"id": "f", "subject": "Hello", "body": "Good day"}, {"urgency": "high"}
    ours, table, theirs = tmp_path / "a.jsonl", tmp_path / "a.csv", tmp_path / "facility_support" / "dev.jsonl"
    theirs.parent.mkdir()
    ours.write_text(json.dumps({"ticket": ticket, "labels": labels}), "utf-8")
    table.write_text("id,subject,body,labels.urgency\nf,Hello,Good day,high\n", "utf-8")
    mail = {"id": "f", "body": "Subject: Hello\n\nGood day", "labels": {**labels, "categories": ["a_b", "c"]}}
    theirs.write_text(json.dumps(mail), "utf-8")
    rows = [row for path in (ours, table, theirs) for row in read_gold(path, load_playbook())]
    assert {(row.id, row.text, row.labels["urgency"]) for row in rows} == {("f", "Hello\nGood day", "high")}
    assert len(rows) == 3


def test_a_public_set_is_known_by_its_file() -> None:
    assert public_set(Path("/any/where/banking77/train.jsonl")) is PUBLIC["banking77"]
    assert public_set(Path("/any/where/train.jsonl")) is None


def test_a_public_set_by_name_needs_to_be_told_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAGEDESK_EVAL_DATA", raising=False)
    monkeypatch.chdir(HERE / "tests")
    with pytest.raises(ConfigError, match="TRIAGEDESK_EVAL_DATA"):
        read_gold(Path("banking77"), load_playbook())


@pytest.mark.parametrize("name", SETS)
def test_the_playbook_of_each_public_set_is_sound(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config(CONFIGS / f"{name}.toml")
    assert main(["playbook", "check", str(config.playbook)]) == 0
    labels = load_playbook(config.playbook).dimensions["issue_type"].names
    assert len([label for label in labels if label != "other"]) == SETS[name][1]


@pytest.mark.parametrize("name", SETS)
def test_every_line_of_a_public_set_fits_its_playbook(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(CONFIGS / f"{name}.toml")
    file = DATA / PUBLIC[config.dataset].file
    if not file.is_file():
        pytest.skip(f"public set not here: {file} (set TRIAGEDESK_EVAL_DATA)")
    monkeypatch.setenv("TRIAGEDESK_EVAL_DATA", str(DATA))
    playbook = load_playbook(config.playbook)
    dataset = load_dataset(config, playbook, CONFIGS.parent)
    assert len(dataset.rows) == SETS[name][0]
    used = {row.labels["issue_type"] for row in dataset.rows if "issue_type" in row.labels}
    assert used <= set(playbook.dimensions["issue_type"].names)
    if name != "facility":
        raw = {value["labels"]["issue_type"] for _, value in values_of(file)}
        assert len(raw) == SETS[name][1], "two labels of the set became one name"
    assert not [problem for _, problem in checked(values_of(file), playbook) if problem]
