"""The words of a pack: how several tickets stand in one request, and how their answers are told apart.

An id holds a hash of its ticket's words, so no ticket can name another's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Self, cast

from pydantic import PrivateAttr
from pydantic_core import from_json

from triagedesk.classifiers.answer import Answer, check_json
from triagedesk.errors import FallbackReason, ModelAnswerInvalid
from triagedesk.models import ModelAnswer
from triagedesk.playbook import Playbook
from triagedesk.prompts import Prompt


class PackedAnswers(Answer):
    """What a support lead says of each of several tickets."""

    _items: list[dict[str, Any]] = PrivateAttr()

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **_: Any) -> Self:
        """Read a list of answers; whether each fits is seen later, one by one.

        Raises ModelAnswerInvalid or ModelRefused, as for one answer.
        """
        text = json_data if isinstance(json_data, str) else json_data.decode()
        check_json(text)
        data = from_json(text)
        items = data.get("answers") if isinstance(data, dict) else None
        if not isinstance(items, list):
            raise ModelAnswerInvalid(FallbackReason.INVALID_OUTPUT, "it holds no list of answers")
        made = cast("Self", cls.model_construct())
        made._items = [item for item in items if isinstance(item, dict)]
        return made

    def by_id(self) -> dict[str, dict[str, Any]]:
        """Return the answers by their tickets' ids; of an id that stands twice none."""
        ids = [item.get("id") for item in self._items]
        return {
            name: {key: value for key, value in item.items() if key != "id"}
            for name, item in zip(ids, self._items, strict=True)
            if isinstance(name, str) and ids.count(name) == 1
        }


def packed_messages(prompt: Prompt, playbook: Playbook, note: str, size: int) -> list[dict[str, str]]:
    """Return everything before the tickets: the system prompt with the note, and the worked examples as packs."""
    messages = [{"role": "system", "content": f"{prompt.render(playbook)}\n\n{note}"}]
    turns = prompt.turns(playbook)
    for start in range(0, len(turns), size):
        group = turns[start : start + size]
        ids = [id_of(number, ticket) for number, (ticket, _) in enumerate(group, 1)]
        answers = ",".join(_with_id(name, answer) for name, (_, answer) in zip(ids, group, strict=True))
        messages += [
            {"role": "user", "content": together(ids, [ticket for ticket, _ in group])},
            {"role": "assistant", "content": f'{{"answers":[{answers}]}}'},
        ]
    return messages


def packed_kind(single: type[Answer], size: int) -> type[PackedAnswers]:
    """Build the response model: the same schema for every pack, whatever its size, for the sake of prefix caches."""
    one = single.schema_
    item = {**one, "properties": {"id": {"type": "string"}, **one["properties"]}, "required": ["id", *one["required"]]}
    item = {name: value for name, value in item.items() if name not in ("title", "description")}
    answers = {"type": "array", "items": item, "minItems": 1, "maxItems": size}
    base = {"__doc__": PackedAnswers.__doc__, "__module__": __name__}
    made = cast("type[PackedAnswers]", type("Triages", (PackedAnswers,), base))
    made.schema_ = {
        "title": "Triages", "description": PackedAnswers.__doc__, "type": "object",
        "properties": {"answers": answers}, "required": ["answers"], "additionalProperties": False,
    }  # fmt: skip
    return made


def id_of(number: int, question: str) -> str:
    """Return a ticket's id within its pack."""
    return f"{number}-{hashlib.blake2b(question.encode(), digest_size=2).hexdigest()}"


def together(ids: Sequence[str], questions: Sequence[str]) -> str:
    """Write several questions as one: canonical JSON, each ticket's id before its words."""
    tickets = ",".join(_with_id(name, question) for name, question in zip(ids, questions, strict=True))
    return f'{{"tickets":[{tickets}]}}'


def _with_id(name: str, text: str) -> str:
    return f'{{"id":"{name}",{text[1:]}'


_TYPOGRAPHY = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-"})


def plain(question: str) -> str:
    """Return a question's words, for a look at where quotes stand."""
    return _folded(" ".join(json.loads(question).values()))


def _folded(text: str) -> str:
    return " ".join(text.translate(_TYPOGRAPHY).casefold().split())


def is_strange(answer: ModelAnswer, own: str, others: Sequence[str]) -> bool:
    """Say if a quote stands in another ticket only, or none of them in this one."""
    quotes = [quote for said in answer.said.values() if (quote := _folded(said.quote))]
    found = [quote in own for quote in quotes]
    borrowed = any(not here and any(quote in other for other in others)
                   for quote, here in zip(quotes, found, strict=True))  # fmt: skip
    return borrowed or (bool(quotes) and not any(found))
