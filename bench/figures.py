"""How a benchmark reports: a table on the terminal, one JSON line a figure, an honest exit code.

    figures = Figures("world")
    figures.add("steps with text, ratio to stock", 7.1, "x", at_least=6)
    sys.exit(figures.finish())

Lines go to `$SYNTHWEB_HOME/bench.jsonl` (default `./var`), so that runs can be compared over time.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


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
        width = max((len(row.name) for row in self.rows), default=0)
        for row in self.rows:
            mark = " " if not row.bound else ("ok" if row.ok else "MISSED")
            print(
                f"{self.bench:9} {row.name:{width}} {row.value:12.3f} {row.unit:10} "
                f"{row.bound:>8} {mark}"
            )
        self._append()
        return 0 if all(row.ok for row in self.rows) else 1

    def _append(self) -> None:
        home = Path(os.environ.get("SYNTHWEB_HOME", ROOT / "var"))
        home.mkdir(parents=True, exist_ok=True)
        shared = {
            "bench": self.bench,
            "full": self.full,
            "at": round(time.time()),
            "commit": _commit(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
        }
        with (home / "bench.jsonl").open("a") as file:
            for row in self.rows:
                file.write(json.dumps({**shared, **row._asdict()}) + "\n")


def _commit() -> str:
    """The checked-out commit, "" outside a git checkout."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> int:
    """Run every benchmark at its quick size, one after the other; 1 when any missed its bound."""
    names = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if _is_bench(p))
    wanted = [name for name in names if len(sys.argv) < 2 or name in sys.argv[1:]]
    failed = []
    for name in wanted:
        print(f"— {name} " + "—" * (60 - len(name)), flush=True)
        if subprocess.run(
            [sys.executable, "-m", f"bench.{name}"], cwd=ROOT, check=False
        ).returncode:
            failed.append(name)
    print(
        f"{len(wanted) - len(failed)} of {len(wanted)} kept their bounds"
        + (f"; missed: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed else 0


def _is_bench(path: Path) -> bool:
    """A file is a benchmark when it reports figures and is not this one."""
    return path.name not in ("figures.py", "__init__.py") and "Figures(" in path.read_text()


if __name__ == "__main__":
    sys.exit(main())
