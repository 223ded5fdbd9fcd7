from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import StorageError
from engine.train.checkpoints import hash_file, list_files, newest_checkpoint, publish_folder


def stage(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "training_args.bin").write_bytes(b"a pickle")
    return folder


def test_a_published_folder_appears_whole_and_without_pickled_arguments(tmp_path: Path) -> None:
    files = publish_folder(stage(tmp_path / "staged"), tmp_path / "out" / "step-3")
    assert [file["path"] for file in files] == ["model.safetensors"]
    assert files[0]["sha256"] == hash_file(tmp_path / "out" / "step-3" / "model.safetensors")
    assert not (tmp_path / "staged").exists()


def test_a_disk_that_refuses_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    staged = stage(tmp_path / "staged")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="No space left"):
        publish_folder(staged, tmp_path / "step-3")
    assert not (tmp_path / "step-3").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    staged = stage(tmp_path / "staged")
    (staged / "secret").symlink_to("/etc/passwd")
    with pytest.raises(StorageError, match="link"):
        list_files(staged)


def test_the_newest_complete_checkpoint_is_found(tmp_path: Path) -> None:
    for name in ("step-9", "step-10", "step-11", ".staged"):
        (tmp_path / name).mkdir()
    for name in ("step-9", "step-10"):
        (tmp_path / name / "trainer_state.json").write_text("{}")
    assert newest_checkpoint(tmp_path) == tmp_path / "step-10"
    assert newest_checkpoint(tmp_path / "nothing") is None
