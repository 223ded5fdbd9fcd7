"""The shape of a list in Synth's way."""

from __future__ import annotations

from typing import Any


def listed(rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """`{"data": […]}` of at most `limit` of the rows; the next page is asked for with `after`, the
    id of the last one.
    """
    data = rows[:limit]
    return {"object": "list", "data": data, "has_more": len(rows) > limit,
            "last_id": data[-1]["id"] if data else None}  # fmt: skip
