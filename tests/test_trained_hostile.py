"""Files that an attacker made for the trained classifier, each with a seal that holds: refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from trained_parts import opinion, playbook
from triagedesk.classifiers.trained import load_trained
from triagedesk.classifiers.trained_file import read_trained
from triagedesk.errors import ConfigError

Told = dict[str, Any]
Tensors = dict[str, np.ndarray[Any, Any]]


def forged(path: Path, change: Callable[[Told, Tensors], object]) -> Path:
    """Write the shipped classifier, changed, under a seal that fits the change."""
    shipped = read_trained(Path(str(playbook().trained_file)))
    told, tensors = shipped.manifest.model_dump(mode="json"), dict(shipped.tensors)
    change(told, tensors)
    seal = hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode())
    for name, tensor in sorted((name, np.ascontiguousarray(tensor)) for name, tensor in tensors.items()):
        seal.update(f"{name}:{tensor.dtype.str}:{tensor.shape};".encode() + tensor.tobytes())
    header = json.dumps({"manifest": told, "sha256": seal.hexdigest()})
    path.write_bytes(save(tensors, metadata={"triagedesk": header}))
    return path


def refusal(path: Path) -> str:
    """Return the line with which a file is refused."""
    with pytest.raises(ConfigError) as refused:
        load_trained(path, playbook())
    assert "\n" not in str(refused.value)
    return str(refused.value)


def head_with(**values: object) -> Callable[[Told, Tensors], object]:
    """Change the head of urgency."""
    return lambda told, tensors: told["heads"]["urgency"].update(values)


def tensor_with(name: str, value: object) -> Callable[[Told, Tensors], object]:
    """Give a tensor one value throughout."""
    return lambda told, tensors: tensors.update({name: np.full_like(tensors[name], value)})


def labels_as(change: Callable[[list[str]], list[str]]) -> Callable[[Told, Tensors], object]:
    """Change the labels of urgency; the hash of the labels stays what it was."""
    return lambda told, tensors: told["heads"]["urgency"].update(labels=change(told["heads"]["urgency"]["labels"]))


def without_shape(told: Told, tensors: Tensors) -> None:
    """Make a single number of the features."""
    tensors["ids"] = np.array(7, dtype=np.uint32)


def test_an_unchanged_file_under_the_same_seal_is_read(tmp_path: Path) -> None:
    classifier = load_trained(forged(tmp_path / "same.safetensors", lambda told, tensors: None), playbook())
    assert classifier.classify(*opinion("The server is down.")).labels["urgency"].confidence is not None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(head_with(bias=[float("nan"), 0.0, 0.0, 0.0]), id="bias-is-no-number"),
        pytest.param(head_with(bias=[float("inf"), 0.0, 0.0, 0.0]), id="bias-is-endless"),
        pytest.param(head_with(bias=[-1e308, 0.0, 0.0, 0.0]), id="bias-is-absurd"),
        pytest.param(head_with(words=1e308), id="words-weigh-too-much"),
        pytest.param(head_with(rules=1e308), id="rules-weigh-too-much"),
        pytest.param(head_with(eager=1e308), id="too-eager"),
        pytest.param(head_with(shares=[float("nan")] * 4), id="share-is-no-number"),
        pytest.param(head_with(shares=[9.0] * 4), id="share-above-one"),
        pytest.param(head_with(shares=[-1.0] * 4), id="share-below-nothing"),
        pytest.param(head_with(measured={"accuracy": float("nan")}), id="measured-is-no-number"),
        pytest.param(labels_as(lambda names: names[-1:] * 4), id="labels-doubled"),
        pytest.param(labels_as(lambda names: names[::-1]), id="labels-swapped"),
        pytest.param(labels_as(lambda names: ["<b>", *names[1:]]), id="label-foreign"),
        pytest.param(lambda told, _: told.update(playbook="a\nb", labels_sha256=""), id="line-break-in-playbook"),
        pytest.param(lambda told, _: told.update({"x\ny": 1}), id="line-break-in-unknown-field"),
        pytest.param(tensor_with("scales", -1.0), id="scales-turned-round"),
        pytest.param(tensor_with("scales", 3e38), id="scales-absurd"),
        pytest.param(without_shape, id="features-are-one-number"),
    ],
)
def test_a_file_that_no_training_writes_is_refused(tmp_path: Path, change: Callable[[Told, Tensors], object]) -> None:
    assert "train it again" in refusal(forged(tmp_path / "forged.safetensors", change))


def test_the_refusal_names_the_field_and_no_name_of_the_files_own(tmp_path: Path) -> None:
    said = refusal(forged(tmp_path / "forged.safetensors", head_with(bias=[float("nan")] * 4, leaked=1)))
    assert "(heads.bias: Input should be a finite number; heads: Extra inputs are not permitted)" in said


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "BOOL"])
def test_a_kind_of_number_that_training_does_not_write_is_refused(tmp_path: Path, kind: str) -> None:
    content = Path(str(playbook().trained_file)).read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["weights"]["dtype"] = kind
    told = json.dumps(header).encode()
    path = tmp_path / "other.safetensors"
    path.write_bytes(len(told).to_bytes(8, "little") + told + content[8 + size :])
    assert "was not written by `triagedesk train`" in refusal(path)


@pytest.mark.parametrize("make", [pytest.param(os.mkfifo, id="pipe"), pytest.param(os.mkdir, id="folder")])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "model.safetensors"
    make(path)
    # held open, so that a reader that does open the pipe fails here instead of waiting for ever
    held = os.open(path, os.O_RDWR if path.is_fifo() else os.O_RDONLY)
    try:
        assert "is no regular file" in refusal(path)
    finally:
        os.close(held)
