"""Supervised fine-tuning: imitate the assistant of a dataset's chat records.

Algorithm: cross entropy on the assistant's tokens, AdamW, linear warm-up and decay; TRL's
SFTTrainer does the steps. Ours: encoding (`data.py`), the schedule by time (`schedule.py`), staged
checkpoints, cancel, the check for a broken loss. Left out: packing (on CPU it did not finish, and
short records gain nothing) and several processes.
By hand: `python -m engine RUN_DIR` with a config of kind `sft`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import SFTConfig, SFTTrainer

from engine.errors import TrainingError
from engine.train.callbacks import Progress
from engine.train.checkpoints import publish_folder
from engine.train.data import Example, collate
from engine.train.schedule import Clock, rate_factor

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
    weight_decay: float = 0.0
    seed: int = 0
    max_seconds: float | None = None
    max_steps: int | None = None
    log_steps: int = 5
    eval_steps: int = 20
    save_seconds: float | None = 60.0
    save_steps: int | None = None
    lora: dict[str, Any] = field(default_factory=dict)  # empty: all weights are trained


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended: `stopped` is "done", "time" or "cancelled".

    `model` is what was trained: the model itself, or the model with its adapter around it.
    """

    model: Any
    step: int
    stopped: str
    tokens: int
    seconds: float
    metrics: dict[str, float]


class Trainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer with staged checkpoints, a schedule that knows time, and a watch on the loss."""

    clock: Clock
    warmup_ratio: float
    saved: Callable[[Path, int], None]
    target: Path

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> Any:
        """The learning rate follows whichever runs out first: the steps or the time."""

        def factor(step: int) -> float:
            progress = max(step / max(num_training_steps, 1), self.clock.time_share)
            return rate_factor(progress, self.warmup_ratio)

        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)
        return self.lr_scheduler

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Any = None
    ) -> Tensor:
        """One forward and backward pass. Raises TrainingError for a broken loss (R21)."""
        records = inputs.pop("record")
        self.clock.tokens += int(inputs["attention_mask"].sum())
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not math.isfinite(float(loss)) or float(loss) > EXPLODED_LOSS:
            shown = ", ".join(str(r) for r in records.tolist()[:20])
            raise TrainingError(
                f"step {self.state.global_step + 1}: the loss is {float(loss):.4g}; "
                f"the batch holds records {shown}{' …' if len(records) > 20 else ''}",
                hint="the last checkpoint is good; lower learning_rate or look at these records",
                code="loss_broken",
            )
        return loss

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write into the staging folder, then give the whole folder its name at once."""
        shutil.rmtree(self.args.output_dir, ignore_errors=True)
        super()._save_checkpoint(model, trial)
        step = self.state.global_step
        staged = Path(self.args.output_dir) / f"checkpoint-{step}"
        self.clock.save(staged)
        publish_folder(staged, self.target / f"step-{step}")
        self.saved(self.target / f"step-{step}", step)


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
    clock = Clock(options.max_seconds)
    trainer = Trainer(
        model,
        args=_arguments(options, folder / ".staged"),
        train_dataset=_dataset(training),
        processing_class=tokenizer,
        data_collator=partial(collate, pad_id=int(tokenizer.pad_token_id)),
        peft_config=_adapter(options),
    )
    trainer.clock, trainer.warmup_ratio = clock, options.warmup_ratio
    trainer.target, trainer.saved = folder, reporter.checkpoint
    loss_of = partial(validation_loss, examples=validation, pad_id=int(tokenizer.pad_token_id))
    watch = Progress(options, clock, reporter, loss_of if validation else None)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    clock.start(resume)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    shutil.rmtree(folder / ".staged", ignore_errors=True)
    step = trainer.state.global_step
    return Outcome(trainer.model, step, watch.stopped, clock.tokens, clock.elapsed_s, watch.last)


@torch.no_grad()
def validation_loss(
    model: PreTrainedModel, examples: Sequence[Example], pad_id: int, batch_size: int = 64
) -> float:
    """Mean cross entropy of an assistant's token over `examples`, in nats."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for start in range(0, len(examples), batch_size):
        batch = collate([e._asdict() for e in examples[start : start + batch_size]], pad_id)
        batch = {key: value.to(model.device) for key, value in batch.items()}
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        labels = batch["labels"][:, 1:].reshape(-1)  # (B·(T-1),)
        flat = logits[:, :-1].reshape(-1, logits.shape[-1]).float()
        total += float(nn.functional.cross_entropy(flat, labels, reduction="sum"))
        count += int((labels >= 0).sum())
    model.train(was_training)
    return total / max(count, 1)


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
        activation_checkpointing=False,
        bf16=not on_cpu,
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
