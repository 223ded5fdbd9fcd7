"""Reading the environment: helpers refuse an odd value, naming the variable and what is allowed.

Only `synthweb/settings.py` (and the bootstrap, before Django exists) reads the environment; a
command that needs a variable of another program asks the helpers here too.
"""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Iterable
from pathlib import Path

TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off", "")


class SettingError(ValueError):
    """An environment variable holds what it must not; the message names it and what is allowed."""


def text(name: str, default: str = "") -> str:
    """A string, stripped; an empty one means the default. NUL and newlines are refused."""
    value = os.environ.get(name, "").strip() or default
    if any(c in value for c in "\0\r\n"):
        raise SettingError(f"{name}: control characters are not allowed")
    return value


def flag(name: str, *, default: bool = False) -> bool:
    """A yes or no."""
    value = os.environ.get(name)
    if value is None:
        return default
    if value.strip().lower() in TRUE:
        return True
    if value.strip().lower() in FALSE:
        return False
    raise SettingError(f"{name}={value!r}: expected one of {', '.join(TRUE + FALSE[:-1])}")


def integer(name: str, default: int, *, low: int, high: int) -> int:
    """A whole number within [low, high]."""
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise SettingError(f"{name}={value!r}: expected a whole number from {low} to {high}")
    return number


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of a closed list."""
    value = os.environ.get(name, "").strip() or default
    if value not in allowed:
        raise SettingError(f"{name}={value!r}: expected one of {', '.join(allowed)}")
    return value


def items(name: str, default: str = "") -> list[str]:
    """A comma-separated list; empty entries fall away."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def pairs(name: str) -> dict[str, str]:
    """A comma-separated list of `this=that`."""
    found = {}
    for item in items(name):
        left, _, right = (part.strip() for part in item.partition("="))
        if not left or not right or left == right:
            raise SettingError(f"{name}: {item!r} is not THIS=THAT")
        found[left] = right
    return found


def path(name: str, default: Path) -> Path:
    """An absolute path; `~` is expanded."""
    value = text(name)
    return Path(value).expanduser().resolve() if value else default.resolve()


def secret(name: str, default: str = "") -> str:
    """A secret from `NAME`, or from the file that `NAME_FILE` names (never both)."""
    value, file = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if value and file:
        raise SettingError(f"{name} and {name}_FILE are both set: keep one")
    if file:
        try:
            value = Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as err:
            raise SettingError(f"{name}_FILE={file!r}: cannot be read: {err}") from err
        if not value:
            raise SettingError(f"{name}_FILE={file!r}: the file is empty")
    return value or default


def kept_secret(name: str, file: Path) -> str:
    """A secret from the environment, else from `file`, which is made on first use (mode 0600).

    Any number of processes may ask at once: linking decides, and all read the same value.
    """
    value = secret(name)
    if value:
        return value
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        staged = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        staged.touch(mode=0o600)
        staged.write_text(secrets.token_urlsafe(48))
        try:
            os.link(staged, file)
        except FileExistsError:
            pass
        finally:
            staged.unlink()
    return file.read_text().strip()


def inherited(names: Iterable[str]) -> dict[str, str]:
    """Those of the variables that are set, as they are: what a child process is given."""
    return {name: os.environ[name] for name in names if name in os.environ}


def read_env_file(file: Path) -> dict[str, str]:
    """The KEY=VALUE lines of a file, as shells and `synth-ai` write them. Raises OSError,
    ValueError naming the line that is none."""
    found: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ValueError(f"line {number} is no KEY=VALUE")
        found[name.strip()] = "".join(shlex.split(value, comments=True))
    return found
