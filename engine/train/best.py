"""Which measurement was the best so far: its weights are kept, and a training that does not get
better any more ends early. Saved in every checkpoint, so that a resumed training decides alike.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from engine.train.checkpoints import publish_folder
from engine.train.processes import is_first, wait_for_all
from engine.train.sharding import give_weights, whole_weights

STATE = "best.json"
# Where the best weights are, in a checkpoint and beside the checkpoints. One folder deeper than it
# need be: an adapter directly below a checkpoint is taken for a second adapter of the model.
WEIGHTS = "best/weights"


class Best:
    """The best value of one metric. Nothing is kept without `keeps_weights`.

    patience: measurements in a row without a better value before the training ends; None: never.
    """

    def __init__(
        self, metric: str, *, greater: bool, keeps_weights: bool, patience: int | None
    ) -> None:
        self.metric, self.greater, self.patience = metric, greater, patience
        self.keeps_weights = keeps_weights
        self.value: float | None = None
        self.step, self.n_worse = 0, 0

    def note(self, step: int, value: float) -> bool:
        """Take in a measurement; True when it is the best so far."""
        is_best = self.value is None or (value > self.value if self.greater else value < self.value)
        if is_best:
            self.value, self.step = value, step
        self.n_worse = 0 if is_best else self.n_worse + 1
        return is_best

    @property
    def is_over(self) -> bool:
        """Whether it got no better for too long."""
        return self.patience is not None and self.n_worse >= self.patience

    def keep(self, model: Any, folder: Path) -> None:
        """Write the weights of the best measurement below `folder`, whole or not at all."""
        if not self.keeps_weights:
            return
        weights = whole_weights(model)  # by every process
        if not is_first():
            return
        staged = folder / ".best"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        more = {"save_embedding_layers": False} if hasattr(model, "merge_and_unload") else {}
        model.save_pretrained(staged, max_shard_size="1TB", state_dict=weights, **more)
        publish_folder(staged, folder / WEIGHTS)

    def save(self, checkpoint: Path, folder: Path) -> None:
        """Put what is known, and the kept weights, into a checkpoint in the making."""
        state = {"value": self.value, "step": self.step, "n_worse": self.n_worse}
        (checkpoint / STATE).write_text(json.dumps(state))
        if (folder / WEIGHTS).is_dir():
            shutil.copytree(folder / WEIGHTS, checkpoint / WEIGHTS)

    def load(self, checkpoint: Path | None, folder: Path) -> None:
        """Go on from what a checkpoint knows."""
        if checkpoint is None or not (checkpoint / STATE).is_file():
            return
        state = json.loads((checkpoint / STATE).read_text())
        self.value, self.step, self.n_worse = state["value"], state["step"], state["n_worse"]
        if (checkpoint / WEIGHTS).is_dir() and is_first():
            shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
            shutil.copytree(checkpoint / WEIGHTS, folder / WEIGHTS)

    def restore(self, model: Any, folder: Path) -> bool:
        """Give the model its best weights back; False when none were kept."""
        from safetensors.torch import load_file

        wait_for_all()
        kept = folder / WEIGHTS
        if not self.keeps_weights or not kept.is_dir():
            return False
        if hasattr(model, "merge_and_unload"):
            from peft import set_peft_model_state_dict

            set_peft_model_state_dict(model, load_file(kept / "adapter_model.safetensors"))
        else:
            give_weights(model, load_file(kept / "model.safetensors"))
        return True
