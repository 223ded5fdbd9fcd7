"""Supervised fine-tuning: imitate the assistant of a dataset's chat records.

Algorithm: cross entropy on the assistant's tokens, AdamW, warm-up and decay; TRL's SFTTrainer does
the steps. Ours: encoding and packing (`data.py`; TRL's packing needs flash attention), the schedule
by time (`schedule.py`), the best weights (`best.py`), staged checkpoints, cancel, the check for a
broken loss. In several processes (`accelerate launch`) the first one writes and reports.
By hand: `python -m engine RUN_DIR` with a config of kind `sft`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from engine.errors import TrainingError
from engine.train.batches import collate, may_share
from engine.train.best import Best
from engine.train.callbacks import Progress
from engine.train.checkpoints import newest_checkpoint, publish_folder, what_is_left
from engine.train.data import Example
from engine.train.processes import is_first, wait_for_all
from engine.train.schedule import Clock, Shape, rate_factor
from engine.train.sharding import final_weights, shard_on_cpu
from engine.train.validation import measure

EXPLODED_LOSS = 50.0  # the loss of guessing among e^50 words: nothing sane gets there


class Reporter(Protocol):
    """Where a training tells how it goes."""

    def metric(self, step: int, values: dict[str, float], tokens: int) -> None: ...

    def progress(self, done: int, total: int) -> None: ...

    def checkpoint(self, folder: Path, step: int) -> None: ...

    def cancelled(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Options:
    """The hyperparameters, named as in a config; None means no limit."""

    n_epochs: float = 1.0
    batch_size: int = 8
    gradient_accumulation_steps: int = 1
    learning_rate: float = 5e-6
    warmup_ratio: float = 0.03
    schedule: Shape = "linear"
    weight_decay: float = 0.0
    seed: int = 0
    max_seconds: float | None = None
    max_steps: int | None = None
    log_steps: int = 5
    eval_strategy: Literal["steps", "epoch", "no"] = "steps"
    eval_steps: int = 20
    best_metric: str = "val.loss"
    best_is_greater: bool = False
    keep_best: bool = False
    patience: int | None = None
    packing: bool = False
    recompute: bool = False  # on a GPU: activations twice instead of storing them
    fp16: bool = False  # on a GPU, instead of bfloat16
    sequence_length: int = 2048
    save_seconds: float | None = 60.0
    save_steps: int | None = None
    lora: dict[str, Any] = field(default_factory=dict)  # empty: all weights are trained


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended: `stopped` is "done", "time", "early" or "cancelled".

    `model` is what was trained: the model itself, or the model with its adapter around it; its
    weights are those of `best_step` where the best ones were kept, else of the last step. `shared`:
    in the first process, the weights of a model that the processes share.
    """

    model: Any
    step: int
    stopped: str
    tokens: int
    seconds: float
    metrics: dict[str, float]
    best_step: int | None = None
    shared: dict[str, Tensor] | None = None


class Trainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer with staged checkpoints, a schedule that knows time, and a watch on the loss."""

    clock: Clock
    options: Options
    best: Best
    saved: Callable[[Path, int], None]
    target: Path
    resumed: Path | None = None

    def create_accelerator_and_postprocess(self) -> None:
        """As the launch says, sharding on a CPU included."""
        super().create_accelerator_and_postprocess()
        if shard_on_cpu(self.accelerator):
            self.is_fsdp_enabled = True

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> Any:
        """The learning rate follows whichever runs out first: the steps or the time."""

        def factor(step: int) -> float:
            progress = max(step / max(num_training_steps, 1), self.clock.time_share)
            return rate_factor(progress, self.options.warmup_ratio, self.options.schedule)

        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)
        return self.lr_scheduler

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Any = None
    ) -> Tensor:
        """One forward and backward pass. Raises TrainingError for a broken loss (R21)."""
        records = inputs.pop("record")
        self.clock.tokens += int(inputs.pop("n_tokens")) * self.accelerator.num_processes
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        self.clock.loss_sum += float(loss)
        if not math.isfinite(float(loss)) or float(loss) > EXPLODED_LOSS:
            shown = ", ".join(str(r) for r in records.tolist()[:20])
            left = what_is_left(newest_checkpoint(self.target) or self.resumed)
            raise TrainingError(
                f"step {self.state.global_step + 1}: the loss is {float(loss):.4g}; "
                f"the batch holds records {shown}{' …' if len(records) > 20 else ''}",
                hint=f"{left} Lower learning_rate or look at these records.",
                code="loss_broken",
            )
        return loss

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write into the staging folder, then give the whole folder its name at once."""
        if is_first():
            shutil.rmtree(self.args.output_dir, ignore_errors=True)
        wait_for_all()
        super()._save_checkpoint(model, trial)
        wait_for_all()
        if is_first():
            step = self.state.global_step
            staged = Path(self.args.output_dir) / f"checkpoint-{step}"
            self.clock.save(staged)
            self.best.save(staged, self.target)
            publish_folder(staged, self.target / f"step-{step}")
            self.saved(self.target / f"step-{step}", step)
        wait_for_all()


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    training: Sequence[Example],
    validation: Sequence[Example],
    options: Options,
    folder: Path,
    reporter: Reporter,
    resume: Path | None = None,
) -> Outcome:
    """Train `model` in place; checkpoints that serve resume go to `folder/step-N`.

    resume: such a checkpoint; weights, optimizer, random numbers and data position come from it.
    Raises TrainingError for a broken loss. Cancel: stops after the running step and saves.
    """
    torch.manual_seed(options.seed)
    clock, pad_id = Clock(options.max_seconds), int(tokenizer.pad_token_id)
    best = Best(
        options.best_metric, greater=options.best_is_greater, keeps_weights=options.keep_best,
        patience=options.patience,
    )  # fmt: skip
    trainer = _make_trainer(model, tokenizer, training, options, folder)
    trainer.clock, trainer.options, trainer.best = clock, options, best
    trainer.target, trainer.saved, trainer.resumed = folder, reporter.checkpoint, resume
    validate = partial(measure, examples=validation, pad_id=pad_id)
    watch = Progress(options, clock, reporter, validate if validation else None, best, folder)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    clock.start(resume)
    best.load(resume, folder)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if is_first():
        shutil.rmtree(folder / ".staged", ignore_errors=True)
    restored = watch.stopped != "cancelled" and best.restore(trainer.model, folder)
    return Outcome(
        trainer.model, trainer.state.global_step, watch.stopped, clock.tokens, clock.elapsed_s,
        watch.last, best.step if restored else None,
        final_weights(trainer) if watch.stopped != "cancelled" else None,
    )  # fmt: skip


def _make_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    training: Sequence[Example],
    options: Options,
    folder: Path,
) -> Trainer:
    pad_id, width = int(tokenizer.pad_token_id), options.sequence_length * options.packing or None
    return Trainer(
        model,
        args=_arguments(options, folder / ".staged"),
        train_dataset=_dataset(training),
        processing_class=tokenizer,
        data_collator=partial(collate, pad_id=pad_id, pack_to=width, share=may_share(model)),
        peft_config=_adapter(options),
    )


def _arguments(options: Options, staging: Path) -> SFTConfig:
    on_cpu = not torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(staging),
        num_train_epochs=options.n_epochs,
        max_steps=options.max_steps or -1,
        per_device_train_batch_size=options.batch_size,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        seed=options.seed,
        data_seed=options.seed,
        logging_steps=options.log_steps,
        logging_first_step=True,
        save_strategy="steps" if options.save_steps else "no",
        save_steps=options.save_steps or 500,
        # Not by length: here the length of a record tells its answer, and batches of one kind of
        # answer taught the model to ignore the prompt (first action right: 23 % against 44 %).
        train_sampling_strategy="random",
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        max_length=None,
        packing=False,
        activation_checkpointing=options.recompute and not on_cpu,
        bf16=not on_cpu and not options.fp16,
        fp16=not on_cpu and options.fp16,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )


def _dataset(examples: Sequence[Example]) -> Dataset:
    columns: dict[str, list[Any]] = {
        "input_ids": [e.input_ids for e in examples],
        "labels": [e.labels for e in examples],
        "record": [e.record for e in examples],
    }
    return Dataset.from_dict(columns)


def _adapter(options: Options) -> Any:
    if not options.lora:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=options.lora["r"],
        lora_alpha=options.lora["alpha"],
        lora_dropout=options.lora["dropout"],
        target_modules=options.lora["target_modules"],
        task_type="CAUSAL_LM",
    )
