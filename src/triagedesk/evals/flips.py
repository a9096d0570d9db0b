"""Tickets that one of two systems got right and the other did not, the worst mistakes first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from triagedesk.evals.metrics.scale import Scale
from triagedesk.evals.paired import Pair
from triagedesk.models import Frozen

MISSED_ESCALATION = 2.0


class Flip(Frozen):
    """A ticket that one of the two got right: ids and labels, never text. None where no label was said."""

    id: str
    dimension: str
    gold: str
    a: str | None
    b: str | None
    severity: float


def flipped(pairs: Mapping[str, Pair], ids: Sequence[str], *, broken: bool) -> tuple[Flip, ...]:
    """Return the tickets that flipped one way, the worst mistakes first."""
    found = [flip for name, pair in pairs.items() for flip in _of_dimension(name, pair, ids, broken=broken)]
    return tuple(sorted(found, key=lambda flip: -flip.severity))


def _of_dimension(name: str, pair: Pair, ids: Sequence[str], *, broken: bool) -> Iterator[Flip]:
    before, after, said = (
        (pair.right_a, pair.right_b, pair.b) if broken else (pair.right_b, pair.right_a, pair.a)
    )  # fmt: skip
    for at in np.flatnonzero(before & ~after):
        yield Flip(
            id=ids[pair.rows[at]], dimension=name, gold=pair.scale.labels[pair.gold[at]],
            a=_label(pair.scale, int(pair.a[at])), b=_label(pair.scale, int(pair.b[at])),
            severity=severity(pair.scale, int(pair.gold[at]), int(said[at])),
        )  # fmt: skip


def _label(scale: Scale, code: int) -> str | None:
    return scale.labels[code] if code >= 0 else None


def severity(scale: Scale, gold: int, said: int) -> float:
    """Return how bad a mistake is: the playbook's triage cost, else levels (too low counts twice), else 1.

    An escalation that was needed and not said counts 2. No answer counts as the least severe label.
    """
    placed = max(said, 0)
    if scale.ordinal:
        return scale.cost[gold][placed] if scale.cost else float(abs(gold - placed) * (2 if placed < gold else 1))
    rest = scale.code(scale.rest)
    return MISSED_ESCALATION if scale.rest and gold != rest and said in (rest, -1) else 1.0
