"""A reading finds quotes in the ticket and shows the ticket's own characters."""

from __future__ import annotations

from array import array

import pytest

from triagedesk.models import Span, Ticket
from triagedesk.reading import Reading
from triagedesk.tidy import read


def reading_of(body: str, subject: str = "") -> Reading:
    return read(Ticket(body=body, subject=subject, language="en"), ("en",))


@pytest.mark.parametrize(
    ("quote", "shown"),
    [
        pytest.param("charged twice", "charged  twice", id="white-space"),
        pytest.param("Charged Twice", "charged  twice", id="letter-case"),
        pytest.param("“charged twice”", "charged  twice", id="quotation-marks"),
        pytest.param("it's broken", "it’s broken", id="apostrophe"),
        pytest.param("café", "cafe\u0301", id="composition"),
        pytest.param("fire", "ｆｉｒｅ", id="full-width"),
        pytest.param("smoke", "smo\u200bke", id="invisible"),
        pytest.param("Refund please", "Refund please", id="subject"),
    ],
)
def test_a_quote_is_shown_as_the_customer_wrote_it(quote: str, shown: str) -> None:
    reading = reading_of(
        "My card was charged  twice and it’s broken, cafe\u0301 ｆｉｒｅ smo\u200bke.", "Refund please"
    )
    span = reading.find(quote)
    assert span is not None
    assert reading.quote(span) == shown


@pytest.mark.parametrize("quote", ["never said", "", "“”", "…", "   "])
def test_what_is_not_in_the_ticket_is_not_found(quote: str) -> None:
    assert reading_of("My card was charged twice.").find(quote) is None


def test_a_span_over_subject_and_body_is_refused() -> None:
    reading = reading_of("body text", "subject")
    assert reading.text == "subject\n\nbody text"
    assert reading.locate(0, len(reading.text)) is None
    assert reading.locate(0, 7) == Span(field="subject", start=0, end=7)
    assert reading.locate(9, 13) == Span(field="body", start=0, end=4)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 2), (3, 1), (0, 10_000)])
def test_an_impossible_span_is_refused(start: int, end: int) -> None:
    assert reading_of("body text").locate(start, end) is None


def test_without_a_subject_the_text_is_the_body() -> None:
    reading = Reading(Ticket(body="x y"), "", "x y", array("q"), array("q", range(3)))
    assert (reading.text, reading.body_at) == ("x y", 0)
