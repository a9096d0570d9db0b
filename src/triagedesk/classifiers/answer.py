"""The shape in which a model must answer, built once per playbook: quote and reason first, then the label.

instructor finds a finished schema on it and so builds no class per call (PERFORMANCE: 1.24 became 0.83 of the SDK's
own parsing), and no fields, because it walks them and all that is below them four times a call. Whatever does not fit
leaves as one of our errors, which says the problem without the model's words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, NotRequired, Self, cast

from instructor import OpenAISchema
from pydantic import ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic asks for this one below Python 3.12

from triagedesk.errors import FallbackReason, ModelAnswerInvalid, ModelError, ModelRefused
from triagedesk.models import Said
from triagedesk.playbook import Playbook

MAX_QUOTE_CHARS = 160
MAX_REASON_CHARS = 160
"""What the schema asks for. A server that does not hold the model to it may send up to twice as much."""

MAX_SECONDARY = 3
FACTORS = ("impact", "customer_value", "time")
_CONFIG = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)


class Answer(OpenAISchema):
    """What a support lead says of one ticket."""

    schema_: ClassVar[dict[str, Any]] = {}
    names: ClassVar[tuple[str, ...]] = ()
    schema_hash: ClassVar[str] = ""
    reader: ClassVar[TypeAdapter[dict[str, Any]]]
    _found: dict[str, Any] = PrivateAttr()

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the schema that was computed when the class was built."""
        return cls.schema_

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **_: Any) -> Self:
        """Read an answer.

        Raises ModelAnswerInvalid if the model may mend it, ModelRefused (bad_reply, incomplete) if asking again is
        of no use. Neither holds a word of the answer.
        """
        text = json_data if isinstance(json_data, str) else json_data.decode()
        check_json(text)
        try:
            found = cls.reader.validate_json(text, strict=True)
        except ValidationError as wrong:
            raise _invalid(_problem(wrong, cls.names)) from None
        made = cast("Self", cls.model_construct())
        made._found = found
        return made

    def said(self) -> dict[str, Said]:
        """Return what was said in each dimension, as plain models."""
        return {name: _plain(self._found[name]) for name in self.names}

    def other_issues(self) -> tuple[str, ...]:
        """Return the secondary issues: each once, without the main one."""
        label = self._found["issue_type"]["label"] if "issue_type" in self._found else None
        return tuple(dict.fromkeys(name for name in self._found.get("secondary_issues", ()) if name != label))


def answer_model(playbook: Playbook) -> type[Answer]:
    """Build the response model of a playbook. Its `schema_hash` names the schema."""
    asked = {name: item for name, item in playbook.dimensions.items() if item.ask_model}
    fields: dict[str, Any] = {name: _dimension_type(name, item.names) for name, item in asked.items()}
    if "issue_type" in asked:
        issue = _literal(asked["issue_type"].names)
        fields["secondary_issues"] = NotRequired[Annotated[list[issue], Field(max_length=MAX_SECONDARY)]]  # type: ignore[valid-type]
    made = cast("type[Answer]", type("Triage", (Answer,), {"__doc__": Answer.__doc__, "__module__": __name__}))
    made.reader = TypeAdapter(_closed("Triage", fields))
    made.schema_ = _wire_schema({name: item.names for name, item in asked.items()})
    made.names = tuple(asked)
    made.schema_hash = hashlib.sha256(json.dumps(made.schema_).encode()).hexdigest()
    return made


def _literal(labels: Iterable[str]) -> Any:
    return Literal[tuple(labels)]


def _dimension_type(name: str, labels: tuple[str, ...]) -> Any:
    """Build the type of one dimension's answer."""
    fields: dict[str, Any] = {
        "quote": Annotated[str, Field(max_length=2 * MAX_QUOTE_CHARS)],
        "reason": Annotated[str, Field(max_length=2 * MAX_REASON_CHARS)],
        "label": _literal(labels),
        "confidence": Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)],
    }
    if name == "urgency":
        fields["factor"] = NotRequired[_literal(FACTORS) | None]
    return _closed(f"Said_{name}", fields)


def _closed(name: str, fields: dict[str, Any]) -> Any:
    """Build a typed dict that takes no other keys."""
    made: Any = TypedDict(name, fields)  # type: ignore[misc]  # mypy wants a literal
    made.__pydantic_config__ = _CONFIG  # type: ignore[attr-defined]
    return made


def _wire_schema(asked: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Write the schema by hand: no $ref, no default, every key required, in the order in which to think."""
    properties: dict[str, Any] = {name: _dimension_schema(name, labels) for name, labels in asked.items()}
    if "issue_type" in asked:
        items = {"type": "string", "enum": list(asked["issue_type"])}
        properties["secondary_issues"] = {"type": "array", "items": items, "maxItems": MAX_SECONDARY}
    return {"title": "Triage", "description": Answer.__doc__, **_object(properties)}


def _dimension_schema(name: str, labels: tuple[str, ...]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "quote": {"type": "string", "maxLength": MAX_QUOTE_CHARS},
        "reason": {"type": "string", "maxLength": MAX_REASON_CHARS},
    }
    if name == "urgency":
        properties["factor"] = {"type": "string", "enum": list(FACTORS)}
    properties["label"] = {"type": "string", "enum": list(labels)}
    properties["confidence"] = {"type": "number", "minimum": 0, "maximum": 1}
    return _object(properties)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def _plain(said: dict[str, Any]) -> Said:
    return Said(
        label=said["label"], confidence=said["confidence"], reason=said["reason"].strip(),
        quote=said["quote"].strip(), factor=said.get("factor"),
    )  # fmt: skip


class _TwiceError(Exception):
    """A key stands twice in one object."""


class _UncleanError(Exception):
    """A string holds a control character or half a surrogate pair."""


def check_json(text: str) -> None:
    """Refuse what a JSON parser lets pass: a key that stands twice, NaN, strings that no database can hold.

    Raises ModelAnswerInvalid or ModelRefused.
    """
    try:
        json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant)
    except _TwiceError:
        raise _invalid("a key stands twice in one object") from None
    except (_UncleanError, RecursionError):
        raise ModelRefused(FallbackReason.BAD_REPLY, "the answer holds what JSON should not") from None
    except json.JSONDecodeError as wrong:
        raise _broken(text, wrong) from None
    except ValueError:  # a number with more digits than Python converts, or NaN
        raise _invalid("it holds a number that is none") from None


def _broken(text: str, wrong: json.JSONDecodeError) -> ModelError:
    if text.lstrip()[:1] == "{" and (wrong.pos >= len(text.rstrip()) or wrong.msg.startswith("Unterminated")):
        return ModelRefused(FallbackReason.INCOMPLETE, "the answer breaks off; raise max_completion_tokens")
    return _invalid("it is not one JSON object")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    for value in found.values():
        if isinstance(value, str) and not value.isprintable() and not _storable(value):
            raise _UncleanError
    return found


def _storable(text: str) -> bool:
    return all(("\ud800" > char >= " ") or char > "\udfff" or char in "\n\r\t" for char in text)


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _invalid(problem: str) -> ModelAnswerInvalid:
    return ModelAnswerInvalid(FallbackReason.INVALID_OUTPUT, problem)


_FIELDS = frozenset({"quote", "reason", "factor", "label", "confidence", "secondary_issues"})


def _problem(wrong: ValidationError, names: tuple[str, ...]) -> str:
    """Say what does not fit, in names of the schema only: a key that the model made up may hold ticket text."""
    problems = []
    for error in wrong.errors(include_url=False, include_input=False, include_context=False)[:3]:
        path = [str(part) for part in error["loc"] if isinstance(part, int) or part in _FIELDS or part in names]
        made_up = error["type"] == "extra_forbidden"
        problems.append(f"{'.'.join(path) or 'answer'}: {'unknown key' if made_up else error['msg']}")
    return "; ".join(problems)
