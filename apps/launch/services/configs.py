"""Reading and storing configs: every mistake at once, files only from where they may come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.runs.models import Config
from apps.runs.services import store_config
from engine.config import Loaded, apply_sets, dump_toml, load_json, load_toml


def check_text(
    *, text: str, name: str, sets: Iterable[str] = (), folder: Path | None = None
) -> Loaded:
    """Read a TOML text without storing it. Raises ConfigErrors with every mistake.

    folder: where the files lie that a pipeline's stages name; configs/ where none is given. Only
    the command line gives one: it reads what its user could read anyway.
    """
    loaded = load_toml(text, name=name, read_file=_reader(folder))
    return _changed(loaded, sets)


def check_data(*, data: Mapping[str, Any], name: str, sets: Iterable[str] = ()) -> Loaded:
    """The same for a config that came as JSON."""
    return _changed(load_json(data, name=name, read_file=_reader(None)), sets)


def import_config(
    *,
    actor: Actor,
    text: str,
    name: str,
    sets: Iterable[str] = (),
    parent: Config | None = None,
    folder: Path | None = None,
) -> Config:
    """Store a TOML text. The same name and text again gives the config that is there already.

    Raises ConfigErrors with every mistake; nothing is stored then.
    """
    actor.require(Role.EDITOR)
    changes = list(sets)
    loaded = check_text(text=text, name=name, sets=changes, folder=folder)
    toml = dump_toml(loaded.data) if changes else text
    return _store(actor, loaded, _title(name), toml, parent)


def import_data(
    *,
    actor: Actor,
    data: Mapping[str, Any],
    name: str,
    sets: Iterable[str] = (),
    parent: Config | None = None,
) -> Config:
    """Store a config that came as JSON, with the TOML that says the same."""
    actor.require(Role.EDITOR)
    loaded = check_data(data=data, name=name, sets=sets)
    return _store(actor, loaded, _title(name), dump_toml(loaded.data), parent)


def load_stored(config: Config, sets: Iterable[str] = ()) -> Loaded:
    """A stored config, typed, with changes. Raises ConfigErrors."""
    changes = list(sets)
    data = apply_sets(config.data, changes) if changes else config.data
    return load_json(data, name=config.name)


def with_sets(*, actor: Actor, config: Config, sets: Iterable[str]) -> Config:
    """The config itself, or a stored child of it with `sets` put in. Raises ConfigErrors."""
    changes = list(sets)
    if not changes:
        return config
    loaded = load_stored(config, changes)
    return _store(actor, loaded, config.name, dump_toml(loaded.data), config)


def _changed(loaded: Loaded, sets: Iterable[str]) -> Loaded:
    changes = list(sets)
    if not changes:
        return loaded
    return load_json(apply_sets(loaded.data, changes), name=loaded.name)


def _store(actor: Actor, loaded: Loaded, name: str, toml: str, parent: Config | None) -> Config:
    config = store_config(
        project=actor.project,
        user=actor.user,
        name=name,
        kind=loaded.kind,
        toml=toml,
        data=loaded.data,
        parent=parent,
    )
    record(actor=actor, verb="config.stored", target=f"config:{config.pk}")
    return config


def _title(name: str) -> str:
    """The name of a config: that of its file, without the folder."""
    title = Path(name).name
    if not 1 <= len(title) <= 200 or "\0" in title:
        words = "A config's name has 1 to 200 characters and no NUL."
        raise Refused("bad_name", words, status=422, fields={"name": words})
    return title


def _reader(folder: Path | None) -> Any:
    """Reads files beside the pipeline; no link leads out of that folder."""
    base = (folder or settings.BASE_DIR / "configs").resolve()

    def read_file(name: str) -> str:
        path = (base / name).resolve()
        if path.parent != base:
            raise FileNotFoundError(name)
        return path.read_text(encoding="utf-8")

    return read_file
