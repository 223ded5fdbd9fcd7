"""Models from outside: a Hugging Face folder, GGUF file or hub id becomes a base model here.

A run of kind `import_model` does it (`engine/jobs/import_model.py`); here is what may be asked for.
It is no config: a TOML can name no folder of this machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.accounts.errors import Refused
from apps.accounts.models import Project, Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.checkpoints.queries import find_model
from apps.launch.services.machine import code_version
from apps.launch.services.starters import starters
from apps.runs.models import Need, Run
from apps.runs.services import ShardPlan, create_run, queue_run
from engine.config.model_folder import GGUF, look_into
from engine.errors import ConfigError

KIND = "import_model"
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[\w./-]{0,100}", re.ASCII)
MB = 1_000_000


def request_model(
    *, actor: Actor, source: str, name: str = "", revision: str = "", anywhere: bool = False
) -> Run:
    """Queue the import of `source`: an id of the hub, or a folder or GGUF file on the server.

    name: the id under which configs will name it; that of the hub, or local/FOLDER, without one.
    Folders must lie below SYNTHWEB_BASE_MODELS; only the shell, whose user could read them anyway,
    may take them from `anywhere`. What can be seen without loading it is refused at once.
    Raises Refused(422), Refused(409) for a name that is taken. Every call makes a new run.
    """
    actor.require(Role.ADMIN)
    source, name, revision = source.strip(), name.strip(), revision.strip()
    if not source or len(source) > 500 or "\0" in source:
        raise _bad("source", "Give a hub id such as Qwen/Qwen3-0.6B, or a folder on the server.")
    if ".." in revision or not _REVISION.fullmatch(revision):
        raise _bad("revision", "A revision is a branch, a tag or a commit.")
    inputs, total_mb = _resolve(source, revision, anywhere)
    name = name or _name_of(source, inputs)
    _check_name(actor.project, name)
    with transaction.atomic():
        run = create_run(
            project=actor.project,
            user=actor.user,
            kind=KIND,
            name=f"import {name.rpartition('/')[2]}"[:200],
            config=None,
            resolved={"type": KIND, "model": name, "source": source, "revision": revision},
            inputs={"source": inputs},
            shards=[ShardPlan(need=Need.TRAIN, total=total_mb)],
            model=name,
            code_version=code_version(),
            progress_unit="MB",
            max_attempts=2,
        )
        record(actor=actor, verb="model.imported", target=f"run:{run.pk}",
               detail={"source": source, "name": name})  # fmt: skip
        return queue_run(run=run)


def _resolve(source: str, revision: str, anywhere: bool) -> tuple[dict[str, Any], int]:
    """What the job is told, and how many MB there are to copy (0: the hub will say)."""
    root = Path(settings.BASE_MODELS_DIR)
    path = Path(os.path.expanduser(source)) if anywhere else root / source
    if anywhere and not _is_here(path):
        path = root / source
    if not _is_here(path) and _ID.fullmatch(source) and not source.endswith(GGUF):
        return {"repo": source, "revision": revision}, 0
    if revision:
        raise _bad("revision", "Only a model of the hub has revisions.")
    inside = None if anywhere else root
    try:
        found = look_into(path, inside)
    except ConfigError as err:
        hint = err.hint or f"Models on this machine lie below {root}."
        raise Refused(err.code, err.message, hint, status=422, fields={"source": err.code}) from err
    return {"folder": str(path.absolute()), "inside": str(inside or "")}, found.size_bytes // MB


def _is_here(path: Path) -> bool:
    """Also what cannot be looked at: why not is said when it is looked into."""
    try:
        return path.exists()
    except OSError:
        return True


def _name_of(source: str, inputs: dict[str, Any]) -> str:
    if "repo" in inputs:
        return source
    path = Path(inputs["folder"])
    stem = path.name.removesuffix(GGUF)
    below = f"{path.parent.name}/{stem}"
    return below if _ID.fullmatch(source) and _ID.fullmatch(below) else f"local/{_slug(stem)}"


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-.")[:90] or "model"


def _check_name(project: Project, name: str) -> None:
    if not _ID.fullmatch(name):
        raise _bad("name", f"{name[:60]!r} is no model id: it looks like Qwen/Qwen3-0.6B.")
    if find_model(project.pk, name) is not None or name in starters():
        raise Refused(
            "name_taken",
            f"There is a model {name} here already.",
            "Give this one another name, or delete that one first.",
            status=409,
            fields={"name": "taken"},
        )


def _bad(field: str, message: str) -> Refused:
    return Refused(f"bad_{field}", message, status=422, fields={field: "invalid"})
