"""Adapters: few trained weights beside a base that stays as it is, as checkpoints of their own.

Lives here: what an adapter's folder looks like, loading one to go on training it, merging one into
whole weights (`python -m engine.train.adapters ADAPTER OUT`). Serving adapters without merging is
in `engine/serve`; which weights an adapter needs is kept by `apps/checkpoints`.

An adapter's folder holds `adapter_config.json`, `adapter_model.safetensors`, the tokenizer and the
card; wherever it is used, `base/` beside them is the folder of the weights that it belongs to.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from engine.errors import TrainingError

ADAPTER_CONFIG = "adapter_config.json"
BASE = "base"  # the folder, or a link to it, with the weights that the adapter belongs to


def is_adapter(folder: Path) -> bool:
    """Whether a checkpoint's folder holds an adapter instead of whole weights."""
    return (folder / ADAPTER_CONFIG).is_file()


def weights_folder(folder: Path) -> Path:
    """Where the whole weights of a checkpoint are: its own folder, or its base's.

    Links are followed, so that adapters of one base name the same folder. Raises TrainingError.
    """
    if not is_adapter(folder):
        return folder.resolve()
    if not (folder / BASE).is_dir():
        raise TrainingError(
            f"{folder.name} is an adapter and its base is not there",
            hint=f"put the folder of its base model at {folder / BASE}",
        )
    return (folder / BASE).resolve()


def attach(model: Any, folder: Path, *, trainable: bool) -> Any:
    """The model with the adapter of `folder` around it; frozen, or to go on training it."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(
            model, folder, is_trainable=trainable, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as err:
        raise TrainingError(f"{folder.name}: no usable adapter: {err}") from err


def merged(model: Any) -> Any:
    """Whole weights with the adapter added to them, all of them trainable again."""
    return model.merge_and_unload().requires_grad_(True)


def main() -> None:
    """Write an adapter's folder as whole weights, for programs that know no adapters."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.train.adapters", description=main.__doc__
    )
    parser.add_argument("adapter", type=Path, help="the adapter's folder, with base/ in it")
    parser.add_argument("out", type=Path, help="the folder to make")
    given = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    from engine.train.checkpoints import publish_folder
    from engine.train.model import load_model

    model, tokenizer = load_model(given.adapter)
    staged = given.out.parent / f".staged-{given.out.name}"
    staged.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(staged)
    tokenizer.save_pretrained(staged)
    card = given.adapter / "README.md"
    if card.is_file():
        (staged / "README.md").write_bytes(card.read_bytes())
    publish_folder(staged, given.out)


if __name__ == "__main__":
    main()
