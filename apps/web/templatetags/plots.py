"""Small plots as inline SVG: intervals, bars, spans. Geometry only; queries bring the figures.

Every plot has its numbers as text beside it, so it is hidden from screen readers.
"""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()
WIDTH = 100.0


def _at(value: float | None, low: float, high: float) -> float:
    """Where a value stands on an axis from `low` to `high`, 0 … 100, clipped."""
    if value is None or high <= low:
        return 0.0
    return round(WIDTH * min(1.0, max(0.0, (value - low) / (high - low))), 2)


@register.inclusion_tag("_plot_rate.html")
def rate_bar(row: dict[str, Any]) -> dict[str, Any]:
    """A rate from 0 to 1 as a bar with its interval: `{rate, low, high}`."""
    return {
        "rate": _at(row.get("rate"), 0, 1),
        "low": _at(row.get("low"), 0, 1),
        "high": _at(row.get("high"), 0, 1),
    }


@register.inclusion_tag("_plot_interval.html")
def interval(
    middle: float | None,
    low: float | None,
    high: float | None,
    start: float,
    end: float,
    hue: int | str = 0,
) -> dict[str, Any]:
    """A mean and its interval on an axis from `start` to `end`; zero is marked where it shows."""
    known = middle is not None
    low, high = (middle if low is None else low), (middle if high is None else high)
    return {
        "known": known,
        "bar": start == 0,
        "middle": _at(middle, start, end),
        "low": _at(low, start, end),
        "high": _at(high, start, end),
        "zero": _at(0.0, start, end) if start < 0 < end else None,
        "hue": hue,
        "sure": known and low is not None and high is not None and (low > 0 or high < 0),
        "up": known and (middle or 0) > 0,
    }


@register.inclusion_tag("_plot_spans.html")
def spans(turn: Any) -> dict[str, Any]:
    """Where the time of a turn went: waiting, model, environment, as shares of 100."""
    parts = [float(turn.queue_ms), float(turn.model_ms), float(turn.env_ms)]
    total = sum(parts) or 1.0
    shares = [round(WIDTH * part / total, 2) for part in parts]
    return {
        "queue": shares[0],
        "model": shares[1],
        "env": shares[2],
        "model_x": shares[0],
        "env_x": shares[0] + shares[1],
        "ms": round(sum(parts)),
        "words": f"waited {parts[0]:.0f} ms, model {parts[1]:.0f} ms, game {parts[2]:.0f} ms",
    }
