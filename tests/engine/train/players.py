"""A model small enough for tests that already answers with calls of Crafter, and its trainings.

Made once a session, whatever number of processes tests (`tests/engine/conftest.py`): a few seconds
of imitating random play.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.config import load_json
from engine.config.rl_plan import RlPlan
from engine.lease import Cancellation
from engine.rollout.views import LiveViews
from engine.tasks import get_task
from engine.traces.record import Trace
from engine.train.base import play_records
from engine.train.card import Card, write_final
from engine.train.data import encode_records
from engine.train.grpo import Sample, collate, score
from engine.train.model import Size, make_model
from engine.train.policy import load_policy
from engine.train.rl import RlTrainer
from engine.train.rl_remote import RemoteGames
from engine.train.sft import Options, train
from engine.train.tokenizer import make_tokenizer, tool_call_frame
from tests.engine.train.cast import Silent

CRAFTER = {"observation": "compact"}
STEPS = 100
# Few and short, so that their form is learned at once; grass gives saplings to plant.
CALLS = (["do"], ["do", "do", "do"], ["move_left"], ["move_right", "do"], ["place_plant"])


def make_player(folder: Path) -> Path:
    """A checkpoint that calls at random, mostly in good form."""
    task = get_task("crafter")
    records = list(play_records(task, "random", range(4), CRAFTER))
    for index, record in enumerate(records):
        function = record["messages"][-1]["tool_calls"][0]["function"]
        function["arguments"] = json.dumps({"actions": CALLS[index * 7 % len(CALLS)]})
    system = str(records[0]["messages"][0]["content"])
    texts = [str(record["messages"][-2]["content"]) for record in records]
    texts += [f'"{name}"\n, "{name}"' for name in task.actions]
    phrases = [system, "\nTools: interact_many", *tool_call_frame("interact_many", "actions")]
    tokenizer = make_tokenizer(texts, phrases)
    model = make_model(tokenizer, Size(hidden_size=64, layers=1, heads=2, ffn_size=128), seed=0)
    options = Options(
        n_epochs=100,
        max_steps=STEPS,
        batch_size=16,
        learning_rate=1e-2,
        warmup_ratio=0.1,
        save_seconds=None,
    )
    examples = encode_records(enumerate(records, start=1), tokenizer, 256)
    outcome = train(model, tokenizer, examples, [], options, folder / "work", Silent())
    write_final(outcome.model, tokenizer, folder / "player", Card("p", "", "", "", {}, {}))
    return folder / "player"


def rl_config(**training: Any) -> dict[str, Any]:
    """Two groups of four short games an iteration, three iterations, the same bits every time."""
    return {
        "type": "rl",
        "algorithm": {"variety": "grpo"},
        "model": {"base": "test/player"},
        "rollout": {
            "observation": "compact",
            "max_turns": 16,
            "episodes_per_batch": 8,
            "max_concurrent_rollouts": 8,
            "env_config": {"env_params": {"max_steps_per_episode": 60}},
            "policy_config": {"temperature": 1.0, "max_tokens": 24},
        },
        "training": {
            "iterations_per_epoch": 3,
            "group_size": 4,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "save_seconds": 0,
            "lockstep": True,
            "event_rewards_kind": "absolute",
            **training,
        },
    }


def rl_plan(**training: Any) -> RlPlan:
    return plan_of(rl_config(**training))


def plan_of(raw: dict[str, Any]) -> RlPlan:
    config: Any = load_json(raw).config
    plan: RlPlan = config.plan()
    return plan


def rl_directory(
    directory: Path, player: Path, config: dict[str, Any], resume: dict[str, Any] | None = None
) -> Path:
    """A run directory for `python -m engine`."""
    directory.mkdir(parents=True)
    base = {"path": str(player), "model_id": "test/player"}
    raw = {"kind": "rl", "config": config, "inputs": {"base": base}, "resume": resume}
    (directory / "config.json").write_text(json.dumps(raw))
    return directory


class Notes:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.points: dict[int, dict[str, float]] = {}
        self.stored: list[Trace] = []
        self.saved: list[Path] = []
        self.warnings: list[str] = []

    def metric(self, step: int, values: dict[str, float], tokens: int) -> None:
        del tokens
        self.points[step] = values

    def progress(self, done: int, total: int) -> None:
        del done, total

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    async def store(self, trace: Trace) -> None:
        self.stored.append(trace)

    def checkpoint(self, folder: Path, step: int) -> None:
        del step
        self.saved.append(folder)


def make_trainer(
    plan: RlPlan,
    player: Path,
    folder: Path,
    resume: Path | None = None,
    remote: RemoteGames | None = None,
) -> tuple[RlTrainer, Notes]:
    notes = Notes()
    policy = load_policy(player, plan.method, plan.lora, resume)
    views = LiveViews(lambda _: None, "test/player")
    trainer = RlTrainer(plan, policy, folder, notes, views, Cancellation(), remote)
    if resume:
        trainer.resume(resume)
    return trainer, notes


def logprob_distance(trainer: RlTrainer, traces: Sequence[Trace]) -> float:
    """How far the trained model's log probabilities of the sampled ids are from the sampler's.

    Nothing is encoded again. Fails when the games hold too few turns to say anything.
    """
    samples = [
        Sample(turn.prompt_ids, turn.completion_ids, turn.logprobs, 1.0, "")
        for trace in traces
        for turn in trace.turns
    ]
    assert len(samples) > 20
    batch = collate(samples, int(trainer.policy.tokenizer.pad_token_id))
    scores = score(trainer.policy.model, batch, trainer.plan.temperature)
    return float(((scores.logprobs.detach() - batch.old) * batch.mask).abs().max())
