"""Changing and writing configs: `--set key=value`, and TOML out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.config.guards import check_plain
from engine.config.kinds import KINDS, find_kind, section_of
from engine.config.mistakes import ConfigErrors, Mistake, dotted
from engine.config.section import Section

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def apply_sets(data: Mapping[str, Any], sets: Iterable[str]) -> dict[str, Any]:
    """A copy of `data` with `key.path=value` put in; values as in TOML, bare words are strings.

    Raises ConfigErrors for a text that is no assignment or goes below a plain value.
    """
    result: dict[str, Any] = _copy(data)
    mistakes = []
    for text in sets:
        key, equals, value = text.partition("=")
        try:
            path = _read_key(key) if equals else []
        except ValueError:
            path = []
        if not path:
            mistakes.append(Mistake("", f"{text[:80]!r} is not key=value."))
            continue
        problem = _assign(result, path, _read_value(value.strip()))
        mistakes += [problem] if problem else []
    if mistakes:
        raise ConfigErrors("--set", mistakes)
    return result


def dump_toml(config: Section | Mapping[str, Any], *, comments: bool = False) -> str:
    """A config as TOML, always in the same order; of a typed config, what was written.

    comments: put the sentence of each key above it. Raises ConfigErrors for values that no config
    may hold (see guards.py).
    """
    data: Mapping[str, Any]
    if isinstance(config, Section):
        data = config.model_dump(mode="json", exclude_unset=True)
    else:
        data = config
        if broken := check_plain(data, ""):
            raise ConfigErrors("", broken)
    model = KINDS[find_kind(data)] if comments else None
    lines: list[str] = []
    _write_table(data, (), model, lines)
    return "\n".join(lines).strip() + "\n"


def _read_key(text: str) -> list[str]:
    table = tomllib.loads(f"{text.strip()} = 0")
    path = []
    value: Any = table
    while isinstance(value, dict):
        if len(value) != 1:
            raise ValueError("not one key")
        key, value = next(iter(value.items()))
        path.append(key)
    return path


def _read_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _assign(data: dict[str, Any], path: Sequence[str], value: Any) -> Mistake | None:
    for index, part in enumerate(path[:-1]):
        below = data.setdefault(part, {})
        if not isinstance(below, dict):
            key = dotted(tuple(path[: index + 1]))
            return Mistake(dotted(tuple(path)), f"{key} is no table but a value.")
        data = below
    data[path[-1]] = value
    return None


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(below) for key, below in value.items()}
    return [_copy(item) for item in value] if isinstance(value, (list, tuple)) else value


def _write_table(
    table: Mapping[str, Any], path: tuple[str, ...], model: type[Section] | None, lines: list[str]
) -> None:
    """Plain values first, then the tables below, each under its header."""
    plain = {k: v for k, v in table.items() if v is not None and not isinstance(v, Mapping)}
    below = {k: v for k, v in table.items() if isinstance(v, Mapping)}
    if path and (plain or not below):
        lines += ["", f"[{'.'.join(map(_write_key, path))}]"]
    for key, value in plain.items():
        field = model.model_fields.get(key) if model else None
        if field is not None and field.description:
            lines.append("# " + field.description.replace("\n", " "))
        lines.append(f"{_write_key(key)} = {_write_value(value)}")
    for key, value in below.items():
        field = model.model_fields.get(key) if model else None
        section = section_of(field.annotation) if field else None
        named = section is not None and section[1]
        if named and section is not None:
            for name, inner in value.items():
                _write_table(inner, (*path, key, name), section[0], lines)
        else:
            _write_table(value, (*path, key), section[0] if section else None, lines)


def _write_key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _write_text(key)


def _write_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _write_text(value)
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" in text else f"{text}.0"
    if isinstance(value, Mapping):
        pairs = (f"{_write_key(k)} = {_write_value(v)}" for k, v in value.items() if v is not None)
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_write_value(item) for item in value) + "]"
    return str(value)


def _write_text(text: str) -> str:
    """A basic string. JSON's escapes are TOML's, but for DEL and half pairs (refused on reading).
    A basic string. JSON's escapes are TOML's, but for DEL and half pairs (refused on reading)."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
