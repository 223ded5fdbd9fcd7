"""What happens between two optimiser steps: figures, progress, checkpoints in time, stopping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from engine.train.schedule import Clock

if TYPE_CHECKING:
    from engine.train.sft import Options, Reporter

NAMES = {
    "loss": "train.loss",
    "learning_rate": "train.learning_rate",
    "grad_norm": "train.grad_norm",
    "mean_token_accuracy": "train.accuracy",
}


class Progress(TrainerCallback):  # type: ignore[misc]
    """Reports each logged step, saves every `save_seconds`, stops on cancel or when time is up.

    `stopped` says why the training ended; `last` holds the newest value of every metric.
    """

    def __init__(
        self,
        options: Options,
        clock: Clock,
        reporter: Reporter,
        validation_loss: Callable[[Any], float] | None,
    ) -> None:
        self.options, self.clock, self.reporter = options, clock, reporter
        self.validation_loss = validation_loss
        self.stopped = "done"
        self.last: dict[str, float] = {}
        self._saved_at = time.monotonic()
        self._logged = (0.0, 0)  # seconds and tokens at the last point
        self._validated = -1

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._saved_at = time.monotonic()
        self._logged = (self.clock.elapsed_s, self.clock.tokens)
        self.reporter.progress(state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.reporter.cancelled():
            self._stop("cancelled", control)
        elif self.clock.time_share >= 1.0:
            self._stop("time", control)
        limit = self.options.save_seconds
        if limit is not None and time.monotonic() - self._saved_at >= limit:
            control.should_save = True
        if control.should_save:
            self._saved_at = time.monotonic()
        if state.global_step >= state.max_steps:
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        values = {ours: float(logs[theirs]) for theirs, ours in NAMES.items() if theirs in logs}
        seconds, tokens = self.clock.elapsed_s, self.clock.tokens
        rate = (tokens - self._logged[1]) / max(seconds - self._logged[0], 1e-6)
        values["train.tokens_per_second"] = rate
        self._logged = (seconds, tokens)
        if self.validation_loss is not None and self._validation_is_due(state, control):
            self._validated = state.global_step
            values["val.loss"] = self.validation_loss(model)
        self.last.update(values)
        self.reporter.metric(state.global_step, values, tokens)
        self.reporter.progress(state.global_step, self._total(state))

    def _validation_is_due(self, state: TrainerState, control: TrainerControl) -> bool:
        since = state.global_step - max(self._validated, 0)
        ending = control.should_training_stop or state.global_step >= state.max_steps
        return ending or self._validated < 0 or since >= self.options.eval_steps

    def _total(self, state: TrainerState) -> int:
        """Steps to expect: fewer than planned when the time will run out first."""
        share = self.clock.time_share
        if self.stopped != "done":
            return int(state.global_step)
        by_time = state.global_step / share if share > 0.01 else float(state.max_steps)
        return int(max(state.global_step, min(state.max_steps, round(by_time))))

    def _stop(self, why: str, control: TrainerControl) -> None:
        self.stopped = why
        control.should_training_stop = True
        control.should_log = True
        control.should_save = True
