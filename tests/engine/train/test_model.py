"""In which format weights are held."""

from __future__ import annotations

import torch

from engine.train import model
from tests.engine.train.foreign import write_foreign


def test_large_weights_that_nobody_trains_are_halved_where_the_cpu_multiplies_them(
    tmp_path, monkeypatch
):
    folder = write_foreign(tmp_path / "tiny")
    monkeypatch.setattr(model, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("flags : avx2 amx_bf16 amx_tile")
    assert model.load_weights(folder, frozen=True).dtype == torch.float32  # small: not worth it
    monkeypatch.setattr(model, "LARGE_BYTES", 1000)
    assert model.load_weights(folder, frozen=True).dtype == torch.bfloat16
    assert model.load_weights(folder).dtype == torch.float32
    (tmp_path / "cpuinfo").write_text("flags : avx2")
    assert model.load_weights(folder, frozen=True).dtype == torch.float32
    (tmp_path / "cpuinfo").unlink()
    assert model.load_weights(folder, frozen=True).dtype == torch.float32
