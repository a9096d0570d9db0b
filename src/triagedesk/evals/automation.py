"""The automation section of a playbook file, written without touching the rest of its text."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from triagedesk.errors import ConfigError, PlaybookError
from triagedesk.evals.calibrate import Basis
from triagedesk.evals.thresholds import Level, Levels
from triagedesk.playbook import Playbook, load_playbook
from triagedesk.playbook.load import parse_playbook

KEY = "automation:"
COMMENT = "# From which measured confidence labels are applied without a person, or suggested: eval threshold"


def write_levels(
    file: Path, levels: Mapping[str, Levels], basis: Basis, *, max_risk: float, suggest_risk: float
) -> Playbook:
    """Write levels into a playbook file and return the playbook that it holds now.

    Raises ConfigError when the playbook is another than the one measured, when it cannot be written, or when its layout
    does not allow it: the file is left as it was then.
    """
    before = load_playbook(file)
    if before.reading_hash != basis.reading:
        raise ConfigError(f"{file}: is not the playbook that {basis.folder} was made with; give that or a copy of it")
    section = section_of(levels, basis, max_risk=max_risk, suggest_risk=suggest_risk)
    source = with_section(file.read_bytes().decode("utf-8"), section).encode("utf-8")
    try:
        after = parse_playbook(source, where=str(file))
    except PlaybookError:
        after = None
    if after is None or after.reading_hash != before.reading_hash or set(after.document.automation) != set(levels):
        raise ConfigError(f"{file}: its layout does not allow to write into it; add by hand: {' '.join(section)}")
    target = file.resolve()
    draft = target.with_name(f".{target.name}.draft")
    try:
        draft.write_bytes(source)
        shutil.copymode(target, draft)
        os.replace(draft, target)
    except OSError as wrong:
        raise ConfigError(f"{file}: cannot be written ({wrong.strerror})") from None
    return load_playbook(file)


def section_of(levels: Mapping[str, Levels], basis: Basis, *, max_risk: float, suggest_risk: float) -> list[str]:
    """Return the section's lines."""
    lines = [KEY]
    for name, found in levels.items():
        lines.append(
            f"  {name}: {{apply: {_written(found.apply)}, suggest: {_written(found.suggest)}, max_risk: {max_risk:g}, "
            f"suggest_risk: {suggest_risk:g}, coverage: {found.apply.coverage:.2f}, "
            f"measured_on: {json.dumps(basis.measured_on)}}}"
        )
    return lines


def _written(level: Level) -> str:
    return f"{level.at:.2f}" if level.holds else "never"


def with_section(text: str, section: list[str]) -> str:
    """Return a playbook's text with its automation section in place, or at the end where there was none."""
    feed = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if line.startswith(KEY)), None)
    written = [line + feed for line in section]
    if start is None:
        end = "" if not text or text.endswith(("\n", "\r")) else feed
        return text + end + feed + COMMENT + feed + "".join(written)
    stop = start + 1
    for i in range(start + 1, len(lines)):
        if lines[i].startswith((" ", "\t")) and lines[i].strip():
            stop = i + 1
        elif lines[i].strip():
            break
    return "".join((*lines[:start], *written, *lines[stop:]))
