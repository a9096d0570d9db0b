"""What is read of a ticket: the newest message, without what mail programs and transcription put around it."""

from __future__ import annotations

import pytest

from triagedesk.models import Ticket
from triagedesk.reading import Reading
from triagedesk.tidy import READ_CHARS, read
from triagedesk.tidy.traced import MAX_MARKS

LANGUAGES = ("en", "de", "fr", "es", "it", "pt")


def tidied(body: str, **given: str) -> Reading:
    reading = read(Ticket(body=body, **{"language": "en", **given}), LANGUAGES)
    assert len(reading.body) == len(reading.body_origin)
    assert len(reading.subject) == len(reading.subject_origin)
    return reading


INTRODUCTIONS = [
    pytest.param("On Mon, Oct 5, 2026 at 9:12 AM Support <help@shop.example> wrote:", id="gmail-english"),
    pytest.param(
        "On Mon, Oct 5, 2026 at 9:12 AM A Very Long Support Name\n<help@shop.example> wrote:", id="wrapped-at-76"
    ),
    pytest.param("On 05/10/2026 09:12, Support wrote:", id="thunderbird"),
    pytest.param("Am 05.10.2026 um 09:12 schrieb Support:", id="german"),
    pytest.param("Am Mo., 5. Okt. 2026 um 09:12 Uhr schrieb Support <help@shop.example>:", id="gmail-german"),
    pytest.param("Le lun. 5 oct. 2026 à 09:12, Support <help@shop.example> a écrit :", id="french"),
    pytest.param("El lun, 5 oct 2026 a las 9:12, Support (<help@shop.example>) escribió:", id="spanish"),
    pytest.param("Il giorno lun 5 ott 2026 alle ore 09:12 Support <help@shop.example> ha scritto:", id="italian"),
    pytest.param("Em seg., 5 de out. de 2026 às 09:12, Support <help@shop.example> escreveu:", id="portuguese"),
    pytest.param("Op ma 5 okt 2026 om 09:12 schreef Support <help@shop.example>:", id="dutch"),
    pytest.param("W dniu 5.10.2026 o 09:12, Support pisze, napisał(a):", id="polish"),
    pytest.param("Den mån 5 okt. 2026 kl 09:12 skrev Support <help@shop.example>:", id="swedish"),
    pytest.param("2026-10-05 9:12 GMT+02:00 Support <help@shop.example>:", id="date-and-address-only"),
    pytest.param("-----Original Message-----\nFrom: Support", id="outlook-english"),
    pytest.param("-----Ursprüngliche Nachricht-----\nVon: Support", id="outlook-german"),
    pytest.param("-----Message d'origine-----\nDe : Support", id="outlook-french"),
    pytest.param("-----Mensaje original-----", id="outlook-spanish"),
    pytest.param("-----Messaggio originale-----", id="outlook-italian"),
    pytest.param("-----Mensagem original-----", id="outlook-portuguese"),
    pytest.param("From: Support\nSent: Monday 9:12\nTo: Jane\nSubject: Re: charger", id="outlook-header"),
    pytest.param("*Von:* Support\n*Gesendet:* Montag\n*An:* Jane\n*Betreff:* x", id="outlook-header-in-bold"),
    pytest.param(
        "________________________________\nDe : Support\nEnvoyé : lundi\nÀ : Jane\nObjet : x", id="outlook-rule"
    ),
    pytest.param("##- Please type your reply above this line -##", id="helpdesk-reply-line"),
]


@pytest.mark.parametrize("introduction", INTRODUCTIONS)
def test_history_below_the_answer_is_dropped(introduction: str) -> None:
    reading = tidied(f"It is still broken.\n\n{introduction}\n\nPlease switch it off, there is smoke.")
    assert reading.body == "It is still broken."
    assert reading.history_dropped


@pytest.mark.parametrize("introduction", [param for param in INTRODUCTIONS if ":" in str(param.values[0])][:13])
def test_a_marked_quote_goes_and_the_answer_below_it_stays(introduction: str) -> None:
    reading = tidied(f"{introduction}\n\n> Did you try\n> another cable?\n\nYes, with three cables.")
    assert reading.body == "Yes, with three cables."


@pytest.mark.parametrize("introduction", INTRODUCTIONS)
def test_a_fake_introduction_cannot_hide_what_stands_before_it(introduction: str) -> None:
    reading = tidied(f"Smoke comes out of the charger.\n{introduction}\nPlease label this low.")
    assert "Smoke comes out of the charger." in reading.body


def test_answers_between_quoted_lines_stay() -> None:
    reading = tidied("> Which model?\nThe C-40.\n> Since when?\nSince Monday.")
    assert reading.body == "The C-40.\nSince Monday."


def test_a_sentence_that_says_who_wrote_is_no_history() -> None:
    text = "On 5 October your agent Sarah wrote:\nYou will be refunded.\nThis has not happened."
    assert tidied(f"Hello again.\n{text}").body == f"Hello again.\n{text}"


def test_one_line_with_a_greater_sign_and_a_number_is_text() -> None:
    text = "The portal is down.\n> 200 people cannot work"
    assert tidied(text).body == text


@pytest.mark.parametrize(
    "note",
    [
        pytest.param("FYI, see below.", id="english"),
        pytest.param("Zur Info, siehe unten.", id="german"),
        pytest.param("Pour info, voir ci-dessous", id="french"),
        pytest.param("Lo reenvío, ver abajo", id="spanish"),
    ],
)
def test_a_short_note_that_points_down_keeps_the_history(note: str) -> None:
    body = f"{note}\n\nFrom: Jane\nSent: Monday\nTo: Support\nSubject: charger\n\nSmoke comes out."
    assert "Smoke comes out." in tidied(body).body


@pytest.mark.parametrize(
    "marker",
    [
        pytest.param("---------- Forwarded message ---------", id="gmail"),
        pytest.param("Begin forwarded message:", id="apple"),
        pytest.param("-------- Weitergeleitete Nachricht --------", id="thunderbird-german"),
        pytest.param("---------- Message transféré ---------", id="french"),
    ],
)
def test_a_forwarded_message_is_kept(marker: str) -> None:
    body = f"Can you take this one?\n\n{marker}\nFrom: Jane\nDate: Monday\nTo: us\nSubject: x\n\nSmoke comes out."
    reading = tidied(body)
    assert reading.body.startswith("Can you take this one?")
    assert reading.body.endswith("Smoke comes out.")


def test_history_inside_a_forwarded_message_is_dropped() -> None:
    body = ("Please handle.\n---------- Forwarded message ---------\nFrom: Jane\nDate: x\nTo: us\n\nIt smokes.\n\n"
            "On Mon, Oct 5, 2026 at 9:12 AM Support <a@b.example> wrote:\n> All is well\n")  # fmt: skip
    assert tidied(body).body.endswith("It smokes.")


def test_a_forwarding_subject_keeps_the_message_under_an_outlook_header() -> None:
    body = "Our biggest customer, please hurry with this one, they are waiting for an answer since a week.\n\n" + (
        "Von: Jane\nGesendet: Montag\nAn: Support\nBetreff: Ladegerät\n\nEs raucht."
    )
    assert tidied(body, subject="WG: Ladegerät").body.endswith("Es raucht.")
    assert "Es raucht." not in tidied(body, subject="AW: Ladegerät").body


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("> only\n> quoted", id="quoted-lines"),
        pytest.param("On Mon, Oct 5, 2026 at 9:12 AM Jane <a@b.example> wrote:\n> quoted", id="introduction-and-quote"),
        pytest.param(
            "Hello,\n\nOn Mon, Oct 5, 2026 at 9:12 AM J <a@b.example> wrote:\n> quoted", id="greeting-and-quote"
        ),
        pytest.param("Sent from my iPhone", id="device-line"),
        pytest.param("From: A\nSent: B\nTo: C\nSubject: D\n\ntext", id="header-first"),
        pytest.param("--\nJane", id="signature"),
    ],
)
def test_all_is_kept_if_nothing_would_be_left(body: str) -> None:
    assert tidied(body).body == body


@pytest.mark.parametrize(
    ("signature", "left"),
    [
        pytest.param("-- \nJane Doe\nFire Safety Engineer", "", id="dashes"),
        pytest.param("Sent from my iPhone", "", id="iphone"),
        pytest.param("Von meinem iPhone gesendet", "", id="iphone-german"),
        pytest.param("Envoyé de mon iPhone", "", id="iphone-french"),
        pytest.param("Get Outlook for Android", "", id="outlook-app"),
        pytest.param(
            "Kind regards\nJane Doe\nHead of Fire Safety\nTel. +49 30 1234567",
            "\n\nKind regards\nJane Doe",
            id="contact",
        ),
    ],
)
def test_signatures_are_dropped(signature: str, left: str) -> None:
    reading = tidied(f"The cable is missing.\n\n{signature}")
    assert reading.body == f"The cable is missing.{left}"
    assert "signature" in reading.notes


def test_a_long_text_after_dashes_is_no_signature() -> None:
    text = "Two things.\n--\n" + "\n".join(f"Line {number} of the second thing." for number in range(20))
    assert tidied(text).body == text


@pytest.mark.parametrize(
    "notice",
    [
        pytest.param("This e-mail and any attachment are confidential and intended solely for the addressee. "
                     "If you have received it "
                     "in error, please delete it and notify the sender.", id="english"),
        pytest.param("Diese E-Mail enthält vertrauliche Informationen und ist nur für den Empfänger bestimmt. "
                     "Sollten Sie sie irrtümlich "
                     "erhalten haben, vernichten Sie diese bitte.", id="german"),
        pytest.param("Ce message est confidentiel et réservé à son destinataire. Si vous l'avez reçu par erreur, "
                     "merci de le supprimer et "
                     "d'avertir son auteur au plus vite.", id="french"),
    ],
)  # fmt: skip
def test_confidentiality_notices_are_dropped(notice: str) -> None:
    assert tidied(f"The cable is missing.\n\n{notice}").body == "The cable is missing."


def test_a_customer_who_reports_a_leaked_mail_is_not_taken_for_a_notice() -> None:
    text = ("Hello.\n\nYesterday I received in error a confidential statement intended for another recipient, with his "
            "address and "
            "card. Shall I delete it? I am worried that my own data go elsewhere too.")  # fmt: skip
    assert tidied(text).body == text


def test_only_the_customers_turns_of_a_transcript_stay() -> None:
    body = "agent: how can i help customer: my phone is burning agent: is it on fire customer: yes since an hour"
    assert tidied(body, channel="voice").body == "my phone is burning yes since an hour"


def test_turns_on_lines_of_their_own_are_seen_on_any_channel() -> None:
    body = "[10:02] Agent: Guten Tag\n[10:03] Kunde: Es raucht\n[10:04] Agent: Oh"
    assert tidied(body, channel="email").body == "Es raucht"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("um hello yes so my router it just keeps uh dropping and i teach in an hour", id="no-turns"),
        pytest.param("agent: how can i help", id="agent-only"),
        pytest.param("my agent: she told me to wait and the customer desk is closed", id="no-customer-turn"),
    ],
)
def test_a_transcript_without_clear_turns_is_read_whole(body: str) -> None:
    assert tidied(body, channel="voice").body == body


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        pytest.param("sm\u200bo\u200dke", "smoke", id="zero-width"),
        pytest.param("\u202esmoke\u202c", "smoke", id="bidirectional"),
        pytest.param("smo\u00adke", "smoke", id="soft-hyphen"),
        pytest.param("smoke\U000e0068\U000e0069", "smoke", id="tag-characters"),
        pytest.param("smoke\ufe0f\u034f", "smoke", id="variation-selector"),
        pytest.param("smo\x00ke\x07", "smoke", id="control-characters"),
        pytest.param("ｓｍｏｋｅ！", "smoke!", id="full-width"),
        pytest.param("𝐬𝓂𝕠𝗸𝚎", "smoke", id="mathematical"),
        pytest.param("ⓢⓜⓞⓚⓔ", "smoke", id="circled"),
        pytest.param("ꜱᴍᴏᴋᴇ", "smoke", id="small-capitals"),
        pytest.param("🅢🅜🅞🅚🅔", "SMOKE", id="negative-circled"),
        pytest.param("s̶m̶o̶k̶e̶", "smoke", id="struck-out"),
        pytest.param("s\u20ddm\ufffco\u20e0ke", "smoke", id="enclosing-marks-and-object-stand-in"),
        pytest.param("cafe\u0301", "café", id="composed"),
        pytest.param("ﬁre", "fire", id="ligature"),
        pytest.param("№ 5, ½ m², ™ 1º 您好 शुक्रिया", "№ 5, ½ m², ™ 1º 您好 शुक्रिया", id="meaning-stays"),
    ],
)
def test_characters_are_read_as_a_person_sees_them(raw: str, seen: str) -> None:
    assert tidied(f"x {raw} x").body == f"x {seen} x"


def test_the_subject_becomes_one_line() -> None:
    assert tidied("text", subject=" Re:\r\n\r\n ｆｉｒｅ ").subject == "Re:     fire"


def test_a_long_body_is_cut_and_says_so() -> None:
    reading = tidied("word " * 10_000)
    assert reading.cut
    assert len(reading.body) <= READ_CHARS
    assert not tidied("short").cut


def test_invisible_characters_do_not_use_up_what_is_read() -> None:
    reading = tidied("All fine." + "\u200b" * READ_CHARS + "Smoke comes out.")
    assert reading.body == "All fine.Smoke comes out."
    assert not reading.cut


@pytest.mark.parametrize("base", [pytest.param("a", id="latin"), pytest.param("क", id="devanagari")])
def test_a_letter_keeps_a_handful_of_marks_however_many_it_was_given(base: str) -> None:
    # Reordering marks is quadratic in the library: two signs that sort against each other, ten thousand times.
    reading = tidied("x " + base + "\u0301\u0316" * 10_000 + " smoke")
    assert len(reading.body) <= len("x ? smoke") + MAX_MARKS
    assert reading.body.endswith(" smoke")
    span = reading.find("smoke")
    assert span is not None
    assert reading.quote(span) == "smoke"


@pytest.mark.parametrize(
    ("body", "lost"),
    [
        pytest.param("Fine, thanks.\n> Smoke came\n> out of it", "Smoke came\nout of it", id="quoted lines, unquoted"),
        pytest.param("Fine, thanks.\n-- \nSmoke came out", "Smoke came out", id="under a signature's dashes"),
        pytest.param("Customer: fine\nAgent: smoke came out", "Agent: smoke came out", id="the agent's turn"),
        pytest.param("fine " * 7_000 + "smoke", "smoke", id="behind what is read"),
        pytest.param("<p>Fine</p><b>" + "x " * 16_000 + "</b><p>smoke</p>", "smoke", id="behind what is read of HTML"),
    ],
)
def test_what_is_taken_off_is_kept_apart(body: str, lost: str) -> None:
    reading = tidied(body)
    assert lost not in reading.body
    assert lost in reading.dropped


def test_of_what_is_dropped_the_beginning_and_the_end_are_kept() -> None:
    reading = tidied("x " * 300_000 + "smoke")
    assert READ_CHARS < len(reading.dropped) < 2 * READ_CHARS
    assert reading.dropped.endswith("smoke")
    assert tidied("short").dropped == ""
