"""From a fresh clone to a running instance, with the standard library only: `make up`, `make test`.

`python3 -m synthweb.bootstrap up|web|train|dev`. Each part of the installation has a stamp in the
venv that holds the hash of its lock and is written last: a half-finished installation has none and
is repaired by running again. Nothing here imports Django.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

MIN_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = ROOT / "requirements"
NEWER = ("python3.13", "python3.12", "python3.11")


class SetupError(Exception):
    """Setting up cannot go on; the message says what to do."""


def main(argv: list[str]) -> int:
    """Run one part; a sentence and exit code 1 when it cannot be done."""
    parser = argparse.ArgumentParser(prog="bootstrap", description=__doc__)
    parser.add_argument("part", choices=["up", "web", "train", "dev"])
    part = parser.parse_args(argv).part
    try:
        ensure_python()
        if part == "train":
            from synthweb import train_parts

            train_parts.install_with_progress()
            return 0
        with one_at_a_time():
            ensure_venv()
            ensure_lock("dev" if part == "dev" else "web")
    except SetupError as err:
        print(f"\n{err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    return start() if part == "up" else 0


def ensure_python() -> None:
    """Go on with a Python that is new enough, or say what to install."""
    if sys.version_info >= MIN_PYTHON:
        return
    for name in NEWER:
        found = shutil.which(name)
        if found and _runs([found, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]):
            os.execv(found, [found, "-m", "synthweb.bootstrap", *sys.argv[1:]])  # noqa: S606
    raise SetupError(
        "synthweb needs Python 3.11 or newer; this is "
        f"{sys.version.split()[0]} ({sys.executable}).\n"
        "Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install "
        "python@3.12), or name it: make up PYTHON=/path/to/python3.12"
    )


@contextmanager
def one_at_a_time():  # type: ignore[no-untyped-def]
    """Hold the installation's lock: a second installer waits and says so."""
    VENV.parent.mkdir(parents=True, exist_ok=True)
    with open(ROOT / ".install.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another installation is at work here; waiting for it.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure_venv() -> None:
    """A venv whose Python and pip work; a broken or half-made one is made again."""
    if PYTHON.exists() and _runs([str(PYTHON), "-c", "import pip, sys; assert sys.prefix"]):
        return
    print(f"Making {VENV} with Python {sys.version.split()[0]} …", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=False)
    if made.returncode:
        raise SetupError(
            "The venv could not be made. On Debian and Ubuntu: apt install python3-venv"
        )


def ensure_lock(name: str) -> None:
    """Install `requirements/NAME.lock` unless its stamp says that it is there."""
    if stamp_is_right(name):
        return
    began = time.monotonic()
    print(f"Installing {count_packages(name)} pinned packages ({name}) …", flush=True)
    run_pip(lock_arguments(name))
    write_stamp(name)
    print(f"Installed in {time.monotonic() - began:.0f} s.", flush=True)


def lock_arguments(name: str) -> list[str]:
    """Arguments that install a lock exactly as it is, hashes checked."""
    return ["--require-hashes", "--no-deps", "--no-compile", "-r", str(LOCKS / f"{name}.lock")]


def run_pip(arguments: list[str]) -> None:
    """`pip install`, quiet; raises SetupError with pip's last lines."""
    base = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "-q"]
    done = subprocess.run([*base, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise SetupError(
            f"pip could not install ({' '.join(arguments)}):\n{tail}\n"
            "Check the network and the free disk space, then run the same command again."
        )


def count_packages(name: str) -> int:
    """How many packages a lock pins."""
    lines = (LOCKS / f"{name}.lock").read_text().splitlines()
    return sum("==" in line and not line.startswith((" ", "#")) for line in lines)


def stamp_path(name: str) -> Path:
    return VENV / f".installed-{name}"


def stamp_of(name: str) -> str:
    """What the stamp of an installed lock holds: the lock's hash and the venv's Python."""
    digest = hashlib.sha256((LOCKS / f"{name}.lock").read_bytes()).hexdigest()
    return f"{digest} {os.path.realpath(PYTHON)}"


def stamp_is_right(name: str) -> bool:
    """Is this very lock installed in this venv?"""
    path = stamp_path(name)
    return path.exists() and path.read_text() == stamp_of(name)


def write_stamp(name: str) -> None:
    """Note that the lock is installed; the last step, and all or nothing."""
    staged = stamp_path(name).with_suffix(".tmp")
    staged.write_text(stamp_of(name))
    staged.replace(stamp_path(name))


def start() -> int:
    """Set the instance up and become its supervisor."""
    os.chdir(ROOT)
    done = subprocess.run([str(PYTHON), "manage.py", "setup_instance"], check=False)
    if done.returncode:
        print("Setting up the database failed; what is wrong: make doctor", file=sys.stderr)
        return done.returncode
    os.execv(PYTHON, [str(PYTHON), "-m", "synthweb.up"])  # noqa: S606


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
