"""In which order a list of runs stands, and what lies behind a cursor in it.

The key of a column is text, whole or decimal, but always one value a run: runs without it stand at
the end in both directions, so no order hides a run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import DurationField, ExpressionWrapper, F, FloatField, Q, QuerySet, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from apps.accounts.errors import Refused
from apps.runs.models import Run
from apps.runs.paging import decode_cursor

ORDERS = ("-id", "id", "-score", "score", "-took", "took")
_LAST = 1e200  # behind every score
_LONGEST = timedelta(days=30_000)  # behind every run


class Ordering(NamedTuple):
    """A column and its direction; `key` is the annotation that the rows are sorted by."""

    name: str
    down: bool

    @property
    def key(self) -> str:
        return "id" if self.name == "id" else f"by_{self.name}"


def read_order(order: str | None) -> Ordering:
    """Raises Refused(422) for one that the list does not know."""
    order = order or "-id"
    if order not in ORDERS:
        raise Refused("bad_order", f"order is one of {', '.join(ORDERS)}.", status=422)
    return Ordering(order.removeprefix("-"), order.startswith("-"))


def sort_runs(rows: QuerySet[Run], order: Ordering, cursor: str | None) -> QuerySet[Run]:
    """The rows in that order, those behind the cursor only. Raises Refused(422) for a bad one."""
    sign = "-" if order.down else ""
    if order.name == "id":
        after = decode_cursor(cursor, int)
        rows = rows.filter(**{"id__lt" if order.down else "id__gt": after[0]}) if after else rows
        return rows.order_by(f"{sign}id")
    rows = rows.annotate(**{order.key: _expression(order)})
    after = decode_cursor(cursor, float, int)
    if after:
        value: Any = after[0] if order.name == "score" else timedelta(microseconds=int(after[0]))
        side = "lt" if order.down else "gt"
        same = Q(**{order.key: value, f"id__{side}": after[1]})
        rows = rows.filter(Q(**{f"{order.key}__{side}": value}) | same)
    return rows.order_by(f"{sign}{order.key}", f"{sign}id")


def cursor_of(run: Run, order: Ordering) -> tuple[int | float, ...]:
    """The sort values of a row that `sort_runs` gave."""
    if order.name == "id":
        return (run.pk,)
    value = getattr(run, order.key)
    if isinstance(value, timedelta):
        value = value // timedelta(microseconds=1)
    return (value, run.pk)


def _expression(order: Ordering) -> Any:
    if order.name == "score":
        shown = [Cast(KT(f"result__{path}"), FloatField()) for path in ("accuracy__rate",
                 "unique__mean")]  # fmt: skip
        return Coalesce(*shown, Value(-_LAST if order.down else _LAST), output_field=FloatField())
    took = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=DurationField())
    end = -_LONGEST if order.down else _LONGEST
    return Coalesce(took, Value(end), output_field=DurationField())
