"""Alarms by e-mail: the message, the ways in which a server fails, and the headers that nobody injects."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from notify_parts import FakeClock, MailServer, mail_server, notice
from triagedesk.errors import ConfigError
from triagedesk.service.notify import TargetState, open_notifier, read_targets
from triagedesk.service.notify.mail import checked_address, mail_message


def _row(server: MailServer, **given: Any) -> dict[str, Any]:
    return {
        "type": "mail", "name": "mail", "host": "127.0.0.1", "port": server.port, "security": "none",
        "sender": "triage@desk.example", "recipients": ["oncall@desk.example", "lead@desk.example"], **given,
    }  # fmt: skip


def _sent(server: MailServer, *, attempt_s: float = 5, max_attempts: int = 3, **given: Any) -> TargetState:
    async def go() -> TargetState:
        targets = read_targets({"targets": [_row(server, **given)]}, {}).targets
        async with open_notifier(
            targets, clock=FakeClock(), attempt_s=attempt_s, max_attempts=max_attempts
        ) as notifier:
            notifier.notify(notice(link="https://desk.example/{ticket_id}"))
            with anyio.fail_after(10):
                await notifier.idle()
            return notifier.state()[0]

    return anyio.run(go)


def test_the_message_arrives_as_plain_text_with_the_headers_of_a_machine() -> None:
    with mail_server() as server:
        state = _sent(server)
    assert state.sent == 1
    message = email.message_from_bytes(server.messages[0], policy=email.policy.default)
    assert message["Subject"] == "[critical] Urgency critical: ticket T-1, outage"
    assert message["From"] == "triage@desk.example"
    assert message["To"] == "oncall@desk.example, lead@desk.example"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@desk.example>")
    body = message.get_body()
    assert body is not None
    text = body.get_content()
    assert "Queue: incident" in text
    assert "Link: https://desk.example/T-1" in text
    assert '"All tills are down"' in text
    recipients = [line.split(":")[1] for line in server.told if line.upper().startswith("RCPT")]
    assert recipients == ["<oncall@desk.example>", "<lead@desk.example>"]


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("a@b.example\r\nBcc: all@b.example", id="a line break"),
        pytest.param("a@b.example\nSubject: x", id="a bare line feed"),
        pytest.param("Some One <a@b.example>", id="a display name"),
        pytest.param("a@b.example, c@d.example", id="two addresses"),
        pytest.param("a@b.example (c)", id="a comment"),
        pytest.param('"a\r\nb"@b.example', id="a quoted line break"),
        pytest.param("a@b.exämple", id="letters that are not ASCII"),
        pytest.param("a", id="no host"),
        pytest.param("", id="nothing"),
        pytest.param("a@b.example\x00", id="a NUL"),
    ],
)
def test_an_address_that_could_inject_a_header_is_refused(address: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        checked_address(address)
    assert "Bcc" not in str(wrong.value)
    with pytest.raises(ConfigError):
        read_targets({"targets": [{**_row(MailServer()), "recipients": [address]}]}, {})


def test_a_tickets_id_starts_no_header_of_its_own() -> None:
    made = mail_message(
        notice(ticket_id="T-1\r\nBcc: all@b.example"), sender="a@b.example", recipients=("c@d.example",),
        message_id="n_1\r\nX: y",
    )  # fmt: skip
    read = email.message_from_bytes(made.as_bytes(), policy=email.policy.default)
    assert read["Bcc"] is None
    assert read["X"] is None
    assert read["Subject"].startswith("[critical] Urgency critical: ticket T-1 Bcc: all@b.example")


@pytest.mark.parametrize(
    ("says", "failure", "attempts"),
    [
        pytest.param({"": ["421 busy"]}, "unavailable", 3, id="a server that is busy"),
        pytest.param({"MAIL": ["451 later"]}, "unavailable", 3, id="a sender deferred"),
        pytest.param({"MAIL": ["550 no"]}, "refused", 1, id="a sender refused"),
        pytest.param({"RCPT": ["450 greylisted"]}, "unavailable", 3, id="greylisting"),
        pytest.param({"RCPT": ["550 unknown"]}, "refused", 1, id="nobody there"),
        pytest.param({"DATA": ["554 no"]}, "refused", 1, id="no message wanted"),
        pytest.param({"TAKEN": ["552 too large"]}, "refused", 1, id="a message refused"),
        pytest.param({"": ["garbage"]}, "unavailable", 3, id="not a mail server"),
    ],
)
def test_a_refusal_is_final_and_a_deferral_is_retried(says: dict[str, Any], failure: str, attempts: int) -> None:
    with mail_server(**says) as server:
        state = _sent(server)
    assert (state.dead, dict(state.failures)) == (1, {failure: attempts})


def test_greylisting_ends_with_the_next_attempt() -> None:
    with mail_server(RCPT=["450 greylisted", "450 greylisted", "250 ok"]) as server:
        state = _sent(server)
    assert (state.sent, state.retried) == (1, 1)


def test_a_message_that_was_taken_is_not_sent_again_whatever_the_server_says_at_the_end() -> None:
    with mail_server(QUIT=["421 gone"]) as server:
        state = _sent(server)
    assert (state.sent, len(server.messages)) == (1, 1)


def test_a_server_without_tls_gets_neither_password_nor_message() -> None:
    with mail_server() as server:
        state = _sent(server, security="starttls", username="me", password="canary-password")
    assert (state.dead, dict(state.failures)) == (1, {"tls": 1})
    assert not server.messages
    assert not [line for line in server.told if line.upper().startswith("AUTH")]


def test_a_password_is_refused_over_plain_text_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="starttls or tls") as wrong:
        read_targets({"targets": [{**_row(MailServer()), "host": "mail.example", "port": 25, "username": "me",
                                   "password": "canary-password"}]}, {})  # fmt: skip
    assert "canary" not in str(wrong.value)


def test_a_wrong_password_is_final() -> None:
    with mail_server(AUTH=["535 no"]) as server:
        state = _sent(server, username="me", password="canary-password")
    assert (state.dead, dict(state.failures)) == (1, {"auth": 1})
    assert not server.messages


def test_a_greeting_byte_by_byte_ends_at_the_attempts_timeout() -> None:
    with mail_server(drips=True) as server:
        state = _sent(server, attempt_s=0.2, max_attempts=1)
    assert dict(state.failures) == {"timeout": 1}


def test_starttls_protects_password_and_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    given: dict[str, Any] = {"security": "starttls", "username": "me", "password": "canary-password"}
    with mail_server(tls=context) as server:
        unknown = _sent(server, **given)
        assert not [line for line in server.told if line.upper().startswith("AUTH")]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusted = _sent(server, **given)
    assert dict(unknown.failures) == {"tls": 1}
    assert (trusted.sent, len(server.messages)) == (1, 1)


def _certificate(folder: Path) -> Path:
    """Write a certificate for 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "loopback.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file
