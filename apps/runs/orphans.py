"""Stored files that no row names, left by crashes and deleted runs: taken away after a day (R26).

A file is put before the transaction that names it, so a young one may be about to be named, and
stays. A put of content that is there renews its age. What names a file: each model's field
`storage_key`, found by that name in all rooms, and the inputs of runs.

Sweeping the files of somebody else's database would take all of them: whoever sweeps first writes
whose they are beside them, and nobody else sweeps there.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils.timezone import now

from apps.accounts.models import Project
from apps.runs import backend, storage
from apps.runs.models import Run

log = logging.getLogger(__name__)

GRACE = timedelta(days=1)
BATCH = 1_000  # keys a query
OWNER = "owner.json"
ASIDE = re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]{8}\.aside")


def may_sweep() -> bool:
    """Whether this database's rows are those that name the files here; ask before a sweep."""
    first = Project.objects.order_by("pk").first()
    if first is None:
        return False
    we = f"{first.slug} {first.created_at.isoformat()}"
    if not default_storage.exists(OWNER):
        if not _is_ours():
            log.warning(
                "no orphans are swept: no row here names any file in storage, which may belong to "
                'another database. If not, put {"owner": "%s"} there as %s.',
                *(we, OWNER),
            )
            return False
        default_storage.save(OWNER, ContentFile(json.dumps({"owner": we}).encode()))
    with default_storage.open(OWNER) as file:
        owner = json.loads(file.read()).get("owner")
    if owner != we:
        log.warning(
            "no orphans are swept: the files in storage belong to the database of %r, this one is "
            "%r. Delete %s there if that database is gone.",
            *(owner, we, OWNER),
        )
    return bool(owner == we)


def _is_ours() -> bool:
    """Whether storage is empty, or some row here names a file in it."""
    keys = _keys_before(now())
    is_empty = True
    while batch := list(islice(keys, BATCH)):
        if named_among(batch):
            return True
        is_empty = False
    return is_empty


def sweep_orphans() -> int:
    """Delete the orphans that are older than a day; returns how many. Safe at any time, twice."""
    before, n_gone = now() - GRACE, 0
    _clear_leftovers(before)
    old = _keys_before(before)
    while keys := list(islice(old, BATCH)):
        take = _take_local if backend.folder() else _take_remote
        n_gone += take(set(keys) - named_among(keys), before)
    return n_gone


def named_among(keys: Collection[str]) -> set[str]:
    """Those of `keys` that some row names."""
    found: set[str] = set()
    for model in naming_models():
        rows = model._default_manager.filter(storage_key__in=list(keys))
        found |= set(rows.values_list("storage_key", flat=True))
    if len(found) < len(set(keys)):
        inputs = Run.objects.exclude(inputs={}).values_list("inputs", flat=True)
        found |= {key for value in inputs.iterator() for key in _keys_in(value)} & set(keys)
    return found


def naming_models() -> list[Any]:
    """The models whose rows name a stored file."""
    return [
        model
        for model in apps.get_models()
        if any(field.name == "storage_key" for field in model._meta.get_fields())
    ]


def _keys_in(value: Any) -> Iterator[str]:
    """Every storage key in a run's inputs, at whatever depth."""
    match value:
        case dict():
            for inner in value.values():
                yield from _keys_in(inner)
        case list():
            for inner in value:
                yield from _keys_in(inner)
        case str() if storage.is_key(value):
            yield value


def _keys_before(before: datetime) -> Iterator[str]:
    """Keys that were put before then. Other names are not ours and never touched."""
    root = backend.folder()
    if root is None:
        yield from filter(storage.is_key, backend.objects_before(before))
        return
    for path in root.glob("*/[0-9a-f][0-9a-f]/*"):
        if path.is_symlink() or not path.is_file() or _put_at(path) >= before.timestamp():
            continue
        if storage.is_key(key := path.relative_to(root).as_posix()):
            yield key


def _clear_leftovers(before: datetime) -> None:
    """Delete what a put or a sweep that was cut off left; a file that is named goes back."""
    root = backend.folder()
    for path in root.glob("*/[0-9a-f][0-9a-f]/.*") if root else ():
        if path.is_symlink() or not path.is_file() or _put_at(path) >= before.timestamp():
            continue
        home = path.with_name(path.name[1:].partition(".")[0])
        key = home.relative_to(root).as_posix() if root else ""
        if ASIDE.fullmatch(path.name) and not home.exists() and named_among([key]):
            path.rename(home)
        else:
            path.unlink(missing_ok=True)


def _take_local(orphans: Collection[str], before: datetime) -> int:
    """Move each aside, look again, and only then delete it.

    Whoever puts the same content meanwhile has either renewed the file, which is then moved back,
    or finds none and writes another.
    """
    aside: dict[str, Path] = {}
    put_at: dict[str, float] = {}
    for key in orphans:
        path = Path(default_storage.path(key))
        aside[key] = path.with_name(f".{path.name}.{secrets.token_hex(4)}.aside")
        try:
            path.rename(aside[key])
            put_at[key] = _put_at(aside[key])
            os.utime(aside[key])  # for a day it is no leftover to another sweep
        except FileNotFoundError:
            del aside[key]
    named = named_among(aside) if aside else set()
    n_gone = 0
    for key, path in aside.items():
        if key in named or put_at[key] >= before.timestamp():
            path.rename(default_storage.path(key))
        else:
            path.unlink()
            n_gone += 1
    return n_gone


def _take_remote(orphans: Collection[str], before: datetime) -> int:
    """Delete those that are still as old; a put of an object so old writes it anew."""
    n_gone = 0
    for key in orphans:
        if default_storage.exists(key) and default_storage.get_modified_time(key) < before:
            storage.delete(key)
            n_gone += 1
    return n_gone


def _put_at(path: Path) -> float:
    """When a file was put, in seconds of the epoch; the future for one that is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
