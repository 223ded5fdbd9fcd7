"""Reads what people send in addresses and forms: text without NUL, numbers, or a refusal."""

from __future__ import annotations

from django.http import QueryDict

from apps.accounts.errors import Refused

MAX_TEXT = 300


def text_of(data: QueryDict, name: str) -> str | None:
    """The value, trimmed; None when it is missing or empty. Raises Refused(422) for odd ones."""
    value = data.get(name, "").strip()
    if "\0" in value or len(value) > MAX_TEXT:
        raise _bad(name, "is too long or holds a NUL")
    return value or None


def whole_of(data: QueryDict, name: str) -> int | None:
    """The value as a whole number; None when it is missing. Raises Refused(422)."""
    value = text_of(data, name)
    if value is None:
        return None
    try:
        number = int(value)
    except ValueError:
        raise _bad(name, "is no whole number") from None
    if abs(number) >= 2**62:
        raise _bad(name, "is too large")
    return number


def decimal_of(data: QueryDict, name: str) -> float | None:
    """The value as a finite number; None when it is missing. Raises Refused(422)."""
    value = text_of(data, name)
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        raise _bad(name, "is no number") from None
    if not abs(number) < 1e300:
        raise _bad(name, "is no finite number")
    return number


def numbers_of(data: QueryDict, name: str) -> list[int]:
    """Whole numbers given as `name=1,2` or `name=1&name=2`, in order. Raises Refused(422)."""
    parts = [part for value in data.getlist(name) for part in value.split(",") if part.strip()]
    try:
        found = [int(part) for part in parts]
    except ValueError:
        raise _bad(name, "must be numbers with commas between them") from None
    if any(abs(number) >= 2**62 for number in found):
        raise _bad(name, "is too large")
    return found


def _bad(name: str, why: str) -> Refused:
    return Refused("bad_value", f"{name} {why}.", status=422, fields={name: why})
