"""Which kinds of config there are, which one a config is, and what is wrong with its values."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from engine.config.dataset import DatasetConfig
from engine.config.mistakes import (
    ConfigErrors,
    Mistake,
    Path,
    nearest,
    show,
    unknown_key,
    wrong_value,
)
from engine.config.pipeline import PipelineConfig
from engine.config.play import EvalConfig, ForkConfig, RolloutConfig
from engine.config.rl import RlConfig
from engine.config.section import Section
from engine.config.sft import SftConfig
from engine.config.small import BaseConfig, NoopConfig

KINDS: dict[str, type[Section]] = {
    "eval": EvalConfig,
    "rollout": RolloutConfig,
    "fork": ForkConfig,
    "sft": SftConfig,
    "rl": RlConfig,
    "base": BaseConfig,
    "dataset": DatasetConfig,
    "pipeline": PipelineConfig,
    "noop": NoopConfig,
}
# A union such as `str | dict` puts the name of its branch into pydantic's paths.
_BRANCHES = frozenset(("str", "int", "float", "bool", "dict[str,any]", "list[str]"))


def find_kind(data: Mapping[str, Any]) -> str:
    """What kind of config this is: its `type`, else by its sections. Raises ConfigErrors."""
    kind = data.get("type")
    model = data.get("model")
    if kind == "rl" and isinstance(model, str):
        return "eval"  # Synth's math evals call themselves rl
    if kind is not None:
        if isinstance(kind, str) and kind in KINDS:
            return kind
        close = nearest(kind, list(KINDS)) if isinstance(kind, str) else ""
        wish = f", did you mean {close}?" if close else "."
        message = f"must be one of {', '.join(KINDS)}, not {show(kind)}{wish}"
        raise ConfigErrors("", [Mistake("type", message, nearest=close)])
    if "stages" in data:
        return "pipeline"
    if "job" in data:
        return "sft"
    if isinstance(model, str):
        return "eval"
    if isinstance(model, Mapping) or "training" in data:
        return "rl"
    message = (
        "cannot tell what kind of config this is: give type, or [stages] (pipeline), [job] (sft), "
        "[model] with [training] (rl), or model with num_episodes or seeds (eval)."
    )
    raise ConfigErrors("", [Mistake("", message, hint="All keys: docs/config.md")])


def check_kind(
    kind: str, data: Mapping[str, Any]
) -> tuple[Section | None, list[tuple[Path, Mistake]]]:
    """The typed config, or every mistake with the path of its key."""
    model = KINDS[kind]
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, _translate(model, error)


def _translate(model: type[Section], error: ValidationError) -> list[tuple[Path, Mistake]]:
    found: dict[Path, Mistake] = {}
    for raw in error.errors(include_url=False):
        path: Path = tuple(part for part in raw["loc"] if part not in _BRANCHES)
        if raw["type"] == "extra_forbidden":
            mistake = _unknown(model, path)
        else:
            mistake = wrong_value(path, dict(raw))
        found.setdefault(path, mistake)  # one complaint for all branches of a union
    return list(found.items())


def _unknown(model: type[Section], path: Path) -> Mistake:
    keys = all_keys(model)
    section = _section_name(path[:-1])
    prefix = f"{section}." if section else ""
    own = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
    known = sorted({key.split(".")[0] for key in own})
    name = str(path[-1])
    elsewhere = [key for key in keys if key.split(".")[-1] == name]
    return unknown_key(path, known, elsewhere)


def _section_name(path: Path) -> str:
    """The generic name of a section: names of stages become NAME."""
    words = [str(part) for part in path if not isinstance(part, int)]
    if len(words) > 1 and words[0] == "stages":
        words[1] = "NAME"
    return ".".join(words)


@cache
def all_keys(model: type[BaseModel], prefix: str = "") -> tuple[str, ...]:
    """Every dotted key of a kind, sections included; `stages.NAME.model` for tables by name."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        section = section_of(field.annotation)
        if section is not None:
            below = f"{prefix}{name}." + ("NAME." if section[1] else "")
            keys += all_keys(section[0], below)
    return tuple(keys)


def section_of(annotation: Any) -> tuple[type[Section], bool] | None:
    """The section that a field holds, and whether it holds several by name; None: a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    arguments = getattr(annotation, "__args__", ())
    named = getattr(annotation, "__origin__", None) is dict
    for argument in arguments:
        found = section_of(argument)
        if found is not None:
            return found[0], named
    return None
