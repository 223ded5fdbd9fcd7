"""The table of bench/pages.py, for the terminal and for docs/performance.md.

The page keeps its own words; only what stands between a database's two markers is written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from bench.figures import ROOT

PAGE = ROOT / "docs" / "performance.md"
HEAD = ("page", "p95 ms", "on a core, ms", "kB", "queries", "alike", "first paint ms")


class Row(NamedTuple):
    """What was measured of one address."""

    name: str
    p95_ms: float
    core_ms: float  # of the server, the median
    n_bytes: int
    n_queries: int
    n_alike: int
    paint_ms: float | None


def table(rows: Sequence[Row]) -> list[str]:
    """A Markdown table, one line an address."""
    lines = [f"| {' | '.join(HEAD)} |", "|---|" + "---:|" * (len(HEAD) - 1)]
    for row in rows:
        paint = "" if row.paint_ms is None else f"{row.paint_ms:.0f}"
        values = (row.name, f"{row.p95_ms:.0f}", f"{row.core_ms:.0f}", f"{row.n_bytes / 1000:.0f}")
        lines.append(f"| {' | '.join(values)} | {row.n_queries} | {row.n_alike} | {paint} |")
    return lines


def write(database: str, n_steps: int, rows: Sequence[Row]) -> None:
    """Put the table of this database where its last one stands."""
    begin, end = (f"<!-- bench.pages {database} {word} -->" for word in ("begins", "ends"))
    text = PAGE.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    after = rest.partition(end)[2]
    if not found:
        raise RuntimeError(f"{PAGE}: the marker {begin} is gone")
    load = f"{os.getloadavg()[1]:.0f} processes wanted a core in the five minutes before the end"
    when = (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {n_steps:,} stored steps; {load}."
    )
    lines = [before.rstrip("\n"), "", begin, "", when, "", *table(rows), "", f"{end}{after}"]
    PAGE.write_text("\n".join(lines), encoding="utf-8")
