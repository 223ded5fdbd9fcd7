"""A finding: what was looked at, how it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

Level = Literal["ok", "note", "problem"]  # only a problem makes doctor fail


class Finding(NamedTuple):
    check: str
    level: Level
    found: str
    mend: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check, "ok", found)


def note(check: str, found: str, mend: str) -> Finding:
    """Something works less well than it could."""
    return Finding(check, "note", found, mend)


def problem(check: str, found: str, mend: str) -> Finding:
    """Something does not work until it is mended."""
    return Finding(check, "problem", found, mend)


def examine(checks: Iterable[Callable[[], Finding]]) -> list[Finding]:
    """Run all checks; one that breaks is itself a problem."""
    return [_run(check) for check in checks]


def _run(check: Callable[[], Finding]) -> Finding:
    name = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        return check()
    except Exception as err:
        return problem(name, f"could not be checked: {err}", "Read the message; then run it again.")
