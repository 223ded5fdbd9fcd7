"""The `sft` config: fine-tune a model on a dataset. Synth's keys as they are, plus ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from engine.config.hardware import Compute, Parallelism, Topology
from engine.config.section import Section, Tag, gpu_only, not_used

Method = Literal["full", "lora", "qlora"]


class SftAlgorithm(Section):
    """Synth's description of the method; `variety` chooses full or LoRA where nothing else does."""

    type: Literal["offline"] = "offline"
    """offline: trains on a dataset."""
    method: Literal["sft", "supervised_finetune"] = "sft"
    """sft."""
    variety: Literal["fft", "lora", "qlora"] | None = None
    """fft (all weights), lora or qlora (adapters)."""


class Job(Section):
    """What is trained on what."""

    model: str = Field(min_length=1, max_length=300)
    """The model to start from: a base id (synthweb/crafter-small, Qwen/Qwen3-4B), a checkpoint, or
    stage:NAME."""
    data: str | None = Field(None, max_length=500)
    """The dataset: dataset:ID, a JSONL file below configs/ or SYNTHWEB_HOME, or stage:NAME."""
    data_path: str | None = Field(None, max_length=500)
    """Another name of data."""
    poll_seconds: int | None = not_used(None, "only Synth's client uses it, to wait", ge=0)
    """How long Synth's client waits for the job."""


class SftData(Section):
    """Further data."""

    topology: Topology = Topology()
    """How Synth spreads containers."""
    validation_path: str | None = Field(None, max_length=500)
    """Records that are only measured, never trained on: dataset:ID or a JSONL file."""


class Validation(Section):
    """Measuring the loss on the validation records while training."""

    enabled: bool = True
    """Whether the validation loss is measured; without records of its own, on a share held out."""
    evaluation_strategy: Literal["steps", "epoch", "no"] = "steps"
    """When: every eval_steps steps or after each epoch."""
    eval_steps: int = Field(20, ge=1)
    """Steps between two measurements."""
    save_best_model_at_end: bool = False
    """Keep the weights of the best measurement instead of the last ones."""
    metric_for_best_model: Literal[
        "val.loss", "eval_loss", "loss", "val.accuracy", "train.loss"
    ] = "val.loss"
    """Which metric says what is best; eval_loss and loss are other names of val.loss."""
    greater_is_better: bool | None = None
    """Whether more of that metric is better; without it, more accuracy and less loss."""
    early_stopping_patience: int | None = Field(None, ge=1)
    """Stop after so many measurements in a row that were no better than the best; without it,
    never."""

    @property
    def metric(self) -> str:
        """The metric by the name that its curve has."""
        other = {"eval_loss": "val.loss", "loss": "val.loss"}
        return other.get(self.metric_for_best_model, self.metric_for_best_model)


class Lora(Section):
    """Adapters: few new weights beside frozen ones."""

    r: int = Field(16, ge=1, le=1024)
    """Rank: how many directions an adapter can learn."""
    alpha: int = Field(32, ge=1)
    """Scale of the adapter; the effect is alpha / r."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is left out at random while training."""
    target_modules: str | list[str] = "all-linear"
    """Which layers get an adapter: all-linear or names."""


class SftTraining(Section):
    """How long and how it is trained, beyond the hyperparameters."""

    mode: Literal["full_finetune", "sft_offline", "lora", "qlora"] | None = None
    """Synth's words: full_finetune trains all weights, sft_offline leaves the choice to use_qlora
    and train_kind."""
    use_qlora: bool = False
    """Adapters on weights held in 4 bits."""
    validation: Validation = Validation()
    """Measuring the validation loss."""
    max_seconds: float | None = Field(None, gt=0)
    """Stop after this much training time and keep what was learned; schedules end there too."""
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimiser steps."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Order of the records, dropout and new weights."""
    log_steps: int = Field(5, ge=1)
    """Steps between two points of the curves."""
    save_seconds: float = Field(60.0, gt=0)
    """Time between two checkpoints that a killed training goes on from."""
    save_steps: int | None = Field(None, ge=1)
    """Steps between two of those checkpoints, besides those by time."""
    keep_last: int = Field(2, ge=1, le=1000)
    """How many of those checkpoints are kept while training; afterwards none is needed."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up, to 2 % of its peak at the end."""
    packing: bool = False
    """Put several short records into one row instead of padding each: the same losses, faster on a
    GPU. On a CPU it is slower: rows of 2,048 tokens cost more attention than padding does."""
    cpu_processes: int = Field(1, ge=1, le=64)
    """Training processes on a machine without GPU. One is fastest; more try out the launch."""
    lora: Lora = Lora()
    """The adapters, where adapters are trained."""


class Hyperparameters(Section):
    """The numbers of the training."""

    n_epochs: float = Field(1, gt=0, le=1000)
    """How often each record is seen."""
    world_size: int | None = gpu_only(None, ge=1)
    """Number of training processes."""
    sequence_length: int = Field(2048, ge=16, le=1_000_000)
    """Longest record in tokens; longer ones lose their beginning."""
    global_batch: int | None = Field(None, ge=1)
    """Records in one optimiser step; instead of gradient_accumulation_steps."""
    per_device_batch: int | None = Field(None, ge=1, le=65_536)
    """Records that go through the model at once; 8 where none is given."""
    batch_size: int | None = Field(None, ge=1, le=65_536)
    """Another name of per_device_batch."""
    gradient_accumulation_steps: int | None = Field(None, ge=1, le=65_536)
    """Batches whose gradients make one optimiser step; 1 where none is given."""
    learning_rate: float = Field(5e-6, gt=0, le=1)
    """How far one step goes at most."""
    warmup_ratio: float = Field(0.03, ge=0, le=1)
    """Share of the training in which the learning rate rises from zero."""
    weight_decay: float = Field(0.0, ge=0, le=10)
    """How strongly weights are pulled to zero."""
    train_kind: Literal["fft", "full", "lora", "qlora"] | None = None
    """fft (all weights), lora or qlora (adapters)."""
    parallelism: Parallelism = Parallelism()
    """How several GPUs share the work."""


@dataclass(frozen=True, slots=True)
class SftPlan:
    """The flat view: what the trainer does. None means no limit."""

    model: str
    data: str
    validation_data: str
    method: Method
    n_epochs: float
    batch_size: int
    gradient_accumulation_steps: int
    sequence_length: int
    learning_rate: float
    warmup_ratio: float
    weight_decay: float
    seed: int
    max_seconds: float | None
    max_steps: int | None
    log_steps: int
    save_seconds: float
    save_steps: int | None
    keep_last: int
    schedule: Literal["linear", "cosine", "constant"]
    packing: bool
    lora: Lora
    validation: Validation
    parallelism: Parallelism


class SftConfig(Section):
    """Fine-tune a model on a dataset."""

    type: Literal["sft"] = "sft"
    """sft."""
    name: str = Field("", max_length=200)
    """What lists call the run; without one, its model and dataset."""
    algorithm: SftAlgorithm = SftAlgorithm()
    """Synth's description of the method."""
    job: Job
    """What is trained on what."""
    compute: Compute = Compute()
    """The cluster that Synth is asked for."""
    data: SftData = SftData()
    """Further data."""
    training: SftTraining = SftTraining()
    """How long and how it is trained."""
    hyperparameters: Hyperparameters = Hyperparameters()
    """The numbers of the training."""
    tags: dict[str, Tag] = {}
    """Words for finding the run again."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        h, methods = self.hyperparameters, self._methods()
        problems = []
        if len(set(methods.values())) > 1:
            words = ", ".join(f"{key} says {method}" for key, method in methods.items())
            problems.append(f"two different methods: {words}.")
        if self.job.data and self.job.data_path and self.job.data != self.job.data_path:
            problems.append("job.data and job.data_path name two different datasets.")
        if h.batch_size and h.per_device_batch and h.batch_size != h.per_device_batch:
            problems.append("hyperparameters.batch_size and per_device_batch differ.")
        if h.global_batch and h.global_batch % self._batch():
            problems.append(f"hyperparameters.global_batch is no multiple of {self._batch()}.")
        if problems:
            raise ValueError(" ".join(problems))
        return self

    def plan(self) -> SftPlan:
        """The flat view: one answer to each question."""
        h, t = self.hyperparameters, self.training
        accumulate = h.gradient_accumulation_steps or 1
        if h.global_batch:
            accumulate = h.global_batch // self._batch()
        methods = self._methods()
        return SftPlan(
            model=self.job.model,
            data=self.job.data or self.job.data_path or "",
            validation_data=self.data.validation_path or "",
            method=next(iter(methods.values()), "full"),
            n_epochs=h.n_epochs,
            batch_size=self._batch(),
            gradient_accumulation_steps=accumulate,
            sequence_length=h.sequence_length,
            learning_rate=h.learning_rate,
            warmup_ratio=h.warmup_ratio,
            weight_decay=h.weight_decay,
            seed=t.seed,
            max_seconds=t.max_seconds,
            max_steps=t.max_steps,
            log_steps=t.log_steps,
            save_seconds=t.save_seconds,
            save_steps=t.save_steps,
            keep_last=t.keep_last,
            schedule=t.schedule,
            packing=t.packing,
            lora=t.lora,
            validation=t.validation,
            parallelism=h.parallelism,
        )

    def _batch(self) -> int:
        return self.hyperparameters.per_device_batch or self.hyperparameters.batch_size or 8

    def _methods(self) -> dict[str, Method]:
        """Every key that names a method, with what it names."""
        words: dict[str, Method] = {"fft": "full", "full": "full", "full_finetune": "full"}
        words |= {"lora": "lora", "qlora": "qlora"}
        said: dict[str, Any] = {
            "training.use_qlora": "qlora" if self.training.use_qlora else None,
            "training.mode": self.training.mode,
            "hyperparameters.train_kind": self.hyperparameters.train_kind,
            "algorithm.variety": self.algorithm.variety,
        }
        return {key: words[word] for key, word in said.items() if word in words}
