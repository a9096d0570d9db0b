"""The report: what it says, what it never lets through, and what it may weigh."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evals_report_parts import HOSTILE, ISSUES, URGENCIES, gold_line, gold_rows, mixed_run, run_line, run_of
from triagedesk.errors import ConfigError
from triagedesk.evals.journal import Journal
from triagedesk.evals.predictions import Prediction
from triagedesk.evals.report import errors as error_browser
from triagedesk.evals.report import markdown_summary, write_report
from triagedesk.evals.report.beside import contenders, is_like_chance
from triagedesk.evals.report.errors import errors_of, pieces
from triagedesk.evals.report.page import page
from triagedesk.evals.report.verdict import verdict_of
from triagedesk.evals.report.words import percent, visible
from triagedesk.evals.run import Run
from triagedesk.evals.sheet import make_sheet
from triagedesk.playbook import load_playbook


class Outline(HTMLParser):
    """Tags with their attributes, and scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a mixed run whose tickets, reasons, model and title are hostile."""
    return page(mixed_run(tmp_path_factory.mktemp("mixed")), title=HOSTILE)


def perfect_run(folder: Path, n: int = 400) -> Run:
    gold = [gold_line(i) for i in range(n)]
    return run_of(folder, gold, [run_line(i, URGENCIES[i % 4], ISSUES[i % 3]) for i in range(n)])


def shuffled_run(folder: Path, n: int = 400) -> Run:
    gold = [gold_line(i) for i in range(n)]
    return run_of(folder, gold, [run_line(i, URGENCIES[(i * 7 + i // 4) % 4], ISSUES[(i // 3) % 3]) for i in range(n)])


def test_hostile_words_of_ticket_reason_model_and_label_come_out_as_text(html: str) -> None:
    outline = Outline(html)
    assert len(outline.named("script")) == 1
    assert not outline.named("img")
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert "{{ 7*7 }}" in html
    assert not set("\u202e\u202c\x07") & set(html)
    assert "⟦202E⟧evil" in html


def test_the_page_asks_for_nothing_and_its_policy_forbids_to(html: str) -> None:
    outline = Outline(html)
    policy = next(str(meta["content"]) for meta in outline.named("meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for tag, attributes in outline.tags:
        assert tag not in ("iframe", "object", "embed", "base")
        assert "style" not in attributes, tag
        for name in ("src", "href", "xlink:href"):
            assert str(attributes.get(name, "#")).startswith(("#", "data:,")), (tag, attributes)


def test_every_id_of_the_page_stands_once(html: str) -> None:
    ids = [attributes["id"] for _, attributes in Outline(html).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    run = perfect_run(tmp_path, 24)
    assert page(run, title="run") == page(run, title="run")


def test_charts_take_their_colours_from_the_page(html: str) -> None:
    charts = re.findall(r"<svg[^>]*class=\"chart\".*?</svg>", html, re.DOTALL)
    assert len(charts) == 6
    for chart in charts:
        assert "var(--accent)" in chart
        assert "#0a0a0" not in chart
        assert 'role="img"' in chart
        assert "<text" in chart


def test_labels_drawn_by_chance_are_called_so_first(tmp_path: Path) -> None:
    run = shuffled_run(tmp_path)
    verdict = verdict_of(run, {})
    assert verdict.mood == "bad"
    assert verdict.headline.startswith("No better than chance at Urgency")
    assert any("look like chance" in line for line in verdict.warnings)


def test_a_perfect_system_is_called_good_and_has_no_wrong_ticket(tmp_path: Path) -> None:
    run = perfect_run(tmp_path)
    assert verdict_of(run, {}).mood == "good"
    assert not is_like_chance(run.metrics.dimensions["urgency"])
    assert "every label is the gold one" in page(run, title="run")


def test_nothing_answered_is_no_verdict_on_the_system(tmp_path: Path) -> None:
    gold = gold_rows(tmp_path, [gold_line(i) for i in range(8)])
    run = Run(make_sheet(gold, [Prediction("t-0", error="ModelUnavailable")], load_playbook(None)), 50)
    assert verdict_of(run, {}).headline.startswith("Nothing was answered")
    assert "8 of 8 tickets were not answered" in page(run, title="run")


def test_few_tickets_are_not_enough_to_be_called_good(tmp_path: Path) -> None:
    verdict = verdict_of(perfect_run(tmp_path, 24), {})
    assert verdict.mood == "mixed"
    assert any(line.startswith("Only 24 tickets") for line in verdict.warnings)


def test_openings_of_the_sealed_split_are_told(tmp_path: Path) -> None:
    html = page(perfect_run(tmp_path), title="run", manifest={"dataset": {"name": "s", "split": "test", "openings": 3}})
    assert "The sealed test split was opened 3 times so far, this run included" in html


def test_confidence_that_is_off_is_warned_of_and_noise_is_called_noise(tmp_path: Path) -> None:
    gold = [gold_line(i) for i in range(400)]
    right = [run_line(i, URGENCIES[i % 4], ISSUES[i % 3], confidence=0.6) for i in range(400)]
    assert any(
        "Calibrate before a threshold" in line for line in verdict_of(run_of(tmp_path, gold, right), {}).warnings
    )
    true = [run_line(i, URGENCIES[i % 4] if i % 10 else "low", ISSUES[i % 3], confidence=0.93) for i in range(400)]
    told = verdict_of(run_of(tmp_path, gold, true), {}).warnings
    assert any(line.startswith("Urgency: the calibration error") and "lies within its noise" in line for line in told)


def test_baselines_stand_beside_the_system_human_ceiling_first(tmp_path: Path) -> None:
    figure = {"value": 0.5, "low": 0.4, "high": 0.6}
    given = {
        name: {"urgency": {"accuracy": figure, "macro_f1": figure}} for name in ("majority", "rules", "tfidf", "human")
    }
    names = [one.name for one in contenders(perfect_run(tmp_path), "urgency", given)]
    assert names == [
        "this system",
        "human ceiling",
        "TF-IDF + logistic regression",
        "keyword rules",
        "most frequent label",
    ]


def test_without_baselines_the_majority_is_worked_out(tmp_path: Path) -> None:
    ours, majority = contenders(perfect_run(tmp_path), "urgency", None)
    assert ours.ours
    assert majority.figures["accuracy"].value == pytest.approx(0.25)
    assert majority.figures["macro_f1"].value == pytest.approx(0.1)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"rules": None}, id="nothing"),
        pytest.param({"rules": {"urgency": 3}}, id="a-number"),
        pytest.param({"rules": {"urgency": {"accuracy": "?"}}}, id="no-figure"),
    ],
)
def test_baselines_of_another_shape_are_left_out(tmp_path: Path, given: dict[str, object]) -> None:
    assert [one.key for one in contenders(perfect_run(tmp_path, 24), "urgency", given)] == ["this", "majority"]


def test_the_dearest_mistake_comes_first(tmp_path: Path) -> None:
    gold = [gold_line(i) for i in range(4)]
    said = [run_line(0, "critical", ISSUES[0]), run_line(1, "low", ISSUES[1]), run_line(2, "low", ISSUES[2]),
            run_line(3, "low", ISSUES[0])]  # fmt: skip
    assert [case.id for case in errors_of(run_of(tmp_path, gold, said)).cases] == ["t-3", "t-2", "t-1", "t-0"]


def test_a_case_shows_gold_prediction_rules_and_the_reason_with_its_quote_marked(tmp_path: Path) -> None:
    case = next(case for case in errors_of(mixed_run(tmp_path)).cases if case.id == "t-5")
    urgency = case.verdicts[0]
    assert (urgency.gold, urgency.said, urgency.rules, urgency.wrong) == ("medium", "high", "low", True)
    assert case.reasons[0].text == "Because of urgency."
    assert [(piece.text, piece.mark) for piece in case.body] == [
        ("My router", "said"), (" ", ""), ("has stopped working", "gold"), (".", ""),
    ]  # fmt: skip


def test_cases_carry_the_cells_of_the_matrix_that_link_to_them(html: str) -> None:
    outline = Outline(html)
    cells = {each for article in outline.named("article") for each in str(article["data-cells"]).split()}
    links = {str(link["data-cell"]) for link in outline.named("a") if "data-cell" in link}
    assert links == cells
    assert "0:1:2" in links


def test_reasons_are_read_from_lines_as_the_journal_writes_them_a_torn_last_one_left_out(tmp_path: Path) -> None:
    gold = [gold_line(i) for i in range(3)]
    said = [run_line(i, URGENCIES[(i + 1) % 4], ISSUES[i]) for i in range(3)]
    run = run_of(tmp_path, gold, said)
    with Journal(tmp_path / "journal.jsonl") as journal:
        for line in said[:2]:
            journal.append(line)
    written = (tmp_path / "journal.jsonl").read_bytes()
    (tmp_path / "predictions.jsonl").write_bytes(written + json.dumps(said[2]).encode()[:-9])
    assert [(case.id, bool(case.reasons)) for case in errors_of(run).cases] == [
        ("t-0", True), ("t-1", True), ("t-2", False),
    ]  # fmt: skip


def test_overlapping_quotes_are_cut_into_pieces_that_lose_no_letter() -> None:
    found = list(pieces("abcdefgh", ["bcd", ""], ["cdef", "missing"]))
    assert [(piece.text, piece.mark) for piece in found] == [
        ("a", ""), ("b", "said"), ("cd", "both"), ("ef", "gold"), ("gh", ""),
    ]  # fmt: skip


def test_tickets_beyond_the_cap_are_counted_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_browser, "MOST", 5)
    found = errors_of(mixed_run(tmp_path))
    assert len(found.cases) == 5
    assert found.hidden == found.total - 5 > 0


def test_huge_hostile_tickets_keep_the_page_under_its_weight(tmp_path: Path) -> None:
    gold = [gold_line(i, body='<"&\U0001f525' * 5000) for i in range(450)]
    run = run_of(tmp_path, gold, [run_line(i, URGENCIES[(i + 1) % 4], ISSUES[i % 3]) for i in range(450)])
    html = page(run, title="run")
    assert len(html.encode()) < 8_000_000
    assert "are not" in html


def test_a_taxonomy_of_many_labels_gets_a_list_instead_of_a_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triagedesk.evals.report.tables.MATRIX_LABELS", 5)
    html = page(mixed_run(tmp_path), title="run")
    assert "the commonest mistakes instead of a matrix" in html


def test_small_slices_are_marked(tmp_path: Path) -> None:
    gold = [gold_line(i, traits=["rare"] if i < 3 else ["plain"]) for i in range(60)]
    html = page(run_of(tmp_path, gold, [run_line(i, URGENCIES[i % 4], ISSUES[i % 3]) for i in range(60)]), title="run")
    assert '<tr class="small"><th scope="row">rare</th>' in html
    assert '<tr><th scope="row">plain</th>' in html


def test_a_run_without_a_folder_is_reported_too(tmp_path: Path) -> None:
    gold = gold_rows(tmp_path, [gold_line(i) for i in range(40)])
    said = [Prediction(f"t-{i}", labels={"urgency": "low"}) for i in range(40)]
    write_report(tmp_path / "page.html", Run(make_sheet(gold, said, load_playbook(None)), 50), title="other")
    assert "no usable answer" not in (tmp_path / "page.html").read_text("utf-8")


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(tmp_path / "missing" / "page.html", perfect_run(tmp_path, 24), title="run")


def test_the_summary_says_the_verdict_and_holds_no_ticket_text(tmp_path: Path) -> None:
    text = markdown_summary(mixed_run(tmp_path), title="a|b <c>\nd")
    assert text.startswith("# a\\|b \\<c\\> d\n")
    assert "router" not in text
    assert "| Urgency | this system |" in text
    assert "<script>" not in text


@pytest.mark.parametrize(("value", "text"), [
    (None, "–"), (0.8123, "81.2 %"), (0.0, "0.0 %"), (1.0, "100.0 %"), (0.0001, "< 0.1 %"), (0.99999, "> 99.9 %"),
])  # fmt: skip
def test_shares_never_round_to_none_or_all(value: float | None, text: str) -> None:
    assert percent(value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_what_cannot_be_seen_is_written_out() -> None:
    assert visible("a\u200bb\u2066c\td\n\N{NO-BREAK SPACE}é") == "a⟦200B⟧b⟦2066⟧c\td\n\N{NO-BREAK SPACE}é"


def test_baselines_and_manifest_are_read_from_the_folder(tmp_path: Path) -> None:
    run = perfect_run(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"package": "9.9.9", "dataset": {"name": "s", "split": "dev"}}))
    (tmp_path / "baselines.json").write_text(json.dumps({"human": {"urgency": {"accuracy": {"value": 0.91}}}}))
    html = page(run, title="run")
    assert "9.9.9" in html
    assert "human ceiling" in html
