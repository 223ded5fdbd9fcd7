"""Run kind `base`: make the starting model from a seed; nothing is downloaded.

Plays at random, builds the tokenizer around their words, trains fresh weights on the form of the
tool calls, publishes the checkpoint. How: `engine/train/base.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import load_json
from engine.config.small import BaseConfig
from engine.errors import Cancelled, ConfigError
from engine.jobs.job import Job
from engine.jobs.training import JobReporter, announce_checkpoint, prepare_threads
from engine.tasks import get_task

if TYPE_CHECKING:
    from engine.train.sft import Outcome


class BaseReporter(JobReporter):
    """As in fine-tuning, but nothing is kept on the way: making the model again is quick."""

    def checkpoint(self, folder: Path, step: int) -> None:
        del folder, step


def run(job: Job) -> dict[str, Any]:
    """Make the model and announce it. Raises Cancelled, ConfigError, TrainingError."""
    prepare_threads()
    from engine.train.base import play_records, task_tokenizer
    from engine.train.data import encode_records
    from engine.train.model import Size, make_model
    from engine.train.sft import Options, train

    config = load_json(job.config).config
    if not isinstance(config, BaseConfig):
        raise ConfigError("a base run needs a base config, found another kind")
    task = get_task(config.task)
    seeds = range(config.seeds_start, config.seeds_start + config.n_episodes)
    options = config.game_options()
    records = list(play_records(task, "random", seeds, options))
    tokenizer = task_tokenizer(task, records, options)
    size = Size(config.hidden_size, config.n_layers, config.n_heads, config.ffn_size)
    model = make_model(tokenizer, size, config.seed)
    job.events.log(
        f"{len(records)} turns of random play, {len(tokenizer)} tokens, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters"
    )
    training = Options(
        n_epochs=1000,
        max_steps=config.n_steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        seed=config.seed,
        log_steps=10,
        save_seconds=None,
    )
    examples = encode_records(enumerate(records, start=1), tokenizer, max_length=512)
    folder = job.directory / "checkpoints"
    outcome = train(model, tokenizer, examples, [], training, folder, BaseReporter(job, "full"))
    if outcome.stopped == "cancelled":
        raise Cancelled("cancelled; the starting model was not finished")
    _publish(job, config, tokenizer, outcome)
    return {"steps": outcome.step, "tokens": outcome.tokens, **outcome.metrics}


def _publish(job: Job, config: BaseConfig, tokenizer: Any, outcome: Outcome) -> None:
    from engine.train.card import Card, write_final

    card = Card(
        title=config.model,
        base="",
        data_sha256="",
        summary=(
            f"A small starting model for {config.task}: it knows the form of the tool calls from "
            f"{config.n_episodes} games of random play (seed {config.seed}) and plays like chance."
        ),
        config=config.model_dump(),
        metrics=outcome.metrics,
    )
    folder = job.directory / "checkpoint"
    files = write_final(outcome.model, tokenizer, folder, card)
    announce_checkpoint(
        job,
        folder,
        files,
        outcome.step,
        final=True,
        method="full",
        metrics=outcome.metrics,
        kind="base",
    )
