"""What happens between two optimiser steps: figures, progress, checkpoints in time, stopping."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from engine.train.best import Best
from engine.train.processes import mean_of_all, most_of_all
from engine.train.schedule import Clock

if TYPE_CHECKING:
    from engine.train.sft import Options, Reporter

NAMES = {
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
        validate: Callable[[Any], dict[str, float]] | None,
        best: Best,
        folder: Path,
    ) -> None:
        self.options, self.clock, self.reporter = options, clock, reporter
        self.validate, self.best, self.folder = validate, best, folder
        self.stopped = "done"
        self.last: dict[str, float] = {}
        self._saved_at = time.monotonic()
        self._logged = (0.0, 0)  # seconds and tokens at the last point
        self._epoch_ended = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._saved_at = time.monotonic()
        self._logged = (self.clock.elapsed_s, self.clock.tokens)
        self.reporter.progress(state.global_step, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        limit = self.options.save_seconds
        due = limit is not None and time.monotonic() - self._saved_at >= limit
        wishes = [float(self.reporter.cancelled()), float(due), self.clock.elapsed_s]
        cancelled, save, elapsed_s = most_of_all(wishes)
        self.clock.agree(elapsed_s)
        if cancelled:
            self._stop("cancelled", control)
        elif self.clock.time_share >= 1.0:
            self._stop("time", control)
        if save:
            control.should_save = True
        if control.should_save:
            self._saved_at = time.monotonic()
        if state.global_step >= state.max_steps or self._validation_is_due(state, control):
            control.should_log = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.validate is not None and self.options.eval_strategy == "epoch":
            self._epoch_ended = control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs or state.global_step <= self.clock.logged_step:
            return
        values = {ours: float(logs[theirs]) for theirs, ours in NAMES.items() if theirs in logs}
        # Our own mean: that of the trainer forgets, on resume, the steps since the last point.
        n_steps = state.global_step - self.clock.logged_step
        values["train.loss"] = mean_of_all(self.clock.loss_sum / n_steps)
        self.clock.loss_sum, self.clock.logged_step = 0.0, state.global_step
        seconds, tokens = self.clock.elapsed_s, self.clock.tokens
        rate = (tokens - self._logged[1]) / max(seconds - self._logged[0], 1e-6)
        values["train.tokens_per_second"] = rate
        self._logged = (seconds, tokens)
        if self.validate is not None and self._validation_is_due(state, control):
            self.clock.validated_step, self._epoch_ended = state.global_step, False
            values |= self.validate(model)
            self._judge(state.global_step, values, model, control)
        self.last.update(values)
        self.reporter.metric(state.global_step, values, tokens)
        self.reporter.progress(state.global_step, self._total(state))

    def _judge(
        self, step: int, values: dict[str, float], model: Any, control: TrainerControl
    ) -> None:
        """Keep the weights of the best measurement; stop when it was long ago."""
        if self.best.note(step, values[self.best.metric]):
            self.best.keep(model, self.folder)
        elif self.best.is_over and not control.should_training_stop:
            self._stop("early", control)

    def _validation_is_due(self, state: TrainerState, control: TrainerControl) -> bool:
        if self.validate is None or self.options.eval_strategy == "no":
            return False
        step, last = int(state.global_step), self.clock.validated_step
        ending = control.should_training_stop or step >= state.max_steps
        if ending or self._epoch_ended:
            return step > last
        if self.options.eval_strategy == "epoch":
            return False
        return last < 0 or step - last >= self.options.eval_steps

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
