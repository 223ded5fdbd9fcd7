"""Storing configs. They never change: an edit stores a new one that names its parent."""

from __future__ import annotations

import hashlib
from typing import Any

from apps.accounts.models import Project, User
from apps.runs.models import Config


def store_config(
    *,
    project: Project,
    user: User | None,
    name: str,
    kind: str,
    toml: str,
    data: dict[str, Any],
    parent: Config | None = None,
) -> Config:
    """Store a validated config; `data` is what was written, before defaults.

    The newest config of the project with the same name and text is returned instead of a copy.
    """
    sha256 = hashlib.sha256(toml.encode()).hexdigest()
    same = Config.objects.filter(project=project, name=name, sha256=sha256, parent=parent)
    return same.order_by("-id").first() or Config.objects.create(
        project=project,
        name=name,
        kind=kind,
        toml=toml,
        data=data,
        sha256=sha256,
        parent=parent,
        created_by=user,
    )
