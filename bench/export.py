"""Exporting and importing trace files: `python -m bench.export [--full] [--peer SCRIPT.py]`.

A tracing v3 file of 200 MB is exported by `manage.py export_sft` and by the example's own
`export_trace_sft.py`, alternately, each in a process of its own; measured is the work without the
start of Python, and every record is compared. The original's script comes out of the published
wheel of synth-ai (or from --peer); without it that part is skipped and says so.

--full also imports a file of 1 GB and measures how much more memory that takes than a small one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.figures import Figures
from tests.v3_files import write_file

ROOT = Path(__file__).resolve().parent.parent
PEER = "examples/warming_up_to_rl/export_trace_sft.py"
VERSION = "0.2.12"
ROUNDS = 5
TURNS, PAD = 20, 1200  # a session of about 300 KB, its call records a third longer than recorded

# What both drivers begin with: peak memory of this process alone, in bytes. ru_maxrss counts what a
# forked child had of its parent before it became another program.
_PEAK = """
import json, os, re, resource, runpy, sys, time
def peak():
    try:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
    except (OSError, TypeError):
        kilo = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo
"""
_OURS = """
os.environ["DJANGO_SETTINGS_MODULE"] = "synthweb.settings"
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from apps.accounts import services
from apps.accounts.models import User
if not User.objects.exists():
    user = services.create_user(username="bench", password="only for this benchmark")
    User.objects.update(is_superuser=True)
    services.create_project(slug="bench", name="Bench", owner=user)
before, began = peak(), time.perf_counter()
call_command(*sys.argv[1:])
took = time.perf_counter() - began
sys.stderr.write(json.dumps([took, before, peak()]))
"""
_PEER = """
script, sys.argv = sys.argv[1], sys.argv[1:]
before, began = peak(), time.perf_counter()
runpy.run_path(script, run_name="__main__")
took = time.perf_counter() - began
sys.stderr.write("\\n" + json.dumps([took, before, peak()]))
"""


class Work(NamedTuple):
    """Seconds of work, and peak memory in bytes before and after it."""

    seconds: float
    before: int
    after: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--peer", type=Path, help="export_trace_sft.py of synth-ai")
    options = parser.parse_args()
    figures = Figures("export", full=options.full)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        environment = {**os.environ, "SYNTHWEB_HOME": str(place / "home"), "PYTHONPATH": str(ROOT)}
        measure_export(place, options.peer, figures, environment)
        if options.full:
            measure_import(place, figures, environment)
    return figures.finish()


def measure_export(
    place: Path, peer: Path | None, figures: Figures, environment: dict[str, str]
) -> None:
    """Ours beside the original's on the same file."""
    large, small = place / "large.db", place / "small.db"
    fill(large, 200e6)
    fill(small, 10e6)
    outs = place / "ours.jsonl", place / "peer.jsonl"
    script = peer or fetch_peer(place)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(export(large, outs[0], environment))
        if script is not None:
            flags = [str(script), "--db", str(large), "--output", str(outs[1])]
            theirs.append(work([_PEAK + _PEER, *flags], environment))
    best = min(run.seconds for run in ours)
    figures.add("200 MB to records", best, "s")
    grown = median(run.after for run in ours) - export(small, outs[0], environment).after
    figures.add("memory for 190 MB more", grown / 1e6, "MB", at_most=40)
    if script is None:
        return
    ratio = min(run.seconds for run in theirs) / best
    figures.add("original's time to ours", ratio, "x", at_least=5)
    figures.add("original's memory", median(run.after for run in theirs) / 1e6, "MB")
    export(large, outs[0], environment)
    figures.add("records that differ", count_differences(*outs), "", at_most=0)


def measure_import(place: Path, figures: Figures, environment: dict[str, str]) -> None:
    """1 GB through check, re-simulation and storage."""
    small, large = place / "import_small.db", place / "import_large.db"
    fill(small, 20e6, n_seeds=10)
    fill(large, 1e9, n_seeds=10)
    first = work([_PEAK + _OURS, "import_traces", str(small)], environment)
    second = work([_PEAK + _OURS, "import_traces", str(large)], environment)
    figures.add("1 GB imported", second.seconds, "s")
    figures.add("memory for 980 MB more", (second.after - first.after) / 1e6, "MB", at_most=100)


def export(file: Path, out: Path, environment: dict[str, str]) -> Work:
    return work([_PEAK + _OURS, "export_sft", "--db", str(file), "--output", str(out)], environment)


def work(command: list[str], environment: dict[str, str]) -> Work:
    """Run a driver and read what it measured: the last line of its errors."""
    Path(environment["SYNTHWEB_HOME"]).mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", *command],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=460,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command[1]} failed: {done.stderr[-2000:]}")
    return Work(*json.loads(done.stderr.splitlines()[-1]))


def fill(path: Path, size_bytes: float, *, n_seeds: int = 0) -> None:
    """A file of about that size."""
    probe = path.with_suffix(".probe")
    each = write_file(probe, 20, TURNS, pad=PAD).stat().st_size / 20
    probe.unlink()
    write_file(path, round(size_bytes / each), TURNS, pad=PAD, n_seeds=n_seeds)


def fetch_peer(place: Path) -> Path | None:
    """The original's script out of its published wheel; None, loudly, without it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest"]
    done = subprocess.run(
        [*command, str(place), f"synth-ai=={VERSION}"], capture_output=True, text=True
    )
    wheels = sorted(place.glob("synth_ai-*.whl"))
    if done.returncode or not wheels:
        print(f"SKIPPED: synth-ai {VERSION} cannot be had here; name its script by --peer.")
        return None
    with zipfile.ZipFile(wheels[0]) as wheel:
        if PEER not in wheel.namelist():
            print(f"SKIPPED: {wheels[0].name} holds no {PEER}; name the script by --peer.")
            return None
        return Path(wheel.extract(PEER, place))


def count_differences(one: Path, other: Path) -> int:
    """Lines whose JSON differs, missing ones included."""
    with one.open() as left, other.open() as right:
        return sum(_value(a) != _value(b) for a, b in zip_longest(left, right))


def _value(line: str | None) -> Any:
    return json.loads(line) if line else None


if __name__ == "__main__":
    sys.exit(main())
