"""The command line's front door: every way a command can end, as an exit code and at most one line."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from triagedesk.cli.app import app
from triagedesk.cli.terminal import warn
from triagedesk.errors import TriageError

DONE, SOME_FAILED, UNUSABLE, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 70, 130, 141
"""Exit codes: 70 is EX_SOFTWARE of sysexits.h; 130 and 141 are 128 + SIGINT and 128 + SIGPIPE, as shells count."""

_UsageError = typer.BadParameter.__mro__[1]  # typer carries click within itself since 0.27, and shows only this child


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done; 1 some rows failed; 2 unusable input or configuration (one line on stderr says what to do); 70 a bug of
    ours; 130 interrupted. `argv` is without the program's name; default: what the shell gave.
    """
    if argv is not None:
        return _ended(argv)
    # What a start makes lives to the end: looking through it again and again is a fifth of a short command's time.
    gc.set_threshold(50_000, 20, 20)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # or it reads every installed package's metadata
    try:
        return _ended(sys.argv[1:])
    finally:
        gc.freeze()  # nor need the interpreter look through it when it ends


def _ended(argv: Sequence[str]) -> int:
    _never_fail_to_print()
    try:
        return _run(argv)
    except BrokenPipeError:
        return _hang_up()
    except KeyboardInterrupt:
        return INTERRUPTED
    except TriageError as wrong:
        return _complain(str(wrong))
    except OSError as wrong:
        return _complain(_os_problem(wrong))
    except Exception as wrong:  # noqa: BLE001 - the last resort: a user never meets a traceback
        return _usage(wrong) if isinstance(wrong, _UsageError) else _bug(wrong)


def _run(argv: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    code: Any = command.main(list(argv), prog_name="triagedesk", standalone_mode=False)
    sys.stdout.flush()  # a reader that left is noticed here, not while the interpreter ends
    return code if isinstance(code, int) else DONE


def _never_fail_to_print() -> None:
    """Tickets are written in every alphabet, terminals are not: show what cannot be shown as an escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _complain(problem: str, code: int = UNUSABLE) -> int:
    warn(f"error: {problem[:600]}")
    return code


def _usage(wrong: Exception) -> int:
    message = str(getattr(wrong, "format_message", lambda: wrong)())
    if message.startswith("Got unexpected extra argument"):  # it would repeat the ticket's text
        message = "too many arguments; put a ticket's text in quotes"
    context = getattr(wrong, "ctx", None)
    path = context.command_path if context is not None else "triagedesk"
    return _complain(f"{message.rstrip('.')}; see {path} --help")


def _os_problem(wrong: OSError) -> str:
    what = wrong.strerror or type(wrong).__name__
    return f"{wrong.filename}: {what}" if wrong.filename else what


def _bug(wrong: Exception) -> int:
    if os.environ.get("TRIAGEDESK_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    return _complain(
        f"unexpected {type(wrong).__name__}; this is a bug in triagedesk (TRIAGEDESK_DEBUG=1 shows where)", BUG
    )


def _hang_up() -> int:
    """Send what is still buffered nowhere, so that the interpreter does not try again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return BROKEN_PIPE
