"""The page of a batch: hostile words come out as text, nothing is asked of a network, and nothing private is shown."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from chromium import Chromium, find_chromium
from page_looks import CHART_TEXT, CONTRAST, HEADINGS
from report_parts import HOSTILE, suggestion, ticket, write_batch, write_lines
from triagedesk.classifiers import trained
from triagedesk.cli import main
from triagedesk.playbook import load_playbook
from triagedesk.report import Job, Report, make_report
from triagedesk.report.page import page
from triagedesk.report.phrases import key_and_form
from triagedesk.report.tally import LEARNED

AT = datetime(2026, 9, 7, 10, tzinfo=UTC)
PROGRAM = find_chromium()
FACILITY = Path(__file__).parents[1] / "evals" / "playbooks" / "facility.yaml"


class Outline(HTMLParser):
    """Tags with their attributes, and all text that is shown."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def html_of(out: Path, tickets: Path | None = None, *, playbook: Path | None = None, **more: Any) -> str:
    """Return the page of a batch, made at a fixed time."""
    return page(make_report(Job(out, tickets, made_at=AT, **more), load_playbook(playbook)))


def hostile_batch(folder: Path) -> tuple[Path, Path]:
    """Write months of tickets, with hostile words wherever words can stand."""
    tickets, out = write_batch(folder, 600)
    came, said = [], []
    for number in range(90_000, 90_012):
        at = AT + timedelta(hours=number % 12)
        came.append(ticket(number, at, subject=HOSTILE[:70], product=HOSTILE, region=HOSTILE[:90], id=f"T-{number}"))
        one = suggestion(number, at, HOSTILE, HOSTILE, quote=HOSTILE[:70], queue=HOSTILE, language=HOSTILE,
                         flags=[HOSTILE], review_reasons=[HOSTILE], needs_review=True, breached=True)  # fmt: skip
        one["escalation_path"][0]["team"] = HOSTILE
        one["provenance"] |= {"model": HOSTILE, "fallback_reason": HOSTILE, "playbook": HOSTILE}
        one["labels"][HOSTILE] = {"label": HOSTILE, "confidence": 0.5, "confidence_kind": HOSTILE}
        said.append(one)
    for file, lines in ((tickets, came), (out, said)):
        with file.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(line) + "\n" for line in lines)
    return tickets, out


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a batch with hostile words everywhere."""
    tickets, out = hostile_batch(tmp_path_factory.mktemp("hostile"))
    return html_of(out, tickets, title=HOSTILE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tickets.jsonl, out.jsonl, report.html and, without tickets, bare.html."""
    folder = tmp_path_factory.mktemp("plain")
    tickets, out = write_batch(folder, 2000)
    (folder / "report.html").write_text(html_of(out, tickets), "utf-8")
    (folder / "bare.html").write_text(html_of(out), "utf-8")
    return folder


def test_hostile_words_come_out_as_text_wherever_they_stand(hostile: str) -> None:
    outline = Outline(hostile)
    assert not outline.named("script")
    assert not outline.named("img")
    assert len(outline.named("style")) == 1
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert not set("\u202e\u202c\x07\x1b") & set(hostile)
    assert outline.text.count("{{ 7*7 }}") > 5
    assert "⟦202E⟧evil" in outline.text


@pytest.mark.parametrize("which", ["hostile", "plain"])
def test_the_page_asks_for_nothing_and_its_policy_forbids_to(hostile: str, plain: Path, which: str) -> None:
    outline = Outline(hostile if which == "hostile" else (plain / "report.html").read_text("utf-8"))
    policy = next(str(meta["content"]) for meta in outline.named("meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    for tag, attributes in outline.tags:
        assert tag not in ("iframe", "object", "embed", "base", "form", "input")
        assert "style" not in attributes, tag
        for name in ("src", "href", "xlink:href"):
            assert str(attributes.get(name, "#")).startswith(("#", "data:,")), (tag, attributes)


def test_every_id_stands_once_and_every_section_is_linked(plain: Path) -> None:
    outline = Outline((plain / "report.html").read_text("utf-8"))
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {str(link["href"])[1:] for link in outline.named("a")}
    assert links == {str(each["id"]) for each in outline.named("section") if "id" in each}


def test_every_chart_has_its_numbers_as_a_table(plain: Path) -> None:
    outline = Outline((plain / "report.html").read_text("utf-8"))
    figures = outline.named("figure")
    assert len(figures) > 10
    assert len(outline.named("details")) == len(figures)
    assert {chart["role"] for chart in outline.named("svg") if "chart" in str(chart.get("class"))} == {"img"}


def test_the_same_batch_gives_the_same_page(plain: Path) -> None:
    assert html_of(plain / "out.jsonl", plain / "tickets.jsonl") == (plain / "report.html").read_text("utf-8")


def test_without_tickets_the_page_says_what_would_fill_it(plain: Path) -> None:
    text = Outline((plain / "bare.html").read_text("utf-8")).text
    assert "Tickets by channel, customer tier, region and product: suggestions do not carry them." in text
    assert text.count("Run the report with --tickets IN") == 4
    assert "First responses due by day and urgency" in text
    assert "period not known" in text


def test_tickets_without_dates_are_told_from_tickets_that_are_not_given(tmp_path: Path) -> None:
    tickets = write_lines(tmp_path / "in.jsonl", [{"id": "T-1", "body": "x", "channel": "email"}])
    text = Outline(html_of(write_lines(tmp_path / "out.jsonl", [suggestion(1, AT)]), tickets)).text
    assert "Give the tickets a created_at" in text
    assert "Run the report with --tickets" not in text


def test_one_ticket_makes_a_page(tmp_path: Path) -> None:
    tickets = write_lines(tmp_path / "in.jsonl", [ticket(1, AT)])
    text = Outline(html_of(write_lines(tmp_path / "out.jsonl", [suggestion(1, AT)]), tickets)).text
    assert "One ticket, none critical" in text
    assert "A day is judged by at least 7 days before it" in text


def test_words_of_few_tickets_and_personal_data_of_many_are_not_shown(tmp_path: Path) -> None:
    secret = "Anna Schmidt of Elm Street"
    mail = "write to anna@example.com or +49 30 901820"
    lines = [suggestion(number, AT, quote=secret if number < 4 else mail) for number in range(20)]
    tickets = write_lines(
        tmp_path / "in.jsonl",
        [ticket(number, AT, subject=f"Order {8_800_000 + number} of anna@example.com") for number in range(20)],
    )
    text = html_of(write_lines(tmp_path / "out.jsonl", lines), tickets)
    assert "Anna" not in text
    assert "example.com" not in text
    assert "901820" not in text
    assert "88000" not in text
    assert "write to [EMAIL_1] or [PHONE_1]" in text
    assert "Order # of [EMAIL_1]" in text


def test_a_phrase_that_everybody_writes_differently_shows_no_single_customers_words(tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrst"
    lines = [suggestion(number, AT, quote=f"parcel of Mr Smith{letters[number]}x") for number in range(20)]
    assert "Smith" not in html_of(write_lines(tmp_path / "out.jsonl", lines))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("charged twice", "Twice charged!", True, id="order-and-case"),
        pytest.param("the app crashes", "the app crashed", True, id="endings"),
        pytest.param("order 8812345", "order 991", True, id="numbers"),
        pytest.param("Rechnung doppelt", "doppelte Rechnungen", True, id="german-endings"),
        pytest.param("charged twice", "charged once", False, id="another-word"),
    ],
)
def test_near_equal_phrases_are_one_problem(one: str, other: str, same: bool) -> None:
    assert (key_and_form(one)[0] == key_and_form(other)[0]) is same


@pytest.mark.parametrize("text", ["", "ok", "12345678", "…!?", "a" * 81])
def test_what_says_nothing_or_too_much_is_no_phrase(text: str) -> None:
    assert key_and_form(text)[0] == ""


def quoted(folder: Path, *told: tuple[str, str, int]) -> dict[str, Any]:
    """Return the report of suggestions that quote words, each in an issue type so many times."""
    lines = [suggestion(len(told) * number + place, AT, issue=issue, quote=quote)
             for place, (quote, issue, times) in enumerate(told) for number in range(times)]  # fmt: skip
    return make_report(Job(write_lines(folder / "out.jsonl", lines)), load_playbook()).as_json()


def test_words_that_contain_one_another_share_a_row_within_an_issue_type(tmp_path: Path) -> None:
    made = quoted(
        tmp_path, ("cobraron", "billing_payment", 9), ("cobraron dos veces", "billing_payment", 8),
        ("Me cobraron", "billing_payment", 7), ("no cobraron nada", "technical", 6), ("veces el", "billing_payment", 5),
    )  # fmt: skip
    assert [(row["quote"], row["tickets"]) for row in made["sections"]["problems"]["quotes"]] == [
        ("cobraron · cobraron dos veces · Me cobraron", 9), ("no cobraron nada", 6), ("veces el", 5)
    ]  # fmt: skip


def test_a_shared_row_says_whose_numbers_it_shows(tmp_path: Path) -> None:
    quoted(tmp_path, ("charged", "billing_payment", 9), ("charged twice", "billing_payment", 8))
    assert "its numbers are those of the first, the commonest" in html_of(tmp_path / "out.jsonl")


@pytest.mark.parametrize("text", LEARNED)
def test_what_the_trained_classifier_says_of_every_ticket_is_no_reason(tmp_path: Path, text: str) -> None:
    assert text in inspect.getsource(trained)
    lines = [suggestion(number, AT) for number in range(12)]
    for number, line in enumerate(lines):
        said = f"{text}high." if number % 2 else "It does not work."
        line["labels"]["urgency"]["reasons"] = [{"text": said, "quote": "broken screen"}]
    made = make_report(Job(write_lines(tmp_path / "out.jsonl", lines)), load_playbook()).as_json()["sections"]
    assert [row["reason"] for row in made["problems"]["reasons"]] == ["It does not work."]
    assert {row["quote"]: row["tickets"] for row in made["problems"]["quotes"]}["broken screen"] == 12


@pytest.mark.parametrize(
    ("issues", "told"),
    [
        (["safety"], "One ticket is critical, about safety."),
        (["safety"] * 3, "3 tickets are critical; all of them are about safety."),
        (["safety", "safety", "outage"], "3 tickets are critical; most of them, 67 %, are about safety."),
        (["safety", "outage"], "2 tickets are critical; the largest part, 50 %, is about safety."),
    ],
    ids=["one", "all", "most", "half"],
)
def test_what_the_most_severe_tickets_are_about_is_said_as_it_is(tmp_path: Path, issues: list[str], told: str) -> None:
    out = write_lines(tmp_path / "out.jsonl", [suggestion(n, AT, "critical", issue) for n, issue in enumerate(issues)])
    assert told in [line.replace("\N{NO-BREAK SPACE}", " ") for line in make_report(Job(out), load_playbook()).findings]


def answered(folder: Path, source: str, *reasons: str | None) -> Report:
    """Return the report of suggestions that one source gave, for these reasons."""
    lines = [suggestion(number, AT, source=source) for number in range(len(reasons))]
    for line, reason in zip(lines, reasons, strict=True):
        line["provenance"]["fallback_reason"] = reason
    return make_report(Job(write_lines(folder / "out.jsonl", lines)), load_playbook())


@pytest.mark.parametrize(("source", "who"), [("rules", "the rules"), ("trained", "the trained classifier")])
def test_where_no_model_was_configured_the_page_says_who_answered_and_makes_nothing_of_it(
    tmp_path: Path, source: str, who: str
) -> None:
    made = answered(tmp_path, source, *["no_model"] * 3)
    assert not [line for line in made.findings if "did not answer" in line]
    (figure,) = [each for each in made.figures if each.key == "model"]
    assert (figure.raw, figure.under) == (0, f"none was configured: {who} answered")


def test_a_model_that_failed_stands_out_and_one_that_was_never_there_does_not(tmp_path: Path) -> None:
    made = answered(tmp_path, "rules", "no_model", "no_model", "timeout", None)
    (line,) = [line for line in made.findings if "did not answer" in line]
    assert line.startswith("The model did not answer 1 ticket (")
    assert "timeout (1)" in line


def facility_line(number: int) -> dict[str, Any]:
    playbook = load_playbook(FACILITY)
    names = {name: dimension.names for name, dimension in playbook.dimensions.items()}
    said = suggestion(number, AT, names["urgency"][number % 2], names["issue_type"][0])
    said["labels"]["escalation"]["label"] = playbook.dimensions["escalation"].fallback
    return said


def test_labels_come_from_the_playbook_and_foreign_ones_are_told(tmp_path: Path) -> None:
    out = write_lines(tmp_path / "out.jsonl", [facility_line(number) for number in range(6)])
    own = make_report(Job(out), load_playbook(FACILITY))
    most = load_playbook(FACILITY).dimensions["urgency"].names[0].replace("_", " ")
    assert own.sentence.startswith(f"6 tickets, 3 {most}")
    assert not [line for line in own.warnings if "--playbook" in line]
    foreign = make_report(Job(out), load_playbook())
    assert [line for line in foreign.warnings if "Give the batch's with --playbook" in line]


def test_the_command_writes_the_page_and_says_what_stands_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, (tickets, out) = tmp_path / "page.html", write_batch(tmp_path, 300)
    given = ["report", str(out), "--tickets", str(tickets), "-o", str(made)]
    assert main([*given, "--by", "month", "--title", "November", "--timezone", "Europe/Berlin"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("330 tickets, ")
    assert f"report {made}" in said.out
    assert "<title>November · tickets</title>" in made.read_text("utf-8")
    assert main([*given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["figures"]["tickets"] == sum(row["tickets"] for row in told["sections"]["volumes"]["urgency"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--by", "year"], "--by: 'year' is none of day, week, month, auto"),
        (["--timezone", "Mars/Base"], "'Mars/Base' is no time zone"),
        (["-o", "OUT"], "is what the report is made from"),
        (["-o", "page.txt"], "give -o NAME.html"),
        (["-o", "none/report.html"], "its folder does not exist"),
        (["--tickets", "none.jsonl"], "No such file"),
        (["--playbook", "none.yaml"], "cannot be read"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else None,
)
def test_an_option_that_cannot_be_used_is_told_in_one_line(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    options: list[str], told: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    out = str(plain / "out.jsonl")
    before = (plain / "out.jsonl").read_bytes()
    assert main(["report", out, *(out if each == "OUT" else each for each in options)]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert (plain / "out.jsonl").read_bytes() == before
    assert not list(tmp_path.rglob("*.html"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all looks, with a profile of its own."""
    if PROGRAM is None:
        pytest.skip("no Chromium is installed: the page cannot be looked at")
    with Chromium(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("which", ["plain", "bare", "hostile"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_the_page_fits_is_quiet_and_can_be_read(
    browser: Chromium, plain: Path, hostile: str, tmp_path: Path, which: str, width: int, dark: bool
) -> None:
    file = plain / ("bare.html" if which == "bare" else "report.html")
    if which == "hostile":
        file = tmp_path / "hostile.html"
        file.write_text(hostile, "utf-8")
    browser.open(file, width=width, dark=dark)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(HEADINGS) == []
    shown = f"svg.chart:not(.{'narrow' if width > 740 else 'wide'})"
    assert browser.run(CHART_TEXT.replace("svg.chart", shown)) == []
    contrast: dict[str, Any] = browser.run(CONTRAST)
    assert contrast["looked"] > 300
    assert contrast["bad"] == []
    assert browser.requests() == []
    assert browser.complaints() == []


def test_a_wide_chart_is_shown_once_at_every_width(browser: Chromium, plain: Path) -> None:
    count = "[...document.querySelectorAll('figure')].map((f) => [...f.querySelectorAll('svg.chart')]" \
            ".filter((c) => c.getClientRects().length).length)"  # fmt: skip
    for width in (1280, 390):
        browser.open(plain / "report.html", width=width, dark=False)
        assert set(browser.run(count)) == {1}
