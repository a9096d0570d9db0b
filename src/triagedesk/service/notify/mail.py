"""E-mail: an alarm as a plain message, and its way out by SMTP. The standard library waits in a thread of its own."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING

from triagedesk.errors import ConfigError
from triagedesk.service.notify.attempt import Attempt, Failure
from triagedesk.service.notify.notice import Notice

if TYPE_CHECKING:
    from triagedesk.service.notify.targets import MailTarget

MAX_SUBJECT_CHARS = 200


def checked_address(text: str) -> str:
    """Return an address that can stand in a header. Raises ConfigError, which never repeats it.

    Line breaks, names and comments are refused: they are how a header is injected.
    """
    try:
        parsed = Address(addr_spec=text)
    except (MessageError, ValueError, IndexError):
        parsed = None
    if parsed is None or parsed.addr_spec != text or not parsed.domain or not (text.isascii() and text.isprintable()):
        raise ConfigError("write a mail address as name@host, without display name, line break or comment")
    return text


def mail_message(notice: Notice, *, sender: str, recipients: tuple[str, ...], message_id: str) -> EmailMessage:
    """Return the message. Raises ConfigError for an address that cannot stand in a header."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = _one_line(f"[{notice.severity.value}] {notice.headline}")[:MAX_SUBJECT_CHARS]
    message["From"] = checked_address(sender)
    message["To"] = ", ".join(checked_address(recipient) for recipient in recipients)
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<{_one_line(message_id)}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office comes back
    message.set_content("\n".join(_lines(notice)))
    return message


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _lines(notice: Notice) -> list[str]:
    facts = [
        ("Ticket", notice.ticket_id), ("Urgency", notice.urgency), ("Issue", notice.issue_type),
        ("Queue", notice.queue), ("Due", _moment(notice.due_at)), ("Team", notice.team), ("Link", notice.link),
        ("Suggestion", notice.suggestion_id),
    ]  # fmt: skip
    lines = [notice.headline, "", *(f"{name}: {value}" for name, value in facts if value), ""]
    lines += [f"- {reason}" for reason in notice.reasons]
    return [*lines, "", f'"{notice.quote}"'] if notice.quote else lines


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def send_mail(target: MailTarget, message: EmailMessage, *, timeout_s: float) -> Attempt:
    """Hand a message to the server: blocking, within about `timeout_s` in all.

    Never raises for what a server does, and never falls back to plain text where TLS was asked for.
    """
    kind = smtplib.SMTP_SSL if target.security == "tls" else smtplib.SMTP
    server = kind.__new__(kind)  # the watchdog knows it before it connects: a greeting may come byte by byte
    late = threading.Event()
    watchdog = threading.Timer(timeout_s, _hang_up, (server, late))
    watchdog.daemon = True
    watchdog.start()
    try:
        _connect(server, target, timeout_s)
        refused = server.send_message(message)
        return Attempt(Failure.REFUSED) if refused else Attempt()
    except (OSError, ValueError) as wrong:  # smtplib's errors are OSErrors
        return Attempt(Failure.TIMEOUT if late.is_set() else _failure(wrong))
    finally:
        _say_goodbye(server)
        watchdog.cancel()


def _connect(server: smtplib.SMTP, target: MailTarget, timeout_s: float) -> None:
    if isinstance(server, smtplib.SMTP_SSL):
        server.__init__(target.host, target.port, timeout=timeout_s, context=ssl.create_default_context())  # type: ignore[misc]
    else:
        server.__init__(target.host, target.port, timeout=timeout_s)  # type: ignore[misc]
    if target.security == "starttls":
        server.ehlo_or_helo_if_needed()
        if not server.has_extn("starttls"):
            raise ssl.SSLError("no STARTTLS is offered")
        server.starttls(context=ssl.create_default_context())
    if target.username is not None and target.password is not None:
        server.login(target.username, target.password.get_secret_value())


def _hang_up(server: smtplib.SMTP, late: threading.Event) -> None:
    late.set()
    line = getattr(server, "sock", None)
    if line is not None:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def _say_goodbye(server: smtplib.SMTP) -> None:
    """End the conversation: what a server says to QUIT changes nothing about the message that it took."""
    if getattr(server, "sock", None) is None:
        return
    with suppress(OSError, ValueError):
        server.quit()
    server.close()


def _failure(wrong: Exception) -> Failure:
    if isinstance(wrong, smtplib.SMTPRecipientsRefused):
        return _of_code(min(code for code, _ in wrong.recipients.values()))
    if isinstance(wrong, smtplib.SMTPAuthenticationError) and wrong.smtp_code >= 500:
        return Failure.AUTH
    if isinstance(wrong, smtplib.SMTPResponseException):
        return _of_code(wrong.smtp_code)
    if isinstance(wrong, smtplib.SMTPNotSupportedError):
        return Failure.AUTH  # a name and a password are set, and the server takes none
    if isinstance(wrong, ssl.SSLError):
        return Failure.TLS
    if isinstance(wrong, TimeoutError):
        return Failure.TIMEOUT
    return Failure.CONNECT if isinstance(wrong, OSError) else Failure.REFUSED


def _of_code(code: int) -> Failure:
    """RFC 5321: 4yz may succeed later, 5yz will not; -1 is a reply that is none."""
    return Failure.REFUSED if code >= 500 else Failure.UNAVAILABLE
