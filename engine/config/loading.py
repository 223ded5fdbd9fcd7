"""Text or JSON in, a typed config out, or every mistake at once with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.config.guards import check_plain, check_size
from engine.config.kinds import check_kind, find_kind
from engine.config.mistakes import ConfigErrors, Mistake, Path, dotted
from engine.config.pipeline import PipelineConfig
from engine.config.positions import Position, find_positions
from engine.config.section import Section
from engine.config.stages import StagePlan, plan_stages

ReadFile = Callable[[str], str]
Positions = Mapping[Path, Position]
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\.toml")
_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid config. `data` is what was written, with the files of stages put in; JSON-ready.

    `stages` is empty but for a pipeline.
    """

    kind: str
    config: Section
    data: dict[str, Any]
    name: str
    stages: tuple[StagePlan, ...] = ()


def load_toml(text: str, *, name: str = "config.toml", read_file: ReadFile | None = None) -> Loaded:
    """Read a config. `read_file` gives the text of a file that a stage names.

    Raises ConfigErrors with every mistake, each with its line.
    """
    data, positions = _parse(text, name)
    return _load(data, positions, name, read_file)


def load_json(
    data: Mapping[str, Any], *, name: str = "", read_file: ReadFile | None = None
) -> Loaded:
    """Read a config that is already parsed. Raises ConfigErrors with every mistake."""
    return _load(dict(data), {}, name, read_file)


def kind_of(data: Mapping[str, Any]) -> str:
    """What kind of config this is. Raises ConfigErrors."""
    return find_kind(data)


def _parse(text: str, name: str) -> tuple[dict[str, Any], Positions]:
    check_size(text, name)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigErrors(name, [_syntax_mistake(str(error), text)]) from error
    except RecursionError as error:
        raise ConfigErrors(name, [Mistake("", "nested too deep to read.")]) from error
    except ValueError as error:  # a number of more than 4,300 digits, an impossible date
        message = f"cannot be read: {str(error)[:200]}"
        raise ConfigErrors(name, [Mistake("", message)]) from error
    plain = check_plain(data, name)  # before the scanner, which recurses
    positions = find_positions(text)
    if plain:
        raise ConfigErrors(name, [_placed(mistake, positions) for mistake in plain])
    return data, positions


def _load(
    data: dict[str, Any], positions: Positions, name: str, read_file: ReadFile | None
) -> Loaded:
    if not positions:
        plain = check_plain(data, name)
        if plain:
            raise ConfigErrors(name, plain)
    try:
        kind = find_kind(data)
    except ConfigErrors as error:
        raise _renamed(error, name, positions) from None
    config, found = check_kind(kind, data)
    if config is None:
        raise ConfigErrors(name, [_placed(m, positions, path) for path, m in found])
    if not isinstance(config, PipelineConfig):
        return Loaded(kind, config, data, name)
    try:
        stages = plan_stages(config, lambda file: _stage_file(file, read_file))
    except ConfigErrors as error:
        raise _renamed(error, name, positions) from None
    whole = _put_in(data, config, read_file)
    return Loaded(kind, PipelineConfig.model_validate(whole), whole, name, tuple(stages))


def _stage_file(file: str, read_file: ReadFile | None) -> dict[str, Any]:
    if not _FILE_NAME.fullmatch(file):
        message = "a stage names a file beside the pipeline: letters, digits, - _ and .toml."
        raise ConfigErrors("", [Mistake("", message)])
    if read_file is None:
        raise ConfigErrors("", [Mistake("", f"{file} cannot be read from here.")])
    try:
        text = read_file(file)
    except OSError as error:
        raise ConfigErrors("", [Mistake("", f"there is no file {file}.")]) from error
    return _parse(text, file)[0]


def _put_in(
    data: dict[str, Any], config: PipelineConfig, read_file: ReadFile | None
) -> dict[str, Any]:
    """The pipeline with its stages' files put in, so that it no longer depends on them."""
    stages = {name: dict(stage) for name, stage in data["stages"].items()}
    for name, stage in config.stages.items():
        if isinstance(stage.config, str):
            stages[name]["config"] = _stage_file(stage.config, read_file)
    return {**data, "stages": stages}


def _syntax_mistake(message: str, text: str) -> Mistake:
    match = _AT_LINE.search(message)
    line, column = text.count("\n") + 1, 1
    if match and match[1]:
        line, column = int(match[1]), int(match[2])
    words = message[: match.start()] if match else message
    return Mistake("", f"is not valid TOML: {words[:200]}.", line, column)


def _placed(mistake: Mistake, positions: Positions, path: Path | None = None) -> Mistake:
    """The mistake with the line of its key, or of the nearest section around it."""
    if mistake.line or not positions:
        return mistake
    if path is None:
        by_key = {dotted(known): known for known in positions}
        path = by_key.get(mistake.key)
        parts = mistake.key
        while path is None and "." in parts:
            parts = parts.rpartition(".")[0]
            path = by_key.get(parts)
    while path and path not in positions:
        path = path[:-1]
    line, column = positions.get(path or (), (1, 1))
    return replace(mistake, line=line, column=column)


def _renamed(error: ConfigErrors, name: str, positions: Positions) -> ConfigErrors:
    return ConfigErrors(name, [_placed(mistake, positions) for mistake in error.mistakes])
