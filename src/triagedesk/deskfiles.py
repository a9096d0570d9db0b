"""What a desk reads before it opens: playbook, measured confidences, and what was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from triagedesk.logs import get_logger
from triagedesk.playbook import Playbook, load_playbook
from triagedesk.second_line import SecondLine, open_second_line
from triagedesk.settings import Settings

if TYPE_CHECKING:
    from triagedesk.confidence import Entry

Calibrations = dict[tuple[str | None, str | None], "Entry"]
"""What was measured, by model and prompt of who answered."""

RULES: tuple[str | None, str | None] = (None, None)
"""Where the rules' calibration stands: they answer without model and prompt."""


class DeskFiles(NamedTuple):
    """All that is read from files; the prompt is the model's."""

    playbook: Playbook
    calibrations: Calibrations | None
    second_line: SecondLine


def read_files(settings: Settings) -> DeskFiles:
    """Read playbook, calibration and what was trained: of a large playbook that takes a second. Raises ConfigError."""
    playbook = load_playbook(settings.playbook)
    measured = calibrations(settings, playbook)
    rules_measured = measured.get(RULES) if measured else None
    return DeskFiles(playbook, measured, open_second_line(settings, playbook, rules_measured))


def calibrations(settings: Settings, playbook: Playbook) -> Calibrations | None:
    """Read what was measured of this playbook's confidences, where a file is set or stands beside the playbook."""
    file = settings.calibration or playbook.calibration_file
    if settings.calibration is None and not file.is_file():
        return None
    from triagedesk.confidence import read_calibration  # most desks have no such file

    found = read_calibration(file).for_playbook(playbook.reading_hash)
    if not found:
        get_logger("desk").info("calibration ignored", file=str(file), reason="measured with another playbook")
    return found
