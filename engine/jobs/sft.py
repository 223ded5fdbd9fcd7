"""Run kind `sft`: fine-tune a checkpoint on a dataset.

inputs: `base` {path, model_id} (a checkpoint folder), `data` {path, sha256} (JSONL of chat
records), `validation` {path, sha256} (optional; else every 50th record is held out). `resume` names
the last complete checkpoint. How it is trained: `engine/train/sft.py`; what it shares with other
trainings: `training.py`.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import load_json
from engine.config.launching import own_processes
from engine.config.sft import SftConfig, SftPlan
from engine.errors import Cancelled, ConfigError, StorageError
from engine.jobs.job import Job
from engine.jobs.ranks import is_rank, run_ranks
from engine.jobs.training import JobReporter, announce_checkpoint, find_resume, prepare_threads

if TYPE_CHECKING:
    from engine.train.data import Example
    from engine.train.sft import Options, Outcome

SHOWN_RECORDS, SHOWN_PIECES = 2, 4096  # of tokens.json


def run(job: Job) -> dict[str, Any]:
    """Train, publish the checkpoint, return its figures.

    Raises Cancelled (the last checkpoint is kept), TrainingError, StorageError, ConfigError.
    """
    prepare_threads()
    config = _config(job)
    if not is_rank(os.environ) and (n_gpus := _wants_ranks(config)) is not None:
        return run_ranks(job, config, n_gpus)
    from engine.train.sft import train

    plan = config.plan()
    base, data = _input(job, "base"), _input(job, "data")
    data_sha256 = _check_data(data)
    model, tokenizer, options = _load(job, plan, Path(base["path"]))
    training, held_out = _examples(job, data, tokenizer, plan)
    job.events.log(
        f"{len(training)} records to train on, {len(held_out)} held out; "
        f"{sum(p.numel() for p in model.parameters()):,} parameters, method {plan.method}"
    )
    _show_tokens(job, training, tokenizer, plan)
    resume = find_resume(job)
    if resume is not None:
        job.events.log(f"going on from checkpoint {resume.name}")
    reporter = JobReporter(job, plan.method, plan.keep_last)
    folder = job.directory / "checkpoints"
    outcome = train(model, tokenizer, training, held_out, options, folder, reporter, resume)
    if outcome.stopped == "cancelled":
        raise Cancelled(f"cancelled at step {outcome.step}; the checkpoint of that step is kept")
    _publish(job, plan, tokenizer, outcome, data_sha256)
    return {
        "steps": outcome.step,
        "stopped": outcome.stopped,
        "tokens": outcome.tokens,
        "train_seconds": round(outcome.seconds, 1),
        "records": len(training),
        **({} if outcome.best_step is None else {"best_step": outcome.best_step}),
        **outcome.metrics,
    }


def _config(job: Job) -> SftConfig:
    config = load_json(job.config).config
    if not isinstance(config, SftConfig):
        raise ConfigError("an sft run needs an sft config, found another kind")
    return config


def _wants_ranks(config: SftConfig) -> int | None:
    """This machine's GPUs when several processes are to train on it, else None."""
    from engine.train.processes import n_gpus

    found = n_gpus()
    return found if own_processes(config, found)[1] > 1 else None


def _load(job: Job, plan: SftPlan, folder: Path) -> tuple[Any, Any, Options]:
    """The model as the method trains it, its tokenizer, and the options of the training.

    An adapter as base: `full` trains the merged weights, the others go on with the same adapter.
    """
    from engine.train.adapters import attach, is_adapter, weights_folder
    from engine.train.model import load_model, load_tokenizer, load_weights

    options = _options(plan)
    if plan.method == "full":
        return *load_model(folder), options
    model = load_weights(weights_folder(folder), four_bit=plan.method == "qlora", frozen=True)
    if is_adapter(folder):
        model, options = attach(model, folder, trainable=True), replace(options, lora={})
        job.events.log("going on with the adapter of the base: its rank and layers stay")
    return model, load_tokenizer(folder), options


def _options(plan: SftPlan) -> Options:
    from engine.train.sft import Options

    return Options(
        n_epochs=plan.n_epochs,
        batch_size=plan.batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation_steps,
        learning_rate=plan.learning_rate,
        warmup_ratio=plan.warmup_ratio,
        weight_decay=plan.weight_decay,
        seed=plan.seed,
        max_seconds=plan.max_seconds,
        max_steps=plan.max_steps,
        log_steps=plan.log_steps,
        schedule=plan.schedule,
        packing=plan.packing,
        recompute=bool(plan.parallelism.activation_checkpointing),
        fp16=bool(plan.parallelism.fp16),
        sequence_length=plan.sequence_length,
        eval_strategy=plan.validation.evaluation_strategy,
        eval_steps=plan.validation.eval_steps,
        best_metric=plan.validation.metric,
        best_is_greater=_is_greater(plan),
        keep_best=plan.validation.save_best_model_at_end,
        patience=plan.validation.early_stopping_patience,
        save_seconds=plan.save_seconds,
        save_steps=plan.save_steps,
        lora={} if plan.method == "full" else plan.lora.model_dump(),
    )


def _is_greater(plan: SftPlan) -> bool:
    given = plan.validation.greater_is_better
    return plan.validation.metric == "val.accuracy" if given is None else given


def _examples(
    job: Job, data: dict[str, Any], tokenizer: Any, plan: SftPlan
) -> tuple[list[Example], list[Example]]:
    """(what is trained on, what is held out): the run's own validation records, or a share."""
    from engine.train.data import encode_records, read_records, split_validation

    max_length = plan.sequence_length
    examples = encode_records(read_records(Path(data["path"])), tokenizer, max_length)
    if not plan.validation.enabled:
        return examples, []
    if "validation" not in job.inputs:
        return split_validation(examples)
    records = read_records(Path(_input(job, "validation")["path"]))
    return examples, encode_records(records, tokenizer, max_length)


def _show_tokens(job: Job, training: list[Example], tokenizer: Any, plan: SftPlan) -> None:
    """Keep the first records as the tokens that are trained on, for people to look at."""
    from engine.train.data import IGNORED, token_pieces
    from engine.train.processes import is_first

    if not is_first():
        return
    labels = [label for example in training for label in example.labels]
    shown = {
        "model": str(_input(job, "base").get("model_id") or plan.model),
        "sequence_length": plan.sequence_length,
        "n_records": len(training),
        "n_tokens": len(labels),
        "n_learned": sum(label != IGNORED for label in labels),
        "records": [
            {
                "record": example.record,
                "n_tokens": len(example.input_ids),
                "n_learned": sum(label != IGNORED for label in example.labels),
                "pieces": token_pieces(example, tokenizer)[:SHOWN_PIECES],
            }
            for example in training[:SHOWN_RECORDS]
        ],
    }
    job.artifact("tokens.json", json.dumps(shown, ensure_ascii=False), "tokens")


def _input(job: Job, role: str) -> dict[str, Any]:
    value = job.inputs.get(role)
    if not isinstance(value, dict) or not Path(str(value.get("path", ""))).exists():
        raise ConfigError(f"the run's input {role!r} is missing: found {value!r}, expected a path")
    return value


def _check_data(data: dict[str, Any]) -> str:
    """The dataset's hash. Raises StorageError when it is not the one that the run froze."""
    from engine.train.checkpoints import hash_file

    found = hash_file(Path(data["path"]))
    expected = data.get("sha256") or found
    if found != expected:
        raise StorageError(
            f"dataset {Path(data['path']).name}: SHA-256 is {found}, the run froze {expected}",
            retryable=False,
        )
    return found


def _summary(outcome: Outcome) -> str:
    words = f"Supervised fine-tuning, {outcome.step} steps, {outcome.tokens:,} tokens."
    if outcome.best_step is not None:
        words += f" The weights are the best by validation, of step {outcome.best_step}."
    return words


def _publish(job: Job, plan: SftPlan, tokenizer: Any, outcome: Outcome, data_sha256: str) -> None:
    from engine.train.card import Card, write_final
    from engine.train.processes import is_first

    given = _input(job, "base")
    base = given.get("model_id") or plan.model
    card = Card(
        title=f"Fine-tuned from {base}",
        base=str(base),
        data_sha256=data_sha256,
        summary=_summary(outcome),
        config=job.config,
        metrics=outcome.metrics,
        weights=str(given.get("weights_model_id") or ""),
    )
    if not is_first():
        return
    if outcome.shared is not None:
        job.events.log("gathered the weights that the processes share")
    folder = job.directory / "checkpoint"
    files = write_final(outcome.model, tokenizer, folder, card, outcome.shared)
    announce_checkpoint(
        job, folder, files, outcome.step, final=True, method=plan.method, metrics=outcome.metrics
    )
