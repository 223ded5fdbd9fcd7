"""What is refused in any config, whatever its kind: bombs, values JSON cannot hold, secrets.

Limits are generous for people (the longest config of ours has 90 keys) and small for machines, so
that a hostile text costs at most some hundredths of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from engine.config.mistakes import ConfigErrors, Mistake, Path, dotted

MAX_BYTES = 1_000_000
MAX_DEPTH = 16
MAX_VALUES = 200_000  # keys and list items together
MAX_KEYS = 5_000
MAX_HEADERS = 1_000
_INT64 = 2**63

# tomllib takes quadratic time for one key of many dotted parts, so those never reach it.
_DOTTED_BOMB = re.compile(
    rf"(?<![\w\"'.-])(?:(?:\"[^\"\n]*\"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){{{MAX_DEPTH + 1}}}"
)
_SECRET_KEY = re.compile(
    r"^(x[-_]?)?(api[-_]?keys?|authorization|password|passwd|secret|credentials?|cookie|token|bearer)$"
    r"|[-_](api[-_]?key|secret|password|token|credentials)$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"^\s*(bearer|basic)\s+\S{8,}"
    r"|\b(sk|pk|gsk|xai|hf|ghp|glpat|sk-ant|sk_live|swk)[-_][A-Za-z0-9_-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----",
    re.IGNORECASE,
)
_NO_SECRETS = "A config never holds a secret: add a provider in Settings and name it here."


def check_size(text: str, name: str) -> None:
    """Refuse a text too large or too deep to read. Raises ConfigErrors."""
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise ConfigErrors(name, [Mistake("", f"larger than the {MAX_BYTES:,} bytes allowed.")])
    if text.count("\n[") > MAX_HEADERS:
        raise ConfigErrors(name, [Mistake("", f"more than the {MAX_HEADERS:,} sections allowed.")])
    for number, line in enumerate(text.split("\n"), start=1):
        bomb = _DOTTED_BOMB.search(line)
        if bomb:
            message = f"a key of more than {MAX_DEPTH} dotted parts."
            raise ConfigErrors(name, [Mistake("", message, number, bomb.start() + 1)])


def check_plain(data: Mapping[str, Any], name: str) -> list[Mistake]:
    """Mistakes of a parsed config that no kind allows.

    Raises ConfigErrors at once when the structure itself is too large to look at.
    """
    mistakes: list[Mistake] = []
    n_keys = 0
    for n_values, (path, value) in enumerate(walk(data)):
        n_keys += isinstance(path[-1], str)
        if n_values > MAX_VALUES or n_keys > MAX_KEYS:
            limit = f"{MAX_KEYS:,} keys or {MAX_VALUES:,} values"
            raise ConfigErrors(name, [Mistake("", f"more than the {limit} allowed.")])
        if len(path) > MAX_DEPTH:
            message = f"nested more than {MAX_DEPTH} levels deep."
            raise ConfigErrors(name, [Mistake(dotted(path), message)])
        mistakes += _check_value(path, value)
    return mistakes


def walk(data: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value below `data` with its path, parents before children; without recursion."""
    stack: list[tuple[Path, Any]] = [(path, data)]
    while stack:
        here, value = stack.pop()
        if here != path:
            yield here, value
        if len(here) > MAX_DEPTH:
            continue
        if isinstance(value, Mapping):
            stack += [((*here, str(key)), value[key]) for key in reversed(list(value))]
        elif isinstance(value, (list, tuple)):
            stack += [((*here, i), value[i]) for i in reversed(range(len(value)))]


def _check_value(path: Path, value: Any) -> list[Mistake]:
    key = path[-1]
    texts = [text for text in (key, value) if isinstance(text, str)]
    if any("\0" in text or _has_surrogate(text) for text in texts):
        return [
            Mistake(dotted(path), "holds a character that cannot be stored (NUL or half a pair).")
        ]
    if isinstance(key, str) and _SECRET_KEY.search(key) and not isinstance(value, (bool, dict)):
        return [Mistake(dotted(path), "looks like a secret.", hint=_NO_SECRETS)]
    if isinstance(value, str) and (_SECRET_VALUE.search(value) or _has_user_info(value)):
        return [Mistake(dotted(path), "its value looks like a secret.", hint=_NO_SECRETS)]
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return [Mistake(dotted(path), "is larger than 64 bits can hold.")]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return [Mistake(dotted(path), "must be a finite number, not nan or inf.")]
    if not isinstance(value, (str, int, float, bool, list, tuple, Mapping)) and value is not None:
        return [Mistake(dotted(path), "dates and times are not used: write a string or a number.")]
    return []


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


def _has_user_info(text: str) -> bool:
    if "://" not in text or "@" not in text:
        return False
    try:
        return bool(urlsplit(text.strip()).password)
    except ValueError:
        return False
