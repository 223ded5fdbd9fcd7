"""The config form: fields generated from the config's JSON Schema, and edits written into the TOML.

The TOML text is the only truth. A changed field changes its one line (or adds it), so comments and
order survive; an emptied field takes its line away, which gives the default back.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from engine.config import schema

_SYNONYM = "The same as "
_HEADER = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")


class Field(NamedTuple):
    """One key as the form shows it. `value` is the text in the TOML, "" for the default."""

    key: str
    label: str
    help: str
    value: str
    default: str
    choices: tuple[str, ...]
    kind: str  # text | number | choice


class FormSection(NamedTuple):
    """A table of the config; `used` when the TOML sets something in it."""

    name: str
    help: str
    fields: list[Field]
    used: bool


def form_sections(kind: str, data: Mapping[str, Any]) -> list[FormSection]:
    """The form of a config: its top level first, then its tables in the order of the schema."""
    root = schema(kind)
    return [section for section in _sections(root, root, data, "") if section.fields]


def changed_fields(sections: list[FormSection], sent: Mapping[str, str]) -> list[tuple[Field, str]]:
    """The fields whose sent text differs from what the form showed."""
    fields = (field for section in sections for field in section.fields)
    found = ((field, sent.get(f"set:{field.key}")) for field in fields)
    return [
        (field, text.strip())
        for field, text in found
        if text is not None and text.strip() != field.value
    ]


def put_value(text: str, field: Field, value: str) -> str:
    """The TOML with one key set to `value`, or without it when that is empty."""
    *table, key = field.key.split(".")
    lines = text.splitlines()
    at = _line_of(text, field.key)
    literal = f"{key} = {_literal(field, value)}"
    if at is not None:
        lines[at : at + 1] = [_keep_comment(lines[at], literal)] if value else []
    elif value:
        where = _end_of_table(lines, ".".join(table))
        lines[where:where] = [literal] if where is not None else []
        if where is None:
            lines += ["", f"[{'.'.join(table)}]", literal]
    return "\n".join(lines).rstrip("\n") + "\n"


def _sections(
    root: dict[str, Any], node: dict[str, Any], data: Mapping[str, Any], path: str
) -> Iterator[FormSection]:
    fields: list[Field] = []
    below: list[FormSection] = []
    for key, raw in node.get("properties", {}).items():
        shape = _resolve(root, raw)
        value = data.get(key)
        name = f"{path}{key}"
        if shape.get("properties"):
            inner = value if isinstance(value, Mapping) else {}
            below += _sections(root, {**shape, "title": name}, inner, f"{name}.")
        elif value is not None or not str(raw.get("description", "")).startswith(_SYNONYM):
            field = _field(name, key, raw, shape, value)
            fields += [field] if field else []
    used = any(field.value for field in fields)
    help_text = str(node.get("description", "")).split("\n")[0]
    yield FormSection(path.rstrip("."), help_text, fields, used)
    yield from below


def _resolve(root: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a reference or behind "this or nothing"."""
    options = [option for option in raw.get("anyOf", [raw]) if option.get("type") != "null"]
    shape = options[0] if options else raw
    reference = str(shape.get("$ref", "")).rpartition("/")[2]
    found: dict[str, Any] = root.get("$defs", {}).get(reference, shape)
    return found


def _field(
    name: str, key: str, raw: dict[str, Any], shape: dict[str, Any], value: Any
) -> Field | None:
    kind = shape.get("type", "")
    if kind == "object" or isinstance(value, Mapping):
        return None  # free tables (and pipelines' stages) are edited as text
    choices = tuple(str(choice) for choice in shape.get("enum", ()))
    if kind == "boolean":
        choices = ("true", "false")
    shown = "choice" if choices else "number" if kind in ("integer", "number") else "text"
    default = raw.get("default", shape.get("default"))
    return Field(
        key=name,
        label=key.replace("_", " "),
        help=str(raw.get("description", shape.get("description", ""))),
        value=_text(value),
        default=_text(default),
        choices=choices,
        kind=shown,
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _literal(field: Field, value: str) -> str:
    """The value as TOML: numbers, lists and booleans as they are, words in quotes."""
    if field.kind == "number" or field.choices == ("true", "false") or value[:1] in "[{":
        try:
            tomllib.loads(f"x = {value}")
            return value
        except tomllib.TOMLDecodeError:
            pass
    return json.dumps(value, ensure_ascii=False)


def _line_of(text: str, key: str) -> int | None:
    """The index of the line on which a key is set; None when it is not."""
    table = ""
    for index, line in enumerate(text.splitlines()):
        header = _HEADER.match(line)
        if header:
            table = header[1].replace(" ", "")
        elif "=" in line and not line.lstrip().startswith("#"):
            name = line.partition("=")[0].strip().strip('"')
            if (f"{table}." if table else "") + name == key:
                return index
    return None


def _keep_comment(line: str, literal: str) -> str:
    """The new line with the old one's comment, when that is plainly one."""
    old = line.partition("=")[2]
    match = re.search(r"\s+#[^\"']*$", old)
    return f"{literal}{match[0]}" if match else literal


def _end_of_table(lines: list[str], table: str) -> int | None:
    """Where a new line of a table goes: behind its last key; None when there is no such table."""
    start = 0 if not table else None
    end = start
    for index, line in enumerate(lines):
        header = _HEADER.match(line)
        if header or line.lstrip().startswith("[["):
            if start is not None:
                break
            if header and header[1].replace(" ", "") == table:
                start = end = index + 1
        elif start is not None and line.strip():
            end = index + 1
    return end if start is not None else None
