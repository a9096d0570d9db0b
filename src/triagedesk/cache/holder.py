"""Who holds a claim: a name that another process on this machine can tell to be gone."""

from __future__ import annotations

import os
import secrets


def new_holder() -> str:
    """Return a name for this process, unlike any other's: where its number counts, its number, and chance."""
    return f"{_where()} {os.getpid()} {secrets.token_hex(16)}"


def is_gone(holder: object) -> bool:
    """Say if a holder was a process of this machine and has ended: killed, it could not give back what it held."""
    where, _, rest = holder.rpartition(" ")[0].rpartition(" ") if isinstance(holder, str) else ("", "", "")
    if not where or where != _where() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # somebody else's process
    return False


def _where() -> str:
    """Name the space in which process numbers count: this machine's, or this container's; empty if unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            return f"{boot.read().strip()}{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
