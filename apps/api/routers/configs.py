"""Configs: store, list, read, and the JSON Schema of every kind."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status

from apps.accounts.errors import Refused
from apps.accounts.queries import Actor
from apps.api.auth import actor_of
from apps.api.shapes import ConfigOut, Listed
from apps.launch import services
from apps.runs import queries
from apps.runs.models import Config
from engine import config as engine_config

router = Router(tags=["configs"])


class ConfigIn(Schema):
    """A config as TOML text, or the same as JSON; exactly one of the two."""

    name: str = "config.toml"
    toml: str | None = None
    config: dict[str, Any] | None = None
    set: list[str] = []

    def store(self, actor: Actor) -> Config:
        """Validate and store it. Raises ConfigErrors, and Refused(422) for two forms or none."""
        if (self.toml is None) == (self.config is None):
            raise Refused(
                "invalid", "Give `toml` (text) or `config` (JSON), one of them.", status=422
            )
        if self.toml is None:
            return services.import_data(
                actor=actor, data=self.config or {}, name=self.name, sets=self.set
            )
        return services.import_config(actor=actor, text=self.toml, name=self.name, sets=self.set)


@router.get("/configs", response=Listed[ConfigOut])
def list_configs(
    request: HttpRequest, kind: str | None = None, cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """Stored configs, newest first."""
    page = queries.list_configs(
        project=actor_of(request).project, kind=kind, cursor=cursor, limit=limit
    )
    return {"items": [ConfigOut.of(config) for config in page.items], "next": page.next}


@router.post("/configs", response={201: ConfigOut})
def create_config(request: HttpRequest, body: ConfigIn) -> Status[dict[str, Any]]:
    """Validate and store a config; 422 names line and key of every mistake."""
    return Status(201, ConfigOut.of(body.store(actor_of(request))))


@router.get("/configs/{config_id}", response=ConfigOut)
def get_config(request: HttpRequest, config_id: int) -> dict[str, Any]:
    """One stored config."""
    config = queries.get_config(project=actor_of(request).project, config_id=config_id)
    return ConfigOut.of(config)


@router.get("/config-schema")
def config_schema(request: HttpRequest, kind: str | None = None) -> dict[str, Any]:
    """JSON Schema of one kind, or of all."""
    if kind is not None and kind not in engine_config.KINDS:
        known = ", ".join(engine_config.KINDS)
        raise Refused("bad_kind", f"There is no kind {kind!r}, only {known}.", status=422)
    return engine_config.schema(kind)
