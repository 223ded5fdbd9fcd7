"""Small plots as inline SVG: intervals, bars, spans. Geometry only; queries bring the figures.

Every plot has its numbers as text beside it, so it is hidden from screen readers.
"""

from __future__ import annotations

from collections.abc import Sequence
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


@register.inclusion_tag("_plot_histogram.html")
def histogram(counts: dict[str, int], title: str, unit: str) -> dict[str, Any]:
    """Counts by their lower bound, as bars of the same width in the order of the mapping."""
    top = max(counts.values(), default=0)
    width = WIDTH / max(1, len(counts))
    bars = [
        {
            "x": round(i * width + width * 0.08, 2),
            "width": round(width * 0.84, 2),
            "y": round(40 - 40 * n / top, 2),
            "height": round(40 * n / top, 2),
            "words": f"{name}: {n}",
        }
        for i, (name, n) in enumerate(counts.items())
    ]
    names = list(counts)
    ends = (names[0], names[-1]) if names else ("", "")
    words = ", ".join(f"{name}: {n}" for name, n in list(counts.items())[:40])
    return {"bars": bars, "title": title, "unit": unit, "ends": ends, "words": words}


@register.inclusion_tag("_plot_bins.html")
def reward_histogram(bins: Sequence[Any], run_id: int) -> dict[str, Any]:
    """Returns of a run's games as bars, each a link to the games that it counts."""
    top = max((row.n for row in bins), default=0) or 1
    width = WIDTH / max(1, len(bins))
    bars = [
        {
            "left": i * width,
            "full": width,
            "x": i * width + width * 0.08,
            "width": width * 0.84,
            "y": 40 - 40 * row.n / top,
            "height": 40 * row.n / top,
            "n": row.n,
            "words": f"return {row.words}: {row.n} games",
            "href": f"/traces/?run={run_id}&min_return={row.low!r}&max_return={row.high!r}",
        }
        for i, row in enumerate(bins)
    ]
    words = ", ".join(f"{row.words}: {row.n}" for row in bins if row.n)
    ends = (bins[0].words, bins[-1].words) if bins else ("", "")
    return {"bars": bars, "words": words, "ends": ends}


@register.inclusion_tag("_plot_shares.html")
def shares(counts: dict[str, int], total: int) -> dict[str, Any]:
    """Counts of names as horizontal bars against a total."""
    rows = [
        {"name": name, "n": n, "share": _at(float(n), 0.0, float(total or 1))}
        for name, n in counts.items()
    ]
    return {"rows": rows}


@register.inclusion_tag("_plot_branch.html")
def branch_line(start: int, end: int, unlocks: Sequence[Any], longest: int) -> dict[str, Any]:
    """A game from step `start` to `end` on an axis of `longest` steps, a tick for each unlock."""
    return {
        "start": _at(start, 0, longest),
        "end": _at(end, 0, longest),
        "ticks": [_at(_step_of(unlock), 0, longest) for unlock in unlocks],
        "from_start": start == 0,
    }


def _step_of(unlock: Any) -> int:
    """The step that unlocked it, from a row or from its dictionary."""
    return int(unlock["step"] if isinstance(unlock, dict) else unlock.step)


@register.filter
def spark(values: Sequence[float] | None) -> str:
    """Points of a polyline in a 100 × 24 box; empty for fewer than two values."""
    if not values or len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = 100 / (len(values) - 1)
    return " ".join(
        f"{i * step:.1f},{22 - 20 * (v - low) / span:.1f}" for i, v in enumerate(values)
    )
