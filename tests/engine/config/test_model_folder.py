"""What is seen of a foreign model before anything is loaded, and how odd folders are refused."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from engine.config.model_folder import INDEX, choose_files, look_into
from engine.errors import ConfigError
from tests.engine.gguf_files import write_gguf


def test_a_gguf_file_is_as_large_as_what_it_unpacks_to(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m" / "tiny.gguf", [(64, 3), (5,)])
    for source in (path, path.parent):
        found = look_into(source)
        assert found.gguf == path
        assert (found.n_weights, found.unpacked_bytes) == (197, 788)


@pytest.mark.parametrize("size", [0, 3, 30, 90, 150])
def test_a_gguf_file_that_is_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", [(64, 3)] * 9)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ConfigError, match="no GGUF file"):
        look_into(path)


@pytest.mark.parametrize("rest", [struct.pack("<IQQ", 9, 1, 1), struct.pack("<IQQ", 3, 1, 2**60)])
def test_a_header_that_lies_is_refused_and_not_followed(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF" + rest + struct.pack("<Q", 2**63) + bytes(99))
    with pytest.raises(ConfigError, match="no GGUF file"):
        look_into(path)


@pytest.mark.parametrize(
    "files", [None, [], "model.safetensors", {"w": 1}, {"w": ["a"]}, {"w": {}}]
)
def test_an_index_that_maps_no_names_to_files_is_refused(files: Any) -> None:
    with pytest.raises(ConfigError, match=INDEX):
        choose_files(["config.json", "tokenizer.json"], "m", {"weight_map": files})


def test_a_path_that_cannot_be_followed_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("x" * 300, "a/" + "x" * 300, "loop", "\ud800", "x" * 300 + ".gguf"):
        for inside in (None, tmp_path):
            with pytest.raises(ConfigError) as caught:
                look_into(tmp_path / name, inside)
            assert caught.value.code == "bad_model"
            assert caught.value.hint


def test_a_folder_that_may_not_be_read_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({}))
    folder.chmod(0)
    user = os.geteuid()
    try:
        os.seteuid(65534 if user == 0 else user)  # root may read everything
        with pytest.raises(ConfigError, match="Permission denied"):
            look_into(folder)
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
