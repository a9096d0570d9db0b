"""The lexicon that ships: what the default signals look like in each language, one file a language.

A playbook that says `lexicon: default` builds on it and adds patterns of its own; the files are read when a text first
shows their language, and their bytes are part of the playbook's hash.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from triagedesk.errors import PlaybookError
from triagedesk.models import Frozen, one_line
from triagedesk.playbook.document import Document
from triagedesk.playbook.rulebook import Negation, Signal

FOLDER = Path(__file__).with_name("lexicon")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Entry(Frozen):
    """How one signal is said in one language, and where such a match does not count."""

    patterns: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


class Page(Frozen):
    """One language: its signals, and the words that negate, merely talk about labels, or lead a report in."""

    language: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    asides: tuple[str, ...] = ()
    lead_ins: tuple[str, ...] = ()
    signals: dict[str, Entry] = Field(default_factory=dict)


def languages() -> tuple[str, ...]:
    """Return the languages that the lexicon holds."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.yaml")))


def digest() -> bytes:
    """Return a hash over all pages, in order."""
    whole = hashlib.sha256()
    for language in languages():
        whole.update(_file(language).read_bytes())
    return whole.digest()


@lru_cache(maxsize=64)
def page(language: str) -> Page:
    """Read one language's page. Raises PlaybookError when the installed file is damaged."""
    file = _file(language)
    try:
        return Page.model_validate(yaml.load(file.read_bytes(), Loader=_LOADER))  # noqa: S506 - a safe loader, in C
    except ValidationError as wrong:
        raise PlaybookError(f"is damaged ({one_line(wrong)}); install triagedesk anew", where=str(file)) from None
    except (yaml.YAMLError, OSError):
        raise PlaybookError("cannot be read; install triagedesk anew", where=str(file)) from None


def written_out(document: Document) -> Document:
    """Return the document with every pattern of its lexicon in place, as if it had been written into it."""
    if document.lexicon is None:
        return document
    pages = [page(language) for language in languages()]
    signals = {name: _with_pages(name, signal, pages) for name, signal in document.signals.items()}
    negation = document.negation
    negation = Negation(
        before=_joined(negation.before, {page.language: page.before for page in pages}),
        after=_joined(negation.after, {page.language: page.after for page in pages}),
        asides=_joined(negation.asides, {page.language: page.asides for page in pages}),
        lead_ins=_joined(negation.lead_ins, {page.language: page.lead_ins for page in pages}),
    )
    return document.model_copy(update={"signals": signals, "negation": negation})


def _with_pages(name: str, signal: Signal, pages: list[Page]) -> Signal:
    entries = {page.language: page.signals.get(name, Entry()) for page in pages}
    return signal.model_copy(
        update={
            "patterns": _joined(signal.patterns, {language: entry.patterns for language, entry in entries.items()}),
            "unless": _joined(signal.unless, {language: entry.unless for language, entry in entries.items()}),
        }
    )


def _joined(own: dict[str, tuple[str, ...]], shipped: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    joined = {language: own.get(language, ()) + shipped.get(language, ()) for language in {**own, **shipped}}
    return {language: patterns for language, patterns in joined.items() if patterns}


def _file(language: str) -> Path:
    return FOLDER / f"{language}.yaml"
