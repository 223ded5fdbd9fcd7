"""Values out of cells that strangers wrote: of the wanted type, or harmless.

Lives here: coercion. Not here: what cells mean (`turns.py`, `meaning.py`), refusing (`reader.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.traces.v3.building import OURS
from engine.traces.v3.session import Row, load_object


def ours_of(row: Row) -> dict[str, Any]:
    return object_of(load_object(row.get("event_metadata")).get(OURS))


def object_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def epoch_of(text: Any) -> float:
    """Epoch seconds of an ISO time; without a zone it is UTC; 0 for what is no time."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def text_of(value: Any, most: int) -> str:
    return value[:most] if isinstance(value, str) else ""


def number_of(value: Any) -> float:
    """A finite number; 0 for anything else."""
    if not isinstance(value, int | float) or abs(value) > 1e300 or value != value:
        return 0.0
    return float(value)


def count_of(value: Any) -> int:
    return max(0, value) if isinstance(value, int) and value < 2**62 else 0
