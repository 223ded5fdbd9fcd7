"""S4: keys are hashed or encrypted in rows, and in nothing else that is written during a run."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin

from apps.accounts.models import ApiKey
from apps.launch.services import import_config, launch
from apps.providers.services import create_provider
from apps.runs.models import RunState
from apps.runs.services import claim_shard
from apps.worker.supervise import supervise
from engine.traces.codec import decode_trace
from tests.servers.openai_server import OpenAIServer

KEY = "gsk_0123456789-very-secret-9876543210"
CONFIG = """
type = "rollout"
provider = "local"
model = "scripted"
observation = "compact"
seeds = "1..3"
max_turns = 3
"""
SECRET_FIELDS = {"encrypted_key", "secret", "digest", "password"}


def everything_in_rows() -> Iterator[str]:
    """Each row of each table as text."""
    for model in apps.get_models():
        for row in model.objects.values():
            yield f"{model._meta.label}: {row}"


def everything_in_files(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Each file below, as it is and unpacked where it is packed."""
    for path in filter(Path.is_file, root.rglob("*")):
        data = path.read_bytes()
        yield path, data
        if data.startswith(b"SWTR"):
            yield path, repr(decode_trace(data)).encode()
        elif data.startswith(b"\x1f\x8b"):
            yield path, gzip.decompress(data)


@pytest.fixture
def own_home(settings, tmp_path):
    """Files of this test only: others leave damaged ones behind, on purpose."""
    default = {**settings.STORAGES["default"], "OPTIONS": {"location": tmp_path / "files"}}
    settings.STORAGES = {**settings.STORAGES, "default": default}
    settings.RUNS_DIR = tmp_path / "runs"
    return tmp_path


@pytest.mark.django_db(transaction=True)
def test_a_providers_key_is_nowhere_after_a_run_that_used_it(actor, settings, own_home, caplog):
    with OpenAIServer() as server:
        settings.ALLOW_HOSTS = [f"127.0.0.1:{server.port}"]
        server.script("401", "500", "ok")  # errors are written down, and with them what was sent
        create_provider(actor=actor, name="local", base_url=server.base_url, key=KEY)
        run = launch(actor=actor, config=import_config(actor=actor, text=CONFIG, name="c.toml"))
        while claim := claim_shard(worker="one", need="rollout"):
            supervise(claim, threading.Event())
        run.refresh_from_db()
        assert run.state in (RunState.SUCCEEDED, RunState.FAILED)
        assert any(KEY in key for key in server.keys), "the key was never used: nothing is shown"
    assert [row for row in everything_in_rows() if KEY in row] == []
    files = list(everything_in_files(own_home))
    assert len(files) > 3
    assert [path for path, data in files if KEY.encode() in data] == []
    assert KEY not in caplog.text


@pytest.mark.django_db
def test_an_api_key_is_stored_as_a_hash(alice, key_of):
    clear = key_of(alice)
    row = ApiKey.objects.get()
    assert row.digest != clear
    assert len(row.digest) == 64
    assert [text for text in everything_in_rows() if clear in text] == []


def test_the_admin_shows_no_secret_field():
    for model, page in admin.site._registry.items():
        names = {field.name for field in model._meta.get_fields()} & SECRET_FIELDS
        names.discard("password")  # Django shows how it is hashed, not the hash
        shown = names - set(page.exclude or ()) - set(page.readonly_fields)
        assert not shown, (model, shown)
