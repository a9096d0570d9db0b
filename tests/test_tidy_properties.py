"""What holds for every ticket: offsets lead back to the raw field, and nothing invisible changes what is read."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from triagedesk.models import Ticket
from triagedesk.reading import Reading
from triagedesk.tidy import read

INVISIBLE = (
    "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202a\u202e\u2066\u2069\u061c\u180e"
    "\ufe0f\U000e0041\U000e0001\x00\x08\x1b\u034f\u3164"
)

pieces = st.sampled_from([
    "On Mon, Oct 5, 2026 at 9:12 AM S <a@b.example> wrote:\n", "> quoted\n", "-- \n", "Sent from my iPhone\n",
        "<p>", "</p>", "<br>",
    "<div class='gmail_quote'>", "</div>", "&amp;", "&#8203;", "<span hidden>", "</span>", "<!--", "-->",
        "<style>", "agent: ", "customer: ",
    "From: a\nSent: b\nTo: c\n", "-----Original Message-----\n", "\r\n", "\r", "smoke ", "e\u0301", "ｆｉｒｅ", "𝐟𝐢𝐫𝐞",
        "ﬁ", "🅢", "\n\n",
    "\u200b", "\u202e", "FYI see below\n", "---------- Forwarded message ---------\n", "thanks\n", "tel 0301234567\n",
])  # fmt: skip
bodies = (
    st.lists(st.one_of(pieces, st.text(max_size=8)), min_size=1, max_size=20)
    .map("".join)
    .filter(lambda text: bool(text.strip()))
)
channels = st.sampled_from([None, "voice", "email"])


def tidied(body: str, channel: str | None = None, subject: str = "") -> Reading:
    return read(Ticket(body=body, subject=subject, channel=channel, language="en"), ("en",))


@given(body=bodies, subject=st.text(max_size=40), channel=channels)
@example(body="e\u0301\u0301\u0301", subject="ﬁ\r\n", channel=None)
@example(body="<p>&ngE;&#8203;</p><p>", subject="", channel="voice")
def test_every_character_has_its_place_in_the_raw_field(body: str, subject: str, channel: str | None) -> None:
    reading = tidied(body, channel, subject)
    for text, origin, raw in (
        (reading.subject, reading.subject_origin, subject),
        (reading.body, reading.body_origin, body),
    ):
        places = list(origin)
        assert len(places) == len(text)
        assert places == sorted(places)
        assert all(0 <= place < len(raw) for place in places)


@given(body=bodies, data=st.data())
def test_every_span_shows_a_slice_of_the_raw_field(body: str, data: st.DataObject) -> None:
    reading = tidied(body, subject="A subject")
    start = data.draw(st.integers(0, len(reading.text)))
    end = data.draw(st.integers(0, len(reading.text)))
    span = reading.locate(start, end)
    if span is not None:
        raw = reading.ticket.subject if span.field == "subject" else reading.ticket.body
        assert 0 <= span.start < span.end <= len(raw)
        assert reading.quote(span) == raw[span.start : span.end]
    else:
        assert start >= end or start < reading.body_at < end + 2


@given(
    text=st.text(alphabet="abc déñß xyz.,!?\n1234567890'\"()/%", min_size=1, max_size=200).filter(
        lambda text: bool(text.strip())
    )
)
def test_plain_text_is_read_as_it_stands(text: str) -> None:
    reading = tidied(text)
    assert reading.body == text.strip()
    assert list(reading.body_origin) == list(range(len(text) - len(text.lstrip()), len(text.rstrip())))


@given(body=bodies, channel=channels, data=st.data())
def test_invisible_characters_anywhere_change_nothing(body: str, channel: str | None, data: st.DataObject) -> None:
    clean = "".join(char for char in body if char not in INVISIBLE)
    if not clean.strip():
        return
    places = data.draw(st.lists(st.tuples(st.integers(0, len(clean)), st.sampled_from(INVISIBLE)), max_size=8))
    salted = clean
    for place, char in sorted(places, reverse=True):
        salted = salted[:place] + char + salted[place:]
    before, after = tidied(clean, channel), tidied(salted, channel)
    assert after.body == before.body
    assert after.language == before.language


@given(body=bodies)
def test_something_is_left_of_whatever_a_person_can_read(body: str) -> None:
    reading = tidied(body)
    if any(char.isascii() and char.isalnum() for char in body):
        assert reading.body
