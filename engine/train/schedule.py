"""How far a training is, by steps or by time, and the learning rate that follows from it.

With `max_seconds` a training ends after that much time on any machine; the learning rate then
falls with the time instead of the steps, so that it always arrives at its end. Without it the
schedule depends on steps alone and a resumed training equals an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Literal

Shape = Literal["linear", "cosine", "constant"]
CLOCK_FILE = "clock.json"
FINAL_RATE = 0.02  # share of the peak learning rate that is left at the very end


class Clock:
    """What one training counts over all its attempts; saved in every checkpoint."""

    def __init__(self, max_seconds: float | None) -> None:
        self.max_seconds = max_seconds
        self.tokens = 0
        self.loss_sum = 0.0  # of the steps since the last point of the curves
        self.logged_step = 0
        self.validated_step = -1
        self._before_s = 0.0
        self._started = time.monotonic()

    def start(self, checkpoint: Path | None) -> None:
        """Begin counting now, behind what the checkpoint had already used."""
        if checkpoint is not None and (checkpoint / CLOCK_FILE).is_file():
            saved = json.loads((checkpoint / CLOCK_FILE).read_text())
            self._before_s, self.tokens = float(saved["elapsed_s"]), int(saved["tokens"])
            self.loss_sum = float(saved.get("loss_sum", 0.0))
            self.logged_step = int(saved.get("logged_step", 0))
            self.validated_step = int(saved.get("validated_step", -1))
        self._started = time.monotonic()

    def save(self, folder: Path) -> None:
        state = {
            "elapsed_s": self.elapsed_s,
            "tokens": self.tokens,
            "loss_sum": self.loss_sum,
            "logged_step": self.logged_step,
            "validated_step": self.validated_step,
        }
        (folder / CLOCK_FILE).write_text(json.dumps(state))

    def agree(self, elapsed_s: float) -> None:
        """Set the time to that of all processes, so that they stop and slow down together."""
        self._before_s += elapsed_s - self.elapsed_s

    @property
    def elapsed_s(self) -> float:
        return self._before_s + time.monotonic() - self._started

    @property
    def time_share(self) -> float:
        """0–1 of the time that is allowed; 0 without a limit."""
        return min(1.0, self.elapsed_s / self.max_seconds) if self.max_seconds else 0.0


def rate_factor(progress: float, warmup_ratio: float, shape: Shape = "linear") -> float:
    """Share of the peak learning rate at `progress` (0–1): linear up, then down as `shape` says."""
    if progress < warmup_ratio:
        return max(progress / warmup_ratio, 1e-3)
    if shape == "constant":
        return 1.0
    left = max((1.0 - progress) / max(1.0 - warmup_ratio, 1e-9), 0.0)
    if shape == "cosine":
        left = 0.5 * (1.0 - math.cos(math.pi * left))
    return FINAL_RATE + (1.0 - FINAL_RATE) * left
