"""The desk as a step of your own Ray Data pipeline: `ds.map_batches(Classify, …)`.

from ray.data import ActorPoolStrategy
from triagedesk.batch.on_ray import Classify

labelled = tickets.map_batches(
    Classify, fn_constructor_kwargs={"settings": {"model": "rules"}}, compute=ActorPoolStrategy(size=4),
    batch_size=500, batch_format="pyarrow",
)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from triagedesk.batch.columns import ColumnMap, Columns, named, words_in
from triagedesk.batch.on_ray.asking import Answers, Outcome
from triagedesk.batch.parquet_rows import UNREAD, plain_value, values_of
from triagedesk.batch.rows import Row, row_of
from triagedesk.errors import ConfigError, TicketError
from triagedesk.models import Choice, Suggestion
from triagedesk.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Batch: TypeAlias = pa.Table | Mapping[str, np.ndarray[Any, Any]]

PREFIX = "suggested_"


class Classify:
    """A callable class for `map_batches`: adds labels, confidences and reasons to batches of tickets.

    A batch is a pyarrow table or a dict of numpy arrays, and comes back as what it was. Its columns are a ticket's
    (`body`, `subject`, `channel` …; `columns` maps other names, ours to theirs); the rest goes along as `fields`.
    Added, each name after `prefix`: for every dimension `NAME`, `NAME_confidence` (0 to 1, or null) and `NAME_reasons`
    (a list of sentences); `queue`, `flags`, `needs_review`, `answered_by` (model, cache, trained, rules) and
    `fallback_reason`. What is wrong with a row that is no ticket stands in `error`, and its other new columns are null.

    `settings` are fields of `triagedesk.Settings`; the actor's environment gives the others, its keys above all. A key
    that must be sent travels by `sendable(Settings(…))`, which keeps it out of Ray's logs and dashboard. Calls in
    flight are `max_concurrency` for each actor. Raises ConfigError if the desk cannot be opened, the batch has no
    column for the text, or a new column is there already.
    """

    def __init__(
        self, settings: Mapping[str, Any] | None = None, *, columns: ColumnMap | None = None, prefix: str = PREFIX
    ) -> None:
        self._columns, self._prefix = columns, prefix
        self._desk = Answers(Settings.from_env(**(settings or {})))

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the new columns."""
        names, values = _columns_of(batch)
        rows = self._rows(names, values)
        self._check(names)
        return _with(batch, self._added(self._desk.all_of(rows)))

    def _check(self, names: list[str]) -> None:
        """Raise ConfigError if a new column is there already: before anything is asked, and paid."""
        there = [name for name in self._added([]) if name in names]
        if "error" in there:
            raise ConfigError("Classify: error is a column already, and says here what is wrong with a row; rename it")
        if there:
            raise ConfigError(f"Classify: {named(there)} is a column already; pass another prefix")

    def _rows(self, names: list[str], values: list[list[Any]]) -> list[Row]:
        columns = Columns(names, "Classify", words_in(self._desk.playbook), self._columns)
        return [_row(columns, row, place) for place, row in enumerate(zip(*values, strict=True), 1)]

    def _added(self, outcomes: list[Outcome]) -> dict[str, Column]:
        """Return the new columns: their values and kinds."""
        added: dict[str, Column] = {}
        for name in self._desk.playbook.dimensions:
            choices = [_choice(outcome, name) for outcome in outcomes]
            added[name] = _LABEL, [choice and choice.label for choice in choices]
            added[f"{name}_confidence"] = _NUMBER, [choice and choice.confidence for choice in choices]
            added[f"{name}_reasons"] = _LIST, [choice and [one.text for one in choice.reasons] for choice in choices]
        for name, (kind, value) in _OTHER.items():
            added[name] = kind, [value(one) if isinstance(one, Suggestion) else None for one in outcomes]
        prefixed = {f"{self._prefix}{name}": column for name, column in added.items()}
        return {**prefixed, "error": (_LABEL, [one if isinstance(one, str) else None for one in outcomes])}

    def close(self) -> None:
        """Close the desk. An actor that is killed need not."""
        self._desk.close()


_LABEL, _NUMBER, _LIST, _FLAG = "string", "double", "list", "bool"

Column = tuple[str, list[Any]]
"""What a column holds, and its values."""

_OTHER: dict[str, tuple[str, Callable[[Suggestion], Any]]] = {
    "queue": (_LABEL, lambda one: one.queue),
    "flags": (_LIST, lambda one: list(one.flags)),
    "needs_review": (_FLAG, lambda one: one.needs_review),
    "answered_by": (_LABEL, lambda one: one.provenance.source.value),
    "fallback_reason": (_LABEL, lambda one: one.provenance.fallback_reason),
}


def _choice(outcome: Outcome, name: str) -> Choice | None:
    return outcome.labels.get(name) if isinstance(outcome, Suggestion) else None


def _row(columns: Columns, values: tuple[Any, ...], place: int) -> Row:
    try:
        data = columns.of_values(columns.without_unread(list(values), UNREAD))
    except TicketError as wrong:
        return Row(place, None, str(wrong))
    return row_of(data, place)


def _columns_of(batch: Batch) -> tuple[list[str], list[list[Any]]]:
    """Return a batch's columns, their values as JSON could hold them; `UNREAD` stands for those that Python cannot."""
    if isinstance(batch, Mapping):
        return list(batch), [_plain_array(array) for array in batch.values()]
    if not hasattr(batch, "column_names"):
        raise ConfigError("Classify takes batch_format='pyarrow' or 'numpy'; pass one of them to map_batches")
    return list(batch.column_names), [values_of(column) for column in batch.columns]


def _plain_array(array: np.ndarray[Any, Any]) -> list[Any]:
    if array.dtype.kind not in "mM":
        return [plain_value(value) for value in array.tolist()]
    import numpy as np

    is_fine = np.datetime_data(array.dtype)[0] in _FINE
    moments = array.astype(f"{array.dtype.kind}8[us]") if is_fine else array
    return [UNREAD if isinstance(value, int) else plain_value(value) for value in moments.tolist()]


_FINE = ("ns", "ps", "fs", "as")
"""Units of time that Python's own types do not have; whatever else they cannot hold, numpy gives as a number."""


def _with(batch: Batch, added: Mapping[str, Column]) -> Batch:
    if isinstance(batch, Mapping):
        return {**batch, **{name: _array(*column) for name, column in added.items()}}
    import pyarrow as pa

    kinds = {_LABEL: pa.string(), _NUMBER: pa.float64(), _LIST: pa.list_(pa.string()), _FLAG: pa.bool_()}
    for name, (kind, values) in added.items():
        batch = batch.append_column(name, pa.array(values, kinds[kind]))
    return batch


def _array(kind: str, values: list[Any]) -> np.ndarray[Any, Any]:
    """Return a numpy column: numbers as such, with NaN for none, all else as objects, so that lists stay lists."""
    import numpy as np

    if kind == _NUMBER:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
