"""What is written back to a desk: labels as tags, reasons as a note, and what is measured well enough as fields."""

from __future__ import annotations

from triagedesk.errors import ConfigError
from triagedesk.models import Suggestion
from triagedesk.service.desks import note, payload
from triagedesk.service.desks.adapter import Change, Json, Request
from triagedesk.service.desks.levels import URGENCY, Levels, LevelTable
from triagedesk.service.desks.receive import ADAPTERS
from triagedesk.service.desks.settings import DeskSettings, Mode


def plan_writeback(
    desk: str, settings: DeskSettings, suggestion: Suggestion, levels: Levels, reference: Json
) -> tuple[Request, ...]:
    """Return the calls that write a suggestion back, in order; none in shadow, and none when the switch is off.

    `desk` is the name that the delivery came under (`Inbound.desk`), `reference` what came with it. Only labels of the
    suggestion, our tags and the reasons are ever written. Raises ConfigError where the settings are another desk's.
    """
    if desk != settings.name:
        raise ConfigError(f"desk {desk}: these are the settings of {settings.name}")
    modes = {name: levels.mode(name, suggestion) for name in suggestion.labels}
    told = [name for name, mode in modes.items() if mode is not Mode.SHADOW]
    if not told or settings.base_url is None:
        return ()
    applied = [name for name in told if modes[name] is Mode.APPLY]
    change = Change(
        tags=merged_tags(settings, suggestion, told, reference.get("tags")),
        note=note.lines(suggestion, told, applied),
        priority=_priority(settings, suggestion, levels) if URGENCY in applied else None,
        group=_group(settings, suggestion) if settings.group_by in applied else None,
        fields={settings.fields[name]: suggestion.labels[name].label for name in applied if name in settings.fields},
    )
    return ADAPTERS[settings.kind].requests(settings, change, reference)


def merged_tags(
    settings: DeskSettings, suggestion: Suggestion, dimensions: list[str], seen: list[str] | None
) -> tuple[str, ...]:
    """Return the tags that stood there but ours of an earlier time, then ours: the prefix, and one for each label."""
    kept = [tag for tag in seen or () if not payload.is_ours(settings, [tag])]
    made = [f"{settings.tag_prefix}_{name}_{suggestion.labels[name].label}" for name in dimensions]
    return tuple(dict.fromkeys((*kept, settings.tag_prefix, *made)))


def _priority(settings: DeskSettings, suggestion: Suggestion, levels: Levels) -> str | None:
    return level_table(settings, levels.urgencies).priority(suggestion.labels[URGENCY].label)


def level_table(settings: DeskSettings, urgencies: tuple[str, ...]) -> LevelTable:
    """Return a desk's table of urgencies and priorities."""
    return LevelTable(urgencies, ADAPTERS[settings.kind].priorities, settings.priorities)


def _group(settings: DeskSettings, suggestion: Suggestion) -> str | int | None:
    label = suggestion.labels[settings.group_by].label
    return settings.groups.get(suggestion.queue, settings.groups.get(label))
