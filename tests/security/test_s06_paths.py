"""S6: no name that a stranger chose becomes a path outside the place that is meant for it."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.checkpoints.models import CheckpointFile
from apps.checkpoints.queries import get_file
from apps.checkpoints.services import local_folder
from apps.runs import storage
from engine.errors import StorageError
from tests.games import make_run

pytestmark = pytest.mark.django_db
OUTSIDE = ["../evil.json", "/etc/evil.json", "a/../../evil.json", "..", "x\0.json"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_checkpoint_with_a_file_outside_its_folder_is_refused(project, announce, path):
    run = make_run(project, "base", model="a/b")
    with pytest.raises(StorageError, match="leads out"):
        announce(run, files={path: b"x"})
    assert not CheckpointFile.objects.exists()


def test_a_row_that_lies_cannot_write_outside_either(project, announce):
    checkpoint = announce(make_run(project, "base", model="a/b"))
    checkpoint.files.filter(path="config.json").update(path="../../escaped.json")
    with pytest.raises(StorageError, match="leads out"):
        local_folder(checkpoint)


@pytest.mark.parametrize("path", [*OUTSIDE, "config.json/", "./config.json", "CONFIG.JSON"])
def test_a_download_names_exactly_a_stored_file(project, announce, path):
    checkpoint = announce(make_run(project, "base", model="a/b"))
    assert get_file(project=project, uid=checkpoint.uid, path="config.json").size == 2
    with pytest.raises(Refused, match="There is no file"):
        get_file(project=project, uid=checkpoint.uid, path=path)


def test_a_stranger_downloads_nothing(project, announce, mallory):
    checkpoint = announce(make_run(project, "base", model="a/b"))
    with pytest.raises(Refused, match="There is no file"):
        get_file(project=mallory.projects.get(), uid=checkpoint.uid, path="config.json")


@pytest.mark.parametrize("prefix", ["../x", "a/b", "", "A", "x" * 60])
def test_storage_makes_no_key_of_an_odd_prefix(prefix):
    with pytest.raises(StorageError, match="no storage key"):
        storage.key_for("0" * 64, prefix)
