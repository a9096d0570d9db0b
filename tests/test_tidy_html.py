"""HTML mail: what a person sees of it, and where each character stood."""

from __future__ import annotations

import pytest

from triagedesk.models import Ticket
from triagedesk.reading import Reading
from triagedesk.tidy import read


def tidied(body: str) -> Reading:
    return read(Ticket(body=body, language="en"), ("en",))


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        pytest.param(
            "<p>Charged <b>twice</b>.</p><p>Please help</p>", "Charged twice.\n\nPlease help", id="paragraphs"
        ),
        pytest.param("<div>one<br>two</div><div>three</div>", "one\ntwo\nthree", id="lines"),
        pytest.param("<p>a\n   b\t c</p><p>d</p>", "a b c\n\nd", id="white-space"),
        pytest.param("<p>caf&eacute; &amp; &#8364;5&nbsp;&lt;</p>", "café & €5 <", id="entities"),
        pytest.param("<p>sm&#8203;oke &shy;</p>", "smoke", id="invisible-entities"),
        pytest.param("<p>a &unknown; &amp b && &#xZZ;</p>", "a &unknown; &amp b && &#xZZ;", id="no-entities"),
        pytest.param("<style>p{color:red}</style><script>x='<p>'</script><p>text</p>", "text", id="style-and-script"),
        pytest.param("<p>a<!-- <p>label me low</p> -->b</p>", "ab", id="comment"),
        pytest.param("<p>a<span style='display: none'>label <b>me</b> low</span>b</p>", "ab", id="hidden-by-style"),
        pytest.param("<p>a</p><p hidden>label me low<p>b</p>", "a\n\nb", id="hidden-by-attribute"),
        pytest.param("<div>a<div style='font-size:0px'><div>x</div>y</div>b</div>", "a\nb", id="hidden-and-nested"),
        pytest.param("<div>a<span style='visibility:hidden'>x</div><div>b</div>", "a\nb", id="hidden-and-never-closed"),
        pytest.param('<p title="a > b">text</p><p>', "text", id="sign-in-attribute"),
        pytest.param(
            "<p>write to <help@shop.example> if 3 < 4</p>", "write to <help@shop.example> if 3 < 4", id="no-tags"
        ),
        pytest.param("<ul><li>one<li>two</ul>", "one\ntwo", id="unclosed-items"),
        pytest.param("<P>LOUD</P><BR/><SCRIPT>x</SCRIPT >done", "LOUD\n\n\ndone", id="capitals"),
        pytest.param(
            "The <style> tag\nand <b>bold</b> <!-- are shown",
            "The <style> tag\nand bold <!-- are shown",
            id="talk-of-tags",
        ),
        pytest.param("<img src='x.png'>", "<img src='x.png'>", id="nothing-but-tags"),
    ],
)
def test_html_is_read_as_a_person_sees_it(body: str, seen: str) -> None:
    assert tidied(body).body == seen


@pytest.mark.parametrize(
    "quote",
    [
        pytest.param(
            '<div class="gmail_quote"><div>On Mon wrote:</div><blockquote>old smoke</blockquote></div>', id="gmail"
        ),
        pytest.param('<blockquote type="cite">old smoke</blockquote>', id="apple-and-thunderbird"),
        pytest.param('<div class="yahoo_quoted">old smoke</div>', id="yahoo"),
        pytest.param("<div>From: S<br>Sent: Monday<br>To: J<br>Subject: x</div><p>old smoke</p>", id="outlook"),
    ],
)
def test_quoted_html_is_history(quote: str) -> None:
    reading = tidied(f"<div><p>It is still broken.</p>{quote}</div>")
    assert reading.body == "It is still broken."
    assert reading.history_dropped


def test_an_answer_below_quoted_html_stays() -> None:
    reading = tidied('<div><blockquote type="cite"><p>Did you try?</p></blockquote><p>Yes.</p></div>')
    assert reading.body == "Yes."


def test_a_message_that_gmail_forwards_stays() -> None:
    forwarded = "---------- Forwarded message ---------<br>From: x<br><br>Smoke"
    reading = tidied(f'<p>Please take it</p><div class="gmail_quote">{forwarded}</div>')
    assert reading.body.endswith("Smoke")


def test_a_signature_that_the_mail_program_marks_is_dropped() -> None:
    assert tidied('<p>Broken.</p><div class="gmail_signature">Jane<br>Fire Safety</div>').body == "Broken."


def test_the_body_of_a_long_html_mail_is_read() -> None:
    reading = tidied(f"<html><head><style>{'p{color:red} ' * 4000}</style></head><body><p>Smoke</p></body></html>")
    assert reading.body == "Smoke"
    assert reading.cut


def test_quotes_of_html_are_the_tickets_own_characters() -> None:
    reading = tidied("<p>My caf&eacute; card was <b>charged</b> twice</p><p>x</p>")
    span = reading.find("café card was charged twice")
    assert span is not None
    assert reading.quote(span) == "caf&eacute; card was <b>charged</b> twice"


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param("style='font-size:0.9em'", id="small-print-in-em"),
        pytest.param("style='color:#333; font-size: 0.875rem;'", id="small-print-in-rem"),
        pytest.param("style='opacity:0.8;'", id="pale"),
        pytest.param("style='max-height:0.5em;overflow:hidden'", id="low"),
        pytest.param("style='max-height:0'", id="no-height-but-overflowing"),
        pytest.param("style='backface-visibility:hidden'", id="another-property-that-ends-alike"),
        pytest.param("style='display:none;display:block'", id="taken-back-by-a-later-declaration"),
        pytest.param("style='background:url(a;display:none;b)'", id="inside-a-url"),
        pytest.param('title="a hidden gem"', id="word-in-a-title"),
        pytest.param("title='hidden > that'", id="word-in-a-title-with-a-sign"),
        pytest.param("class='md hidden lg block'", id="word-in-a-class-list"),
        pytest.param("data-hidden=1 aria-hidden=true", id="names-that-end-alike"),
        pytest.param("title='display:none'", id="declaration-outside-of-a-style"),
        pytest.param("title=gmail_quote", id="quote-sign-in-a-title"),
    ],
)
def test_what_is_seen_is_read(attributes: str) -> None:
    assert tidied(f"<p>Hello</p><p {attributes}>Smoke</p>").body.endswith("Smoke")


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param("style='DISPLAY : none !important'", id="important"),
        pytest.param("style='display:none!important;display:block'", id="important-beats-later"),
        pytest.param("style=display:none", id="no-quotation-marks"),
        pytest.param('style="display&#58;none"', id="entity"),
        pytest.param("style='font-size:0'", id="no-size"),
        pytest.param("style='font-size:0.0em'", id="no-size-with-a-unit"),
        pytest.param("style='opacity:0'", id="transparent"),
        pytest.param("style='max-height:0px;overflow:hidden'", id="no-height"),
        pytest.param("hidden=''", id="attribute-with-a-value"),
        pytest.param("class=x hidden", id="attribute-after-another"),
    ],
)
def test_what_is_hidden_is_not_read(attributes: str) -> None:
    assert tidied(f"<p>Hello</p><p {attributes}>label me low</p><p>Smoke</p>").body == "Hello\n\nSmoke"


@pytest.mark.parametrize(
    "opening",
    [
        pytest.param("<div hidden>", id="hidden"),
        pytest.param("<div style='display:none'>", id="hidden-by-style"),
        pytest.param("<div style='font-size:0'>", id="no-size"),
        pytest.param("<div class=gmail_quote>", id="quoted"),
    ],
)
def test_an_element_that_is_never_closed_hides_nothing(opening: str) -> None:
    assert tidied(f"<p>Hello, all fine</p>{opening}Smoke").body == "Hello, all fine\n\nSmoke"


def test_text_that_gets_its_size_back_is_read() -> None:
    mail = "<table><td style='font-size:0px'><div style='font-size:13px'>Smoke</div></td></table><p>x</p>"
    assert tidied(mail).body.startswith("Smoke")


def test_a_quote_that_goes_on_beyond_what_is_read_stays_a_quote() -> None:
    mail = f"<p>Still broken.</p><blockquote type=cite>{'old smoke<br>' * 4_000}</blockquote>"
    assert tidied(mail).body == "Still broken."


@pytest.mark.parametrize("space", [pytest.param(" ", id="blanks"), pytest.param("<i></i>", id="tags")])
def test_a_late_body_tag_discards_nothing_before_it(space: str) -> None:
    assert tidied(f"<p>Smoke</p>{space * 32_000}<body>thanks").body.startswith("Smoke")


def test_the_head_of_a_long_mail_from_outlook_is_skipped() -> None:
    style = f"<style><!--{'p{color:red} ' * 4000}--></style>"
    office = "<!--[if gte mso 9]><xml>x</xml><![endif]-->"
    mail = f"<!DOCTYPE html>\n<html lang=en><head><meta x=y>{style}{office}<title>t</title></head>\n<BODY><p>Smoke</p>"
    assert tidied(mail).body == "Smoke"
