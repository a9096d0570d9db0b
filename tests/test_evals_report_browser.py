"""The report as a person sees it: opened in a headless Chromium, wide and narrow, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import Chromium, find_chromium
from evals_report_parts import HOSTILE, mixed_run
from page_looks import CHART_TEXT, CONTRAST, HEADINGS
from triagedesk.evals.report import write_report

PROGRAM = find_chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed: the page cannot be looked at")
LOOKS = [pytest.param(width, dark, id=f"{width}-{'dark' if dark else 'light'}")
         for width in (1280, 390) for dark in (False, True)]  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with confidences, mistakes in many cells, and hostile words."""
    folder = tmp_path_factory.mktemp("run")
    figure = {"value": 0.6, "low": 0.55, "high": 0.65}
    baselines = {name: {each: {"accuracy": figure, "macro_f1": figure} for each in ("urgency", "issue_type")}
                 for name in ("human", "tfidf", "rules", "majority")}  # fmt: skip
    write_report(folder / "report.html", mixed_run(folder), title=HOSTILE, baselines=baselines)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all looks, with a profile of its own."""
    assert PROGRAM is not None
    with Chromium(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_page_fits_is_quiet_and_can_be_read(browser: Chromium, report: Path, width: int, dark: bool) -> None:
    browser.open(report, width=width, dark=dark)
    assert browser.run("matchMedia('(prefers-color-scheme: dark)').matches") is dark
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(HEADINGS) == []
    assert browser.run(CHART_TEXT) == []
    contrast: dict[str, Any] = browser.run(CONTRAST)
    assert contrast["looked"] > 500
    assert contrast["bad"] == []
    assert browser.requests() == []
    assert browser.complaints() == []


def test_a_cell_of_the_matrix_shows_its_tickets_and_the_filter_can_be_taken_away(
    browser: Chromium, report: Path
) -> None:
    browser.open(report, width=1280, dark=False)
    shown = "document.querySelectorAll('article.case:not([hidden])').length"
    everything = browser.run(shown)
    browser.run("document.querySelector('a[data-cell=\"0:1:2\"]').click()")
    assert browser.run(f"{shown} + ' ' + document.querySelector('a[data-cell=\"0:1:2\"]').firstChild.data") == "8 8"
    browser.run("document.getElementById('by-cell').click()")
    assert browser.run(shown) == everything > 8


def test_dimension_and_search_narrow_the_tickets(browser: Chromium, report: Path) -> None:
    browser.open(report, width=390, dark=False)
    found = browser.run("""(() => {
      const box = document.getElementById("by-text"), list = document.getElementById("by-dimension");
      const shown = () => document.querySelectorAll("article.case:not([hidden])").length;
      list.value = "1"; list.dispatchEvent(new Event("change")); const issue = shown();
      list.value = ""; box.value = "T-3"; box.dispatchEvent(new Event("input")); const words = shown();
      box.value = "no such words"; box.dispatchEvent(new Event("input"));
      return [issue, words, shown(), document.getElementById("nothing").hidden];
    })()""")
    issue, words, none, hidden = found
    assert issue == 1
    assert words > 1
    assert (none, hidden) == (0, False)


def test_without_script_every_ticket_is_shown(browser: Chromium, report: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report, width=1280, dark=False)
        root = browser.call("DOM.getDocument")["root"]["nodeId"]
        every = browser.call("DOM.querySelectorAll", nodeId=root, selector="article.case")["nodeIds"]
        hidden = browser.call("DOM.querySelectorAll", nodeId=root, selector="article.case[hidden]")["nodeIds"]
        assert len(every) > 8
        assert hidden == []
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_ink_differs_between_light_and_dark_in_charts_too(browser: Chromium, report: Path) -> None:
    colours = []
    for dark in (False, True):
        browser.open(report, width=1280, dark=dark)
        colours.append(browser.run("getComputedStyle(document.querySelector('svg.chart text')).fill"))
    assert len(set(colours)) == 2
