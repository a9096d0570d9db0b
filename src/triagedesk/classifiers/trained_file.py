"""The file of a trained classifier: one safetensors file, its manifest in the header, and a seal over both.

Nothing in it can run: tensors of whole numbers, and JSON. It holds hashed features, no word of any ticket.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from triagedesk.classifiers.ngrams import Codes
from triagedesk.classifiers.vectors import Vocabulary, buckets
from triagedesk.errors import ConfigError
from triagedesk.models import Frozen
from triagedesk.playbook import Playbook

FORMAT = 1
MAX_BYTES = 64 * 1024 * 1024
MOST = 1_000.0
"""Of a weight, a bias or a scale: hundreds of times what training finds, and far from where sums overflow."""
_KEY, _SEAL = "triagedesk", "sha256"
_KINDS = {"ids": "U32", "idf": "U16", "scales": "F32", "weights": "I8"}
"""The tensors and their kinds of numbers, by the names of the safetensors format."""

Weight = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
Bias = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Line = Annotated[str, Field(pattern=r"^[^\pC\p{Zl}\p{Zp}]{1,200}$")]


class TrainingFile(Frozen):
    """A labelled file that the classifier was trained on: its name without folders, its hash, its rows."""

    name: str
    sha256: str
    rows: int = Field(ge=1)
    role: Literal["words", "words and confidence"]


class Head(Frozen):
    """How one dimension is decided: score = words · z + rules · votes + bias, over labels in the playbook's order.

    z are the words' logits, votes what the playbook's rules gave each label. The softmax of the score is the
    probability of each label, fitted by cross-validation on tickets that the words had not seen. `eager` is added to
    the score of an ordinal dimension's first label when the label is chosen, not when its probability is told.
    Below `defer_below` the rules' label stands: the one rule that chooses between the two. `shares` is how frequent
    each label was in training, which is all that is known of a ticket that nothing speaks in.
    """

    labels: tuple[Line, ...]
    words: Weight
    rules: Weight
    bias: tuple[Bias, ...]
    shares: tuple[Share, ...]
    eager: Weight = 0.0
    defer_below: Share = 0.0
    rows: int = Field(ge=1)
    measured: dict[str, FiniteFloat] = Field(
        default_factory=dict, description="by cross-validation: see triagedesk.training"
    )

    @model_validator(mode="after")
    def _whole(self) -> Head:
        if not 2 <= len(self.labels) == len(self.bias) == len(self.shares):
            raise ValueError("a dimension wants two labels at least, and a bias and a share for each")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label stands twice in a dimension")
        return self


class Manifest(Frozen):
    """What a trained classifier is, for whom it holds and what it came from."""

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9_.\-]{1,60}$")
    playbook: Line
    labels_sha256: str
    heads: dict[str, Head] = Field(min_length=1)
    settings: dict[str, FiniteFloat]
    trained_on: tuple[TrainingFile, ...]
    seed: int
    versions: dict[str, str]


@dataclass(frozen=True, eq=False)
class TrainedFile:
    """A manifest and its tensors. `weights` has shape (features, all labels), `scales` one number a label.

    The labels' columns stand by dimension, and these in the order of their names.
    """

    manifest: Manifest
    vocabulary: Vocabulary
    weights: NDArray[np.int8]
    scales: NDArray[np.float32]

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors by name."""
        return {"ids": self.vocabulary.ids, "idf": self.vocabulary.idf, "scales": self.scales, "weights": self.weights}

    @property
    def identity(self) -> str:
        """NAME@hash8 of what it is."""
        return f"{self.manifest.name}@{seal(self.manifest, self.tensors)[:8]}"


def labels_hash(playbook: Playbook, dimensions: list[str]) -> str:
    """Return the hash of some dimensions' labels in their order: what a classifier must share with a playbook."""
    held = {name: list(playbook.dimensions[name].names) for name in dimensions}
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def seal(manifest: Manifest, tensors: dict[str, NDArray[Any]]) -> str:
    """Return the SHA-256 over manifest and tensors. It shows damage; it is no signature."""
    told = hashlib.sha256(_json(manifest))
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        told.update(f"{name}:{tensor.dtype.str}:{tensor.shape};".encode())
        told.update(tensor.tobytes())
    return told.hexdigest()


def to_bytes(file: TrainedFile) -> bytes:
    """Return the file's bytes: the same model, the same bytes."""
    from safetensors.numpy import save

    # one key alone: the order of several is not fixed
    told = {"manifest": json.loads(_json(file.manifest)), _SEAL: seal(file.manifest, file.tensors)}
    return save(file.tensors, metadata={_KEY: json.dumps(told, sort_keys=True)})


def read_trained(path: Path) -> TrainedFile:
    """Read a trained classifier. Raises ConfigError with one line where it cannot be used."""
    try:
        if path.exists() and not path.is_file():  # a pipe would keep us waiting
            raise ConfigError(f"{path}: is no regular file; give a file that `triagedesk train` wrote")
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: is larger than {MAX_BYTES >> 20} MB; give a file that `triagedesk train` wrote")
        metadata, tensors = _opened(path)
    except OSError as wrong:
        why = wrong.strerror or "it is no usable file"
        raise ConfigError(f"{path}: cannot be read ({why}); `triagedesk train` writes it") from None
    return _checked(path, metadata, tensors)


def _opened(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            kinds = {name: stream.get_slice(name).get_dtype() for name in stream.keys()}  # noqa: SIM118
            if kinds != _KINDS:  # asked first: NumPy has no name for some kinds, and the library fails on them
                raise _foreign(path)
            return stream.metadata() or {}, {name: stream.get_tensor(name) for name in kinds}
    except SafetensorError:
        raise ConfigError(f"{path}: is cut off or no safetensors file; train it again or copy it anew") from None


def _foreign(path: Path) -> ConfigError:
    return ConfigError(f"{path}: was not written by `triagedesk train`; give a file that was")


def _checked(path: Path, metadata: dict[str, str], tensors: dict[str, NDArray[Any]]) -> TrainedFile:
    if _KEY not in metadata:
        raise _foreign(path)
    try:
        told = json.loads(metadata[_KEY])
        manifest, sealed = Manifest.model_validate(told["manifest"]), told[_SEAL]
    except ValidationError as wrong:
        raise ConfigError(f"{path}: its manifest cannot be used ({_problems(wrong)}); train it again") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _foreign(path) from None
    if seal(manifest, tensors) != sealed:
        raise ConfigError(f"{path}: was changed after it was written (its seal is broken); train it again")
    _fitting(path, manifest, tensors)
    vocabulary = Vocabulary(tensors["ids"], tensors["idf"])
    return TrainedFile(manifest, vocabulary, tensors["weights"], tensors["scales"])


def _fitting(path: Path, manifest: Manifest, tensors: dict[str, NDArray[Any]]) -> None:
    """Raise ConfigError where tensors and manifest do not belong together."""
    features, labels = tensors["ids"].size, sum(len(head.labels) for head in manifest.heads.values())
    shapes = {"ids": (features,), "idf": (features,), "scales": (labels,), "weights": (features, labels)}
    if any(tensors[name].shape != shape for name, shape in shapes.items()) or not _in_order(tensors["ids"]):
        raise ConfigError(f"{path}: its tensors do not fit its manifest; train it again")
    scales = tensors["scales"]
    if not ((scales >= 0) & (scales <= MOST)).all():  # false of what is no number, too
        raise ConfigError(f"{path}: its scales are out of bounds; train it again")


def _problems(wrong: ValidationError) -> str:
    """Say what is wrong with a manifest; a name that the file itself brought is not repeated."""
    known = {*Manifest.model_fields, *Head.model_fields, *TrainingFile.model_fields}
    errors = wrong.errors(include_url=False, include_input=False, include_context=False)
    places = [".".join(str(part) for part in error["loc"] if part in known) for error in errors]
    said = [error["msg"].removeprefix("Value error, ") for error in errors]
    return "; ".join([f"{place}: {why}" for place, why in dict.fromkeys(zip(places, said, strict=True))][:3])


def _in_order(ids: Codes) -> bool:
    """Say whether there are features, rising, one a bucket."""
    held = buckets(ids).astype(np.int64)
    return len(ids) > 0 and bool((np.diff(held) > 0).all())


def check_fits(path: Path, manifest: Manifest, playbook: Playbook) -> None:
    """Raise ConfigError where a classifier was trained for other labels than the playbook's."""
    known = manifest.heads.keys() <= playbook.dimensions.keys()
    if (
        not known
        or labels_hash(playbook, list(manifest.heads)) != manifest.labels_sha256
        or any(head.labels != tuple(playbook.dimensions[name].names) for name, head in manifest.heads.items())
    ):
        raise ConfigError(
            f"{path}: was trained for other labels ({manifest.playbook}) than {playbook.identity} has; "
            "train it again with this playbook"
        )


def _json(manifest: Manifest) -> bytes:
    return json.dumps(manifest.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
