"""How a benchmark reports: a table on the terminal, one JSON line a figure, an honest exit code.

    figures = Figures("world")
    figures.add("steps with text, ratio to stock", 7.1, "x", at_least=6)
    sys.exit(figures.finish())

Lines go to `$SYNTHWEB_HOME/bench.jsonl` (default `./var`), so that runs can be compared over time.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# Read at import: benchmarks point SYNTHWEB_HOME at a temporary home later.
HOME = Path(os.environ.get("SYNTHWEB_HOME", ROOT / "var")).absolute()
LINES = "bench.jsonl"

logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for every request


class Figure(NamedTuple):
    """One measured value with the bound it must keep, if there is one."""

    name: str
    value: float
    unit: str
    bound: str  # "≥ 6" or "≤ 5", "" for none
    ok: bool


class Figures:
    """Collects the figures of one benchmark file."""

    def __init__(self, bench: str, *, full: bool = False) -> None:
        self.bench = bench
        self.full = full
        self.rows: list[Figure] = []

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Record one figure; `at_least` and `at_most` are the budget that it must keep."""
        bound = f"≥ {at_least:g}" if at_least is not None else ""
        bound = f"≤ {at_most:g}" if at_most is not None else bound
        ok = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
        self.rows.append(Figure(name, value, unit, bound, ok))

    def finish(self) -> int:
        """Print the table, append the JSON lines; 1 when a figure missed its bound, else 0."""
        print_table([(self.bench, row) for row in self.rows])
        self._append()
        return 0 if all(row.ok for row in self.rows) else 1

    def _append(self) -> None:
        HOME.mkdir(parents=True, exist_ok=True)
        shared = {
            "bench": self.bench,
            "full": self.full,
            "at": round(time.time()),
            "commit": _commit(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
        }
        with (HOME / LINES).open("a") as file:
            for row in self.rows:
                file.write(json.dumps({**shared, **row._asdict()}) + "\n")


def print_table(rows: Sequence[tuple[str, Figure]]) -> None:
    """One line a figure: its benchmark, name, value, unit, bound and whether it kept it."""
    width = max((len(row.name) for _, row in rows), default=0)
    for bench, row in rows:
        mark = "" if not row.bound else ("ok" if row.ok else "MISSED")
        line = f"{bench:9} {row.name:{width}} {row.value:12.3f} {row.unit:10} {row.bound:>8} {mark}"
        print(line.rstrip())


def _commit() -> str:
    """The checked-out commit, "" outside a git checkout."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> int:
    """Run every benchmark at its quick size, one after the other; 1 when any missed its bound.

    What they print is shown only where one fails before its figures; the table comes at the end.
    """
    names = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if _is_bench(p))
    wanted = [name for name in names if len(sys.argv) < 2 or name in sys.argv[1:]]
    known = len(_lines())
    failed = []
    for name in wanted:
        began, n_lines = time.monotonic(), len(_lines())
        command = [sys.executable, "-m", f"bench.{name}"]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
            if len(_lines()) == n_lines:
                print(done.stdout + done.stderr, file=sys.stderr, flush=True)
    rows = [json.loads(line) for line in _lines()[known:]]
    print_table([(row["bench"], Figure(*(row[k] for k in Figure._fields))) for row in rows])
    missed = f"; not: {', '.join(failed)}" if failed else ""
    print(f"{len(wanted) - len(failed)} of {len(wanted)} kept their bounds{missed}")
    return 1 if failed else 0


def _lines() -> list[str]:
    """All lines of figures so far."""
    path = HOME / LINES
    return path.read_text().splitlines() if path.exists() else []


def _is_bench(path: Path) -> bool:
    """A file is a benchmark when it reports figures and is not this one."""
    return path.name not in ("figures.py", "__init__.py") and "Figures(" in path.read_text()


if __name__ == "__main__":
    sys.exit(main())
