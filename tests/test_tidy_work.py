"""Tidying does work in proportion to the text, of which a bounded part is looked at."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from triagedesk.models import Ticket
from triagedesk.tidy import READ_CHARS, read
from triagedesk.tidy.read import MAX_RAW_CHARS

LANGUAGES = ("en", "de", "fr", "es", "it", "pt")


def calls_to_tidy(body: str) -> int:
    """Count the function calls that tidying makes: a measure of work that no busy machine disturbs."""
    count = 0

    def counting(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    ticket = Ticket(body=body, channel="voice", language="en")
    read(ticket, LANGUAGES)
    sys.setprofile(counting)
    try:
        read(ticket, LANGUAGES)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    "unit",
    [pytest.param(unit, id=name) for name, unit in {
        "prose": "my card was charged twice. ", "quotes": "> a\n", "dashes": "--\n", "closings": "thanks\n",
            "headers": "From: a\n",
        "introductions": "On 5 <@ \n", "separators": "-----Original Message\n", "dated": "On 5 9:12 a@b wrote:\n",
            "forwards": "--Forwarded message\n", "line-feeds": "x\n\n\n", "marks": "e\u0301",
            "invisible": "\u200b", "turns": "agent:customer:",
        "open-tags": "<a ", "open-quotes": '<br><a b="', "comments": "<br><!--", "entities": "<br>&#",
            "scripts": "<br><script>", "hidden": "<br><p hidden>", "tiny": "<br><i style='font-size:0'>",
            "revealed": "<br><i style='visibility:hidden'><b style='visibility:visible'>",
    }.items()],
)  # fmt: skip
def test_ten_times_the_text_is_about_ten_times_the_work(unit: str) -> None:
    few, many = (calls_to_tidy(("x" + unit * size)[:size]) for size in (READ_CHARS // 10, READ_CHARS))
    assert many <= 15 * few


@pytest.mark.parametrize("unit", ["prose ", "\u200b", "e\u0301\u0316", "<br>", "<style></style>", "\x00<"])
def test_of_a_megabyte_a_bounded_part_is_looked_at(unit: str) -> None:
    body = ("x" + unit * 1_000_000)[:1_000_000]
    assert len(read(Ticket(body=body, language="en"), LANGUAGES).body) <= READ_CHARS
    assert calls_to_tidy(body) <= 12 * MAX_RAW_CHARS
