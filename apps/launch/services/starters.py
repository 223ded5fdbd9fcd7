"""The starting models, which are made on this machine when somebody first needs one.

Lives here: which there are (the configs of kind `base` that are shipped) and whether one is
missing. How one is made: `engine/jobs/base.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.conf import settings

from apps.accounts.models import Project
from apps.checkpoints.queries import find_model
from apps.providers.queries import resolve_alias
from engine.config import load_toml

FILES = ("crafter_base.toml", "math_base.toml")
# What configs made for GPUs name most; the operator may let the small model stand for them.
STAND_IN = "synthweb/crafter-small"
OFFERED = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B")


@cache
def starters() -> dict[str, dict[str, Any]]:
    """Model id -> the config that makes it."""
    found = {}
    for name in FILES:
        text = (settings.BASE_DIR / "configs" / name).read_text(encoding="utf-8")
        data = load_toml(text, name=name).data
        found[str(data["model"])] = data
    return found


def missing_starter(project: Project, model: str) -> str:
    """The starting model that `model` is or stands for, if it has not been made yet; else \"\"."""
    for name in {model, resolve_alias(project=project, model=model)} & starters().keys():
        if find_model(project.pk, name) is None:
            return name
    return ""


def missing_starters(project: Project, models: Iterable[str]) -> list[str]:
    """All of them that are missing for `models`, each once."""
    return sorted({missing_starter(project, model) for model in models} - {""})


def offered_aliases(project: Project) -> list[str]:
    """Those of OFFERED that are neither on this machine nor stood for."""
    return [
        model
        for model in OFFERED
        if resolve_alias(project=project, model=model) == model
        and find_model(project.pk, model) is None
    ]
