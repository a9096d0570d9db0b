"""A large ticket made to be costly: the work stays small, counted in function calls, which no busy machine changes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from triagedesk.models import Ticket
from triagedesk.playbook.tongues import languages_in
from triagedesk.reading import MAX_MARKS, Reading
from triagedesk.tidy import READ_CHARS, read
from triagedesk.tidy.read import CUT
from triagedesk.tidy.traced import MAX_TABLE, VISIBLE

LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pt")


def calls(work: Callable[[], object]) -> int:
    """Count the function calls that something makes."""
    work()  # first-time work, like the filling of a table, is another matter
    count = 0

    def counting(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def reading_of(body: str, subject: str = "") -> Reading:
    return read(Ticket(body=body, subject=subject, language="en"), LANGUAGES)


@pytest.mark.parametrize("field", ["body", "subject"])
def test_a_quote_takes_a_bounded_number_of_marks_along(field: str) -> None:
    letter = "e" + "\u0301" * (490_000 if field == "body" else 9_000)
    reading = reading_of(letter) if field == "body" else reading_of("body", letter)
    span = reading.locate(0, 1)
    assert span is not None
    assert (span.field, span.start, span.end) == (field, 0, 1 + MAX_MARKS)
    assert calls(lambda: reading.locate(0, 1)) < 1_000


def test_a_quote_takes_every_mark_along_that_a_script_writes() -> None:
    letter = "ש\u05c1\u05bc\u05b8\u0591"
    reading = reading_of(f"{letter}לום")
    span = reading.locate(0, 1)
    assert span is not None
    assert reading.quote(span) == letter


def test_a_ticket_of_all_of_unicode_does_not_make_the_next_ones_dear() -> None:
    for start in range(0x4E00, 0x4E00 + 3 * READ_CHARS, READ_CHARS):
        reading_of("".join(chr(point) for point in range(start, start + READ_CHARS) if not 0xD800 <= point < 0xE000))
    assert len(VISIBLE) <= MAX_TABLE
    assert calls(lambda: reading_of("\U00030000" * READ_CHARS)) < 1_000


@pytest.mark.parametrize("unit", ["!?", "\n", "ok.", "please!"])
def test_one_sentence_many_times_is_looked_at_once(unit: str) -> None:
    text = unit * READ_CHARS
    assert calls(lambda: languages_in(text, LANGUAGES)) < 1_000


def test_many_sentences_cost_a_few_calls_each() -> None:
    sentences = [f"my number {number}" for number in range(2_000)]
    text = ".".join(sentences)
    assert calls(lambda: languages_in(text, LANGUAGES)) < 20 * len(sentences)
    assert languages_in(text, LANGUAGES) == (frozenset({"en"}), False)


@pytest.mark.parametrize("letter", [pytest.param("ﬃ", id="ligature"), pytest.param("㌖", id="squared-word")])
def test_letters_that_grow_when_they_are_made_plain_do_not_make_more_to_read(letter: str) -> None:
    reading = reading_of(letter * READ_CHARS)
    assert len(reading.body) == len(reading.body_origin) == READ_CHARS
    assert reading.cut
    assert CUT in reading.notes
    assert reading.dropped
