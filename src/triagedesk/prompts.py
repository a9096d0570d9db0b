"""The prompt: a template file with front matter, rendered once per playbook.

The static part comes first and the ticket last, so that prefix caches of providers and of llama.cpp hit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from triagedesk.errors import ConfigError
from triagedesk.models import Frozen, Said, one_line
from triagedesk.playbook import Dimension, Playbook

MAX_BYTES = 200_000
_PLACES = ("{{dimensions}}", "{{examples}}")


class ExampleTicket(Frozen):
    """The ticket of a worked example, as a model sees tickets."""

    subject: str = ""
    body: str


class Example(Frozen):
    """A worked example: a ticket, and the answer that a good model gives."""

    ticket: ExampleTicket
    answer: dict[str, Said]
    secondary_issues: tuple[str, ...] = ()


class Front(Frozen):
    """The front matter of a template."""

    name: str
    version: str
    examples: tuple[Example, ...] = ()


class Prompt:
    """A template, ready to render. `identity` is name@hash12; the hash covers the file's bytes."""

    def __init__(self, front: Front, template: str, source: bytes) -> None:
        self.name, self.version = front.name, front.version
        self.identity = f"{front.name}@{hashlib.sha256(source).hexdigest()[:12]}"
        self._front, self._template = front, template

    def render(self, playbook: Playbook) -> str:
        """Return the system prompt: the task, every dimension that the model is asked, and partial examples."""
        asked = {name: item for name, item in playbook.dimensions.items() if item.ask_model}
        partial = [_worked(example, asked) for example in self._usable(asked) if not _covers(example, asked)]
        shown = "\n".join(f"{ticket}\n{answer}" for ticket, answer in partial)
        text = self._template.replace(_PLACES[0], "\n\n".join(_asked(name, item) for name, item in asked.items()))
        return text.replace(_PLACES[1], f"Examples (some keys left out):\n{shown}" if shown else "").strip()

    def turns(self, playbook: Playbook) -> tuple[tuple[str, str], ...]:
        """Return the worked examples that answer every dimension asked, as (user, assistant) turns.

        An example that uses a label which the playbook does not know is left out.
        """
        asked = {name: item for name, item in playbook.dimensions.items() if item.ask_model}
        return tuple(_worked(example, asked) for example in self._usable(asked) if _covers(example, asked))

    def messages(self, playbook: Playbook) -> list[dict[str, str]]:
        """Return everything that stands before the ticket: the system prompt and the worked examples as turns."""
        messages = [{"role": "system", "content": self.render(playbook)}]
        for ticket, answer in self.turns(playbook):
            messages += [{"role": "user", "content": ticket}, {"role": "assistant", "content": answer}]
        return messages

    def _usable(self, asked: dict[str, Dimension]) -> Iterator[Example]:
        for example in self._front.examples:
            known = {name: said for name, said in example.answer.items() if name in asked}
            labels_known = all(said.label in asked[name].names for name, said in known.items())
            issues = asked["issue_type"].names if "issue_type" in asked else example.secondary_issues
            if known and labels_known and set(example.secondary_issues) <= set(issues):
                yield example


def question_json(subject: str, body: str, **more: str | None) -> str:
    """Write a ticket as the model sees it: canonical JSON of its text, nothing of its metadata."""
    ticket = {"subject": subject, "body": body, **{key: value for key, value in more.items() if value}}
    return json.dumps(ticket, ensure_ascii=False, separators=(",", ":"))


def _covers(example: Example, asked: dict[str, Dimension]) -> bool:
    return asked.keys() <= example.answer.keys()


def _worked(example: Example, asked: dict[str, Dimension]) -> tuple[str, str]:
    answer: dict[str, Any] = {
        name: _in_order(example.answer[name]) for name in asked if name in example.answer
    }  # fmt: skip
    if "issue_type" in asked:
        answer["secondary_issues"] = example.secondary_issues
    said = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return question_json(example.ticket.subject, example.ticket.body), said


def _in_order(said: Said) -> dict[str, Any]:
    """Quote and reason stand before the label, as in the schema."""
    factor = {"factor": said.factor} if said.factor else {}
    return {"quote": said.quote, "reason": said.reason, **factor, "label": said.label, "confidence": said.confidence}


def _asked(name: str, dimension: Dimension) -> str:
    rows = [f"{name}: {dimension.description.strip()}"]
    for label in dimension.labels:
        examples = f" E.g. {'; '.join(label.examples[:2])}" if label.examples else ""
        rows.append(f"- {label.name}: {' '.join(label.description.split())}{examples}")
    return "\n".join(rows)


def load_prompt(path: Path | None = None) -> Prompt:
    """Load a template file, or the one that ships.

    Raises ConfigError with one line that names the file and what to do.
    """
    where = str(path) if path is not None else "prompts/classify.md"
    try:
        source = path.read_bytes() if path is not None else _shipped("classify.md")
    except OSError as wrong:
        raise ConfigError(f"{where}: cannot be read ({wrong.strerror}); give a prompt file that exists") from None
    return _parse(source, where)


def load_pack_note() -> tuple[str, str]:
    """Return what follows the system prompt where several tickets share a request, and its identity as name@hash12."""
    source = _shipped("pack.md")
    head, _, text = source.decode("utf-8").removeprefix("---\n").partition("\n---\n")
    name = yaml.safe_load(head)["name"]
    return text.strip(), f"{name}@{hashlib.sha256(source).hexdigest()[:12]}"


def _shipped(name: str) -> bytes:
    """Read a template out of the wheel, else out of the checkout."""
    packaged = files("triagedesk") / "_prompts" / name
    if packaged.is_file():
        return packaged.read_bytes()
    return (Path(__file__).parents[2] / "prompts" / name).read_bytes()


def _parse(source: bytes, where: str) -> Prompt:
    try:
        text = source[: MAX_BYTES + 1].decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: is not UTF-8 text") from None
    if len(source) > MAX_BYTES:
        raise ConfigError(f"{where}: is larger than {MAX_BYTES // 1000} kB")
    head, mark, template = text.removeprefix("---\n").partition("\n---\n")
    if not text.startswith("---\n") or not mark:
        raise ConfigError(f"{where}: starts with front matter between two lines of ---, holding name and version")
    if _PLACES[0] not in template:
        raise ConfigError(f"{where}: lacks {_PLACES[0]}, the place where the playbook's labels go")
    return Prompt(_front(head, where), template, source)


def _front(head: str, where: str) -> Front:
    try:
        return Front.model_validate(yaml.safe_load(head))
    except ValidationError as wrong:
        raise ConfigError(f"{where}: {one_line(wrong)}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as wrong:
        line = getattr(getattr(wrong, "problem_mark", None), "line", None)
        place = f" (line {line + 2})" if isinstance(line, int) else ""
        raise ConfigError(f"{where}: front matter is not YAML that can be read{place}") from None
