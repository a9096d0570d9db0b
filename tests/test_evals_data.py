"""`eval data`: wrong lines are named, parts share nothing, agreement is the published one, noise is called noise."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triagedesk.cli import main
from triagedesk.errors import ConfigError
from triagedesk.evals.gold import Gold
from triagedesk.evals.labelled.agree import agreement
from triagedesk.evals.labelled.annotations import Annotation, read_annotations
from triagedesk.evals.labelled.check import check_set
from triagedesk.evals.labelled.dedup import clusters, near_duplicates
from triagedesk.evals.labelled.noise import judged, noise
from triagedesk.evals.labelled.split import shares_of, split_rows, write_split
from triagedesk.evals.metrics.agreement import krippendorff_alpha
from triagedesk.evals.metrics.scale import NO_ANSWER, Scale
from triagedesk.playbook import load_playbook

PLAYBOOK = load_playbook()
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "ivory", "jetty", "knoll", "larch")
SAID = {
    "critical": "smoke comes out of the charger and it burns", "high": "i was charged twice and want my money back",
    "medium": "the parcel is late and the box was dented", "low": "how do i export the invoice as a file",
}  # fmt: skip


def line(identity: str, body: str = "The lamp flickers.", **more: Any) -> dict[str, Any]:
    labels = more.pop("labels", {"urgency": "low", "issue_type": "technical", "escalation": "none"})
    return {"ticket": {"id": identity, "body": body}, "labels": labels, **more}


def written(path: Path, lines: Iterable[Mapping[str, Any] | str]) -> Path:
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines), "utf-8")
    return path


def telling(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows whose words tell the urgency, among words that tell nothing."""
    rng = random.Random(seed)
    lines = []
    for i in range(n):
        urgency = rng.choice(list(SAID))
        body = f"{SAID[urgency]} {' '.join(rng.choices(WORDS, k=8))} {i}"
        lines.append(line(f"t{i}", body, labels={"urgency": urgency}))
    return lines


def gold(lines: Iterable[Mapping[str, Any]]) -> list[Gold]:
    return [
        Gold(n, each["ticket"]["id"], each["ticket"], each["labels"], group=each.get("group"))
        for n, each in enumerate(lines, 1)
    ]


def told(path: Path) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for problem in check_set(path, PLAYBOOK).problems:
        found.setdefault(problem.line, []).append(problem.text)
    return found


# --- check ------------------------------------------------------------------------------------------------------------


def test_every_wrong_line_is_named_with_what_is_wrong_and_never_with_the_text(tmp_path: Path) -> None:
    secret = "my pin is 4711"
    path = written(tmp_path / "gold.jsonl", [
        line("a"),
        line("a"),
        line("b", labels={"urgency": "huge"}),
        "{not json",
        line("c", secret, quotes={"urgency": "words that nobody wrote"}),
        line("d", quotes={"urgency": "@due_at"}),
        line("e", labels={"urgency": "critical", "issue_type": "safety", "escalation": "none"}),
        line("f", "  "),
        line("g", note_to_self="x"),
        line("h", quotes={"sentiment": "lamp"}),
        line("i", quotes={"urgency": "The  lamp\nflickers", "issue_type": "flickers."}),
    ])  # fmt: skip
    found = told(path)
    assert sorted(found) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert "stands in line 1" in found[2][0]
    assert "'huge'" in found[3][0]
    assert "not JSON" in found[4][0]
    assert found[5] == ["quotes.urgency: does not stand in the ticket"]
    assert found[6] == ["quotes.urgency: the ticket has no @due_at"]
    assert "never together" in found[7][0]
    assert "body is empty" in found[8][0]
    assert "note_to_self" in found[9][0]
    assert "quotes.sentiment" in found[10][0]
    assert secret not in repr(found)


def test_a_field_that_decides_may_be_quoted_by_name(tmp_path: Path) -> None:
    row = line("a", quotes={"urgency": "@due_at", "issue_type": "@fields.plan", "escalation": "@plan"})
    row["ticket"] |= {"due_at": "2026-10-01T09:00:00Z", "fields": {"plan": "gold"}}
    assert told(written(tmp_path / "gold.jsonl", [row])) == {}


def test_check_says_what_the_set_holds(tmp_path: Path) -> None:
    rows = [line(f"r{i}", group="g" if i < 2 else None, traits=["plain"]) for i in range(4)]
    holds = check_set(written(tmp_path / "gold.jsonl", rows), PLAYBOOK).as_json()["holds"]
    assert holds["n"] == 4
    assert holds["labels"]["urgency"]["low"] == {"n": 4, "share": 1.0}
    assert holds["slices"]["trait"] == {"plain": 4}
    assert holds["groups"] == {"n": 1, "largest": 2}
    assert holds["rare_labels"]["urgency"] == {"critical": 0, "high": 0, "medium": 0, "low": 4}


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        pytest.param([line("a")], 0, id="a right set"),
        pytest.param([line("a"), "[]"], 1, id="a wrong line"),
        pytest.param([], 2, id="no row at all"),
    ],
)
def test_check_ends_with_the_code_that_says_so(
    lines: list[Any], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "data", "check", "--json", str(written(tmp_path / "gold.jsonl", lines))]) == code
    if code < 2:
        assert json.loads(capsys.readouterr().out)["files"][0]["lines"] == len(lines)


def test_check_of_a_missing_file_cannot_be_done(tmp_path: Path) -> None:
    assert main(["eval", "data", "check", str(tmp_path / "none.jsonl")]) == 2


# --- dedup ------------------------------------------------------------------------------------------------------------


def test_a_duplicate_planted_across_two_sets_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = telling(40)
    copy = line("planted", rows[7]["ticket"]["body"].upper() + " !", labels={"urgency": "low"})
    dev = written(tmp_path / "dev.jsonl", rows)
    test = written(tmp_path / "test.jsonl", [*telling(5, seed=3), copy])
    assert main(["eval", "data", "dedup", "--json", "--threshold", ".97", str(dev), str(test)]) == 1
    out = capsys.readouterr().out
    assert [pair["ids"] for pair in json.loads(out)["across"]] == [["t7", "planted"]]
    assert "charger" not in out


def test_sets_without_a_near_duplicate_between_them_pass(tmp_path: Path) -> None:
    one = written(tmp_path / "one.jsonl", [line("a", "The lamp flickers."), line("b", "The lamp flickers.")])
    two = written(tmp_path / "two.jsonl", [line("c", "Where is my invoice of May?")])
    assert main(["eval", "data", "dedup", str(one), str(two)]) == 0


def test_pairs_are_those_that_nearest_neighbours_finds() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import NearestNeighbors

    texts = [each["ticket"]["body"] for each in telling(600)]
    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit_transform(texts)
    near = NearestNeighbors(radius=0.3, metric="cosine").fit(features).radius_neighbors(features)[1]
    expected = {(i, int(j)) for i, row in enumerate(near) for j in row if i < j}
    assert {(pair.first, pair.second) for pair in near_duplicates(texts, 0.7)} == expected


def test_the_same_text_reaches_a_threshold_of_one() -> None:
    found = near_duplicates(["the lamp flickers at night", "x", "the lamp  flickers at night"], 1.0)
    assert [pair[:2] for pair in found] == [(0, 2)]


def test_a_chain_of_pairs_is_one_cluster() -> None:
    found = clusters(4, near_duplicates(["aaaa bbbb cccc", "zzzz", "aaaa bbbb cccc", "aaaa bbbb cccc"], 0.9))
    assert found[0] == found[2] == found[3] != found[1]


# --- split ------------------------------------------------------------------------------------------------------------


def test_a_split_parts_no_group_and_no_near_duplicates_and_keeps_the_shares() -> None:
    lines = telling(300)
    for i, each in enumerate(lines[:90]):
        each["group"] = f"customer {i // 3}"
    lines += [line(f"copy{i}", lines[i]["ticket"]["body"] + " ?", labels=lines[i]["labels"]) for i in range(100, 110)]
    rows = gold(lines)
    shares = shares_of("dev=.3,calibration=.3,test=.4")
    split = split_rows(rows, shares, seed=4, threshold=0.95)
    by_group: dict[str, set[int]] = {}
    for row, part in zip(rows, split.parts, strict=True):
        if row.group:
            by_group.setdefault(row.group, set()).add(int(part))
    assert all(len(parts) == 1 for parts in by_group.values())
    assert len(split.pairs) >= 10
    assert split.across == 0
    assert all(abs(len(split.rows(name)) - share * 310) < 4 for name, share in shares.items())
    for label in SAID:
        held = [sum(rows[i].labels["urgency"] == label for i in split.rows(name)) for name in split.names]
        assert np.allclose(np.asarray(held) / sum(held), [0.3, 0.3, 0.4], atol=0.06)


def test_the_files_of_a_split_hold_every_line_once_and_the_manifest_proves_it(tmp_path: Path) -> None:
    source = written(tmp_path / "all.jsonl", telling(60))
    manifest = write_split(source, tmp_path / "out", PLAYBOOK, {"dev": 0.5, "test": 0.5}, seed=1)
    lines = [each for part in ("dev", "test") for each in (tmp_path / "out" / f"{part}.jsonl").read_text().splitlines()]
    assert sorted(map(json.loads, lines), key=lambda each: str(each["ticket"]["id"])) == sorted(
        telling(60), key=lambda each: str(each["ticket"]["id"])
    )
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    assert manifest["near_duplicates"]["across"] == 0
    assert manifest["parts"]["dev"]["rows"] + manifest["parts"]["test"]["rows"] == 60
    again = write_split(source, tmp_path / "again", PLAYBOOK, {"dev": 0.5, "test": 0.5}, seed=1)
    assert again["parts"] == manifest["parts"]


def test_a_split_overwrites_nothing(tmp_path: Path) -> None:
    source = written(tmp_path / "all.jsonl", telling(20))
    (tmp_path / "test.jsonl").write_text("mine")
    assert main(["eval", "data", "split", str(source), "-o", str(tmp_path)]) == 2
    assert (tmp_path / "test.jsonl").read_text() == "mine"
    assert not (tmp_path / "dev.jsonl").exists()


@pytest.mark.parametrize("text", ["dev", "dev=.5", "dev=.5,dev=.5", "dev=0,test=1", "../up=.5,test=.5", "a=x,b=.5"])
def test_shares_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--parts"):
        shares_of(text)


def test_a_part_that_would_be_empty_is_refused() -> None:
    rows = gold([line(f"r{i}", group="one", labels={"urgency": "low"}) for i in range(9)])
    with pytest.raises(ConfigError, match="would hold no row"):
        split_rows(rows, {"dev": 0.5, "test": 0.5})


# --- agree ------------------------------------------------------------------------------------------------------------

_ = NO_ANSWER
KRIPPENDORFF_2011 = np.asarray([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
])  # fmt: skip


def test_alpha_is_that_of_krippendorffs_worked_example() -> None:
    codes = np.where(KRIPPENDORFF_2011 == NO_ANSWER, NO_ANSWER, KRIPPENDORFF_2011 - 1)
    scale = Scale(("1", "2", "3", "4", "5"), ordinal=True)
    assert krippendorff_alpha(codes, scale, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(codes, scale, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_agreement_of_two_is_what_scikit_learn_says_and_lists_who_said_what() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = random.Random(2)
    names = ["low", "medium", "high", "critical"]
    first = [rng.choice(names) for _ in range(80)]
    second = [rng.choice(names) if rng.random() < 0.3 else each for each in first]
    rows = gold(line(f"r{i}", labels={"urgency": each}) for i, each in enumerate(first))
    others = [Annotation(f"r{i}", "ann", {"urgency": each}) for i, each in enumerate(second)]
    others.append(Annotation("stranger", "ann", {"urgency": "low"}))
    found = agreement(rows, others, PLAYBOOK, draws=200)["urgency"]
    for name, weights in (("cohen_kappa", None), ("linear_kappa", "linear"), ("quadratic_kappa", "quadratic")):
        expected = cohen_kappa_score(first, second, labels=names, weights=weights)
        assert found.figures[name].value == pytest.approx(expected)
        low, high = found.figures[name].low, found.figures[name].high
        assert low is not None
        assert high is not None
        assert low < expected < high
    unlike = [i for i in range(80) if first[i] != second[i]]
    assert found.figures["raw_agreement"].value == pytest.approx(1 - len(unlike) / 80)
    assert [each.id for each in found.disagreements] == [f"r{i}" for i in unlike]
    assert found.disagreements[0].labels == {"gold": first[unlike[0]], "ann": second[unlike[0]]}


def test_three_annotators_get_alpha_and_no_cohen() -> None:
    rows = gold(line(f"r{i}", labels={"urgency": label}) for i, label in enumerate(["low", "high", "low", "medium"]))
    others = [Annotation(f"r{i}", by, {"urgency": "low"}) for by in ("ann", "bob") for i in range(3)]
    found = agreement(rows, others, PLAYBOOK, draws=50)["urgency"]
    assert found.n == 3
    assert found.annotators == ("gold", "ann", "bob")
    assert set(found.figures) == {"raw_agreement", "krippendorff_alpha"}
    assert found.figures["raw_agreement"].value == pytest.approx((1 + 1 / 3 + 1) / 3)


def test_annotations_that_fit_no_row_measure_nothing(tmp_path: Path) -> None:
    source = written(tmp_path / "gold.jsonl", [line("a")])
    other = written(tmp_path / "other.jsonl", [{"id": "z", "by": "ann", "labels": {"urgency": "low"}}])
    assert main(["eval", "data", "agree", str(source), str(other)]) == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param({"id": "a", "by": "ann", "labels": {"urgency": "huge"}}, "line 2.*'huge'", id="unknown label"),
        pytest.param({"id": "a", "by": "ann", "labels": {"mood": "sad"}}, "line 2.*'mood'", id="unknown dimension"),
        pytest.param({"by": "ann", "labels": {}}, "line 2", id="no id"),
        pytest.param({"id": "x", "by": "ann", "labels": {"urgency": "low"}}, "line 2.*already", id="said twice"),
    ],
)
def test_a_wrong_annotation_is_named_by_its_line(value: Any, said: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"id": "x", "by": "ann", "labels": {"urgency": "low"}}, value])
    with pytest.raises(ConfigError, match=said):
        read_annotations(path, PLAYBOOK)


# --- noise ------------------------------------------------------------------------------------------------------------


def test_labels_dealt_at_random_are_named_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = telling(200)
    labels = [each["labels"] for each in rows]
    random.Random(5).shuffle(labels)
    path = written(tmp_path / "random.jsonl", [each | {"labels": one} for each, one in zip(rows, labels, strict=True)])
    assert main(["eval", "data", "noise", str(path)]) == 1
    assert "cannot be told from random ones" in capsys.readouterr().out


def test_a_label_that_was_changed_is_the_first_suspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = telling(160)
    wrong = next(each for each in rows if each["labels"]["urgency"] == "critical")
    wrong["labels"] = {"urgency": "low"}
    assert main(["eval", "data", "noise", "--json", str(written(tmp_path / "gold.jsonl", rows))]) == 0
    found = json.loads(capsys.readouterr().out)["dimensions"]["urgency"]
    assert found["verdict"] == "learnable"
    suspect = found["suspects"][0]
    assert (suspect["id"], suspect["given"], suspect["likely"]) == (wrong["ticket"]["id"], "low", "critical")


def test_suspects_stand_in_the_order_of_cleanlab() -> None:
    rng = np.random.default_rng(1)
    scale = Scale(("a", "b", "c"))
    chances = rng.dirichlet([1, 1, 1], size=60)
    codes = rng.integers(0, 3, 60)
    own = chances[np.arange(60), codes]  # cleanlab.rank.get_self_confidence_for_each_label
    expected = [f"r{i}" for i in np.argsort(own, kind="stable") if chances[i].argmax() != codes[i]][:10]
    found = judged(gold(line(f"r{i}") for i in range(60)), codes, chances, scale, top=10, seed=0)
    assert [suspect.id for suspect in found.suspects] == expected


def test_too_few_rows_are_no_verdict(tmp_path: Path) -> None:
    assert noise(gold(telling(30)), PLAYBOOK)["urgency"].verdict == "too_few"
    assert main(["eval", "data", "noise", str(written(tmp_path / "gold.jsonl", telling(30)))]) == 2
