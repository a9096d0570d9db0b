"""Labelled sets in other people's layouts: CSV with a column map, and public sets by name."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from triagedesk.errors import ConfigError
from triagedesk.evals.gold import parsed_lines
from triagedesk.models import Ticket

PUBLIC_ROOT = "TRIAGEDESK_EVAL_DATA"
"""The environment variable that names the folder of public sets."""

LABELS, OWN = "labels.", "fields."
FIELDS = (*(name for name in Ticket.model_fields if name not in ("fields", "messages")), "group")
"""What a column of a CSV file can be, besides labels.NAME and the desk's own fields.NAME."""


def csv_lines(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, Any]]:
    """Yield the records of a CSV file as gold values. `columns` maps our fields (`labels.urgency` too) to its columns.

    A record bears the number of its first line. Without a map, columns named like our fields are taken. Raises
    ConfigError when a column is missing, when the map names a field that no ticket has, or when this is no UTF-8 CSV.
    """
    for ours in columns:
        if ours not in FIELDS and not ours.startswith((LABELS, OWN)):
            raise ConfigError(f"columns.{ours}: is no field; there are {', '.join(FIELDS)}, labels.NAME, fields.NAME")
    try:
        stream = path.open(newline="", encoding="utf-8-sig")
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read ({wrong.strerror})") from None
    with stream:
        line = 0
        try:
            sample = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max((",", ";", "\t"), key=sample.count), strict=True)
            present = next(reader, [])
            given = columns or {name: name for name in present}
            _check(path, given, present)
            line = reader.line_num
            for record in reader:
                first, line = line + 1, reader.line_num
                if record:
                    values = dict(zip(present, record, strict=False))
                    yield first, _gold({ours: values.get(theirs) or "" for ours, theirs in given.items()})
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
        except csv.Error as wrong:
            raise ConfigError(f"{path}: line {line + 1}: is not CSV ({wrong})") from None


def _check(path: Path, columns: Mapping[str, str], present: Any) -> None:
    if not present:
        raise ConfigError(f"{path}: holds no labelled ticket")
    missing = [theirs for theirs in columns.values() if theirs not in present]
    if missing:
        raise ConfigError(f"{path}: has no column {missing[0]!r}; it has {', '.join(present)}")
    if "body" not in columns or not any(ours.startswith(LABELS) for ours in columns):
        raise ConfigError(f"{path}: map a column to body and one to labels.urgency (or another dimension)")


def _gold(values: Mapping[str, str]) -> dict[str, Any]:
    ticket = {
        name.removeprefix(OWN): value
        for name, value in values.items()
        if value and not name.startswith(LABELS) and name != "group"
    }
    labels = {name.removeprefix(LABELS): value for name, value in values.items() if name.startswith(LABELS) and value}
    return {"ticket": ticket, "labels": labels, "group": values.get("group") or None}


class Public(NamedTuple):
    """A public set: its file under the folder of public sets, and how a line becomes a gold value."""

    file: str
    adapt: Callable[[Any], Any]


def slug(label: str) -> str:
    """Return a label as a playbook writes it: lower case, digits and underscores."""
    kept = "".join(char.lower() if char.isalnum() and char.isascii() else "_" for char in label)
    name = "_".join(part for part in kept.split("_") if part)
    return name if name[:1].isalpha() else f"l_{name}"


def _intent(value: Any) -> Any:
    """Read `{"id", "body", "labels": {"intent": …}}`: the intent is the issue type."""
    return {"ticket": {"id": value["id"], "body": value["body"]},
            "labels": {"issue_type": slug(value["labels"]["intent"])}}  # fmt: skip


def _shop_intent(value: Any) -> Any:
    """Read an intent of one of HINT3's shops; the shop becomes a trait, so that each is a slice of its own."""
    return {**_intent(value), "traits": [slug(value["shop"])]}


def _facility(value: Any) -> Any:
    """Read a facility company's mail: urgency, sentiment, and its category as the issue where it has but one."""
    subject, _, body = str(value["body"]).partition("\n\n")
    ticket = {"id": value["id"], "subject": subject.removeprefix("Subject: "), "body": body, "channel": "email"}
    return {"ticket": ticket, "labels": _facility_labels(value["labels"])}


def _facility_labels(labels: Mapping[str, Any]) -> dict[str, str]:
    found = {name: slug(str(labels[name])) for name in ("urgency", "sentiment") if labels.get(name)}
    categories = labels.get("categories") or ()
    held = [name for name in categories if categories[name]] if isinstance(categories, Mapping) else list(categories)
    return {**found, **({"issue_type": slug(str(held[0]))} if len(held) == 1 else {})}


PUBLIC = {
    "banking77": Public("banking77/train.jsonl", _intent),
    "dstc11": Public("dstc11/development.jsonl", _intent),
    "hint3": Public("hint3/train.jsonl", _shop_intent),
    "facility_support": Public("facility_support/dev.jsonl", _facility),
}


def public_set(path: Path) -> Public | None:
    """Return the public set whose file this is, by the last two parts of its path, or None."""
    return next((each for each in PUBLIC.values() if path.parts[-2:] == tuple(each.file.split("/"))), None)


def adapted(path: Path, adapt: Callable[[Any], Any]) -> Iterator[tuple[int, Any]]:
    """Yield the lines of a public set as gold values; a line laid out otherwise yields a ValueError."""
    for number, value in parsed_lines(path):
        if isinstance(value, ValueError):
            yield number, value
            continue
        try:
            yield number, adapt(value)
        except (KeyError, TypeError, AttributeError):
            yield number, ValueError("is not laid out like this public set")
