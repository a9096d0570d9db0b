"""`triagedesk playbook init|check|show`."""

from __future__ import annotations

import os
from pathlib import Path

from triagedesk.cli.terminal import inert_json, say
from triagedesk.errors import ConfigError
from triagedesk.playbook import DEFAULT, Playbook, load_playbook


def init(file: Path, *, force: bool) -> int:
    """Copy the bundled playbook to `file`. Raises ConfigError if something is there already."""
    try:
        with file.open("wb" if force else "xb") as stream:
            stream.write(DEFAULT.read_bytes())
    except FileExistsError:
        raise ConfigError(f"{file}: exists already; pass --force to replace it, or name another file") from None
    except OSError as wrong:
        raise ConfigError(f"{file}: {wrong.strerror}; name a file that can be written") from None
    made = load_playbook(file)
    say(f"wrote {file}, a copy of {made.identity}")
    if _copied(load_playbook(None).trained_file, made.trained_file, force=force):
        say(f"wrote {made.trained_file}, the trained classifier of these labels; after changing labels or rules, "
            "triagedesk train makes one anew")  # fmt: skip
    say(f"Next: edit it, then triagedesk playbook check {file}")
    return 0


def _copied(shipped: Path, beside: Path, *, force: bool) -> bool:
    """Copy the shipped classifier beside the new playbook; one that is there already stays, unless forced."""
    try:
        with beside.open("wb" if force else "xb") as stream:
            stream.write(shipped.read_bytes())
    except OSError:
        return False
    return True


def check(file: Path | None) -> int:
    """Print what the checks find: 1 if there are errors, 0 if there are none. Raises PlaybookError (exit code 2)."""
    from triagedesk.playbook.check import check as findings_of
    from triagedesk.policy import Policy

    playbook = load_playbook(_chosen(file))
    Policy(playbook)  # refuses what no desk could work with: targets, calendars, the queue template
    findings = findings_of(playbook)
    for finding in findings:
        where = f"{playbook.where}:{finding.line}" if finding.line else playbook.where
        say(f"{where}: {finding.severity}: {finding.kind}: {finding.rule}: {finding.message}")
    errors = sum(finding.severity == "error" for finding in findings)
    say(f"{playbook.identity}: {_count(playbook)}; {errors} errors, {len(findings) - errors} warnings")
    return 1 if errors else 0


def show(file: Path | None, *, as_json: bool) -> int:
    """Print a playbook as it stands, after a comment with its identity; or as JSON. Raises PlaybookError."""
    playbook = load_playbook(_chosen(file))
    if as_json:
        from pydantic_core import to_json

        data = {"identity": playbook.identity, "hash": playbook.hash, "document": playbook.document}
        print(inert_json(to_json(data, indent=2).decode()))  # noqa: T201 - every control is escaped
        return 0
    say(f"# {playbook.identity} (sha256 {playbook.hash}), {playbook.where}")
    for line in Path(playbook.where).read_text(encoding="utf-8").splitlines():
        say(line)
    return 0


def _chosen(file: Path | None) -> Path | None:
    """Take the file given, else the one that the environment sets, else the bundled one."""
    if file is None and os.environ.get("TRIAGEDESK_PLAYBOOK"):
        return Path(os.environ["TRIAGEDESK_PLAYBOOK"])
    return file


def _count(playbook: Playbook) -> str:
    document = playbook.document
    return f"{len(document.dimensions)} dimensions, {len(document.signals)} signals, {len(document.rules)} rules"
