"""The labels of one dimension as a scale: their order, what each mistake costs, which label means "nothing to do"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from triagedesk.playbook import Playbook

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_ANSWER = -1
"""The code of a prediction that is missing or names no label of the playbook."""


@dataclass(frozen=True)
class Scale:
    """The labels of a dimension. Of an ordinal one, the least severe comes first: low=0 … critical=3.

    `cost` (gold × said) prices each mistake; `rest` is the label that means that nothing is to be done (`none` of the
    escalations).
    """

    labels: tuple[str, ...]
    ordinal: bool = False
    cost: tuple[tuple[float, ...], ...] = ()
    rest: str | None = None
    _codes: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._codes.update({label: code for code, label in enumerate(self.labels)})

    def __len__(self) -> int:
        return len(self.labels)

    def code(self, label: str | None) -> int:
        """Return a label's place, or NO_ANSWER."""
        return self._codes.get(label, NO_ANSWER) if label is not None else NO_ANSWER

    def codes(self, labels: Sequence[str | None]) -> Ints:
        """Return the places of labels; those that are none of the scale's become NO_ANSWER."""
        return np.fromiter((self.code(label) for label in labels), dtype=np.int64, count=len(labels))

    @cached_property
    def urgent_from(self) -> int:
        """The first place of the upper half: of four levels the two most severe, of three the most severe."""
        return (len(self) + 1) // 2


def scale_of(playbook: Playbook, dimension: str) -> Scale:
    """Return the scale of a playbook's dimension."""
    told = playbook.dimensions[dimension]
    ordinal = told.kind == "ordinal"
    labels = tuple(reversed(told.names)) if ordinal else tuple(told.names)
    table = playbook.document.triage_cost if dimension == "urgency" else {}
    cost = tuple(tuple(float(table[gold][said]) for said in labels) for gold in labels) if table else ()
    return Scale(labels, ordinal=ordinal, cost=cost, rest=told.fallback if dimension == "escalation" else None)


def as_codes(values: ArrayLike | Sequence[Any], scale: Scale) -> Ints:
    """Return codes for labels or codes."""
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    return scale.codes([None if value is None else str(value) for value in array.tolist()])
