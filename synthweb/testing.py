"""`make test`, `make check`, `make lint`, `make soak`: set up what is missing, then run.

As root on Debian the system's parts are installed; elsewhere it says what to install and skips
those tests loudly. Plain standard library until the venv exists.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from synthweb import bootstrap, train_parts

FAST = "not slow and not e2e"


class Part(NamedTuple):
    """A program that tests need: how it is found and which Debian package brings it."""

    package: str
    what: str
    found: bool


class Step(NamedTuple):
    name: str
    command: list[str]
    environment: dict[str, str]


def main(what: str) -> int:
    """Set up and run one of all, check, lint, soak; the exit code says whether all steps passed."""
    try:
        bootstrap.ensure_python()
        with bootstrap.one_at_a_time():
            bootstrap.ensure_venv()
            bootstrap.ensure_lock("dev")
        if what in ("all", "soak"):
            install_system_parts()
        if what != "lint":
            train_parts.install_with_progress()
    except bootstrap.SetupError as err:
        print(f"\n{err}", file=sys.stderr)
        return 1
    return run_steps(steps(what))


def steps(what: str) -> list[Step]:
    """What to run, in order."""
    lint = [
        step("ruff", ["ruff", "check", "."]),
        step("format", ["ruff", "format", "--check", "."]),
        step("types", ["mypy"]),
        step("arrows", ["lint-imports"]),
        step("migrations", ["manage", "makemigrations", "--check", "--dry-run"]),
    ]
    parallel = ["-n", str(max(2, os.cpu_count() or 2)), "--dist", "loadfile"]
    if what == "lint":
        return lint
    if what == "check":
        return [*lint, step("fast tests", ["pytest", "-q", "-m", FAST, *parallel])]
    if what == "soak":
        full = {"SYNTHWEB_SOAK": "1"}
        return [step("soak", ["pytest", "-q", "tests/faults", "tests/soak"], full)]
    everything = step("tests", ["pytest", "-q", "-m", "not e2e", *parallel])
    browser = step("pages in Chromium", ["pytest", "-q", "-m", "e2e"])
    postgres = [
        step("on Postgres", postgres_tests()),
        step("faults on Postgres", postgres_faults()),
    ]
    return [*lint, everything, *postgres, browser]


def postgres_tests() -> list[str]:
    """The rooms whose races depend on the database, once more on Postgres."""
    rooms = ["tests/accounts", "tests/runs", "tests/traces", "tests/datasets", "tests/house"]
    there = [room for room in rooms if (bootstrap.ROOT / room).is_dir()]
    return ["tests.on_postgres", "-q", "-m", FAST, *there]


def postgres_faults() -> list[str]:
    """Promises whose races the database decides: who holds a shard, what is stored once."""
    names = "r01_worker_killed r03_supervisor_killed r14_cancel r15_idempotency r20_holder_paused"
    files = [
        f"tests/faults/test_{name}.py" for name in f"{names} r25_crash_while_ingesting".split()
    ]
    return ["tests.on_postgres", "-q", *files]


def step(name: str, module: list[str], environment: dict[str, str] | None = None) -> Step:
    """`python -m MODULE …` in the venv; `manage` means manage.py, `lint-imports` is a script."""
    starts = {"manage": ["manage.py"], "lint-imports": [str(bootstrap.VENV / "bin/lint-imports")]}
    start = starts.get(module[0], ["-m", module[0]])
    extra = {"SYNTHWEB_HOME": str(bootstrap.ROOT / ".pytest_cache" / "home")}
    return Step(
        name, [str(bootstrap.PYTHON), *start, *module[1:]], {**extra, **(environment or {})}
    )


def run_steps(wanted: Sequence[Step]) -> int:
    """Run all, also after a failure; a table at the end."""
    results = []
    for name, command, environment in wanted:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=bootstrap.ROOT, env={**os.environ, **environment}, check=False
        )
        results.append((name, done.returncode, time.monotonic() - began))
    print("\n" + "\n".join(_line(*result) for result in results))
    return int(any(code for _, code, _ in results))


def _line(name: str, code: int, seconds: float) -> str:
    return f"{'ok    ' if code == 0 else 'FAILED'}  {seconds:6.0f} s  {name}"


def system_parts() -> list[Part]:
    """Chromium, a Redis and a Postgres server."""
    return [
        Part("chromium", "the tests of pages", bool(shutil.which("chromium"))),
        Part("redis-server", "a second kind of broker", bool(shutil.which("redis-server"))),
        Part(
            "postgresql",
            "the tests on Postgres",
            bool(list(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or shutil.which("initdb")),
        ),
    ]


def install_system_parts() -> None:
    """Install what is missing by apt where we may; else say what is missing and what is skipped."""
    missing = [part for part in system_parts() if not part.found]
    if not missing:
        return
    if os.getuid() == 0 and shutil.which("apt-get"):
        apt = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        names = [part.package for part in missing]
        print(f"Installing {', '.join(names)} …", flush=True)
        for command in (["update", "-qq"], ["install", "-y", "-qq", *names]):
            subprocess.run(["apt-get", *command], env=apt, check=False, stdout=subprocess.DEVNULL)
    for part in system_parts():
        if not part.found:
            print(f"\n!! SKIPPED: {part.what}. Install {part.package} and run again.\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
