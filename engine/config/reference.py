"""What generates documentation from the sections: JSON Schema and docs/config.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

from engine.config.kinds import KINDS, section_of
from engine.config.section import Section

_INTRODUCTION = """# Every key of a config

Generated from `engine/config/` by `python manage.py config_docs`; do not edit.

A config is a TOML file. Its kind is its `type`, else what its sections say: `[stages]` is a
pipeline, `[job]` an sft, `[model]` with `[training]` an rl, `model` with `num_episodes` or `seeds`
an eval. Synth's keys are accepted as they are. An unknown key is an error that names the nearest
known one; a key without effect on the machine is kept and reported. A config never holds a secret:
it names a provider. `--set key.path=value` changes one value without a new file.
"""


def schema(kind: str | None = None) -> dict[str, Any]:
    """The JSON Schema of one kind, or of all. Raises KeyError for a kind that does not exist."""
    if kind is not None:
        return KINDS[kind].model_json_schema()
    _, definitions = models_json_schema(
        [(model, "validation") for model in KINDS.values()], title="synthweb config"
    )
    references = [{"$ref": f"#/$defs/{model.__name__}"} for model in KINDS.values()]
    kinds = {name: f"#/$defs/{model.__name__}" for name, model in KINDS.items()}
    return {**definitions, "anyOf": references, "kinds": kinds}


def reference() -> str:
    """The text of docs/config.md: a table of keys for each kind."""
    parts = [_INTRODUCTION]
    for name, model in KINDS.items():
        rows = "\n".join(_rows(model, ""))
        parts.append(
            f"## {name}\n\n{_first_line(model.__doc__)}\n\n"
            f"| key | value | default | |\n|---|---|---|---|\n{rows}\n"
        )
    return "\n".join(parts)


def _rows(model: type[Section], prefix: str) -> Iterator[str]:
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        key = prefix + name
        if section is None:
            value = _value_words(properties[name])
            yield f"| `{key}` | {value} | {_default_words(field)} | {_cell(_meaning(field))} |"
            continue
        below = f"{key}.NAME." if section[1] else f"{key}."
        yield f"| `[{below[:-1]}]` | | | {_cell(_meaning(field))} |"
        yield from _rows(section[0], below)


def _meaning(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    effect = extra.get("effect") if isinstance(extra, dict) else None
    text = field.description or ""
    if effect == "gpu":
        return f"{text} Without a GPU it has no effect."
    return f"{text} Has no effect: {effect}." if effect else text


def _value_words(property_: dict[str, Any]) -> str:
    branches = [b for b in property_.get("anyOf", [property_]) if b.get("type") != "null"]
    words = []
    for branch in branches:
        if "enum" in branch or "const" in branch:
            words.append(" ".join(f"`{v}`" for v in branch.get("enum", [branch.get("const")])))
            continue
        word = str(branch.get("type", "value")).replace("object", "table").replace("array", "list")
        limits = [
            f"{sign} {branch[key]}"
            for key, sign in _SIGNS.items()
            if key in branch and branch[key] < 2**31
        ]
        words.append(" ".join([word, *limits]))
    return _cell(" or ".join(words))


_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _default_words(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default in (None, "", {}, []):
        return ""
    return f"`{json.dumps(field.default, ensure_ascii=False)}`"


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
