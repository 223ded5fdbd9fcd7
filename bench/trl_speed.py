"""How fast our update is beside TRL's on the same model, the same turns and the same loss.

Used by `bench.learn`. Both score, backpropagate and step over the same turns, 64 at a time, in
steps of 256; ours sorts a step's turns by length, TRL takes them in their order. Loading is not
counted. Generation is not compared: TRL has no games.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from bench.figures import Figures
from engine.config import load_json
from engine.lease import Cancellation
from engine.rollout.views import LiveViews
from engine.train.grpo import Learner, Options, Sample, collate
from engine.train.policy import load_policy
from engine.train.rl_play import Player
from engine.train.samplers import OwnSampler

MICRO, ACCUMULATE, N_TURNS = 64, 4, 1024


def add_speed(checkpoint: Path, config: dict[str, Any], figures: Figures) -> dict[str, float]:
    """Tokens a second of both, in turns: TRL, ours, TRL, ours; the better of each."""
    samples, pad_id = _turns(checkpoint, config)
    n_tokens = sum(len(s.prompt_ids) + len(s.completion_ids) for s in samples)
    best = {"trl": 0.0, "ours": 0.0}
    for _ in range(2):
        for name, update in (("trl", _theirs), ("ours", _ours)):
            best[name] = max(best[name], n_tokens / update(checkpoint, samples, pad_id))
    figures.add("update: TRL", best["trl"], "tokens/s")
    figures.add("update: ours", best["ours"], "tokens/s")
    figures.add("update: ours to TRL's", best["ours"] / best["trl"], "x", at_least=1.0)
    return best


def _turns(checkpoint: Path, config: dict[str, Any]) -> tuple[list[Sample], int]:
    """Real turns of the model, with advantages of both signs."""
    read: Any = load_json(config).config
    plan = read.plan()
    policy = load_policy(checkpoint, "full", plan.lora, None)
    policy.model.eval()
    views = LiveViews(lambda _: None, "")
    player = Player(plan, OwnSampler(policy), views, Cancellation())

    async def forget(_: Any) -> None: ...

    turns = [turn for trace in player.play(1, forget).traces for turn in trace.turns]
    samples = [
        Sample(t.prompt_ids, t.completion_ids, t.logprobs, (-1.0) ** index, "")
        for index, t in enumerate(turns[:N_TURNS])
    ]
    return samples, int(policy.tokenizer.pad_token_id)


def _ours(checkpoint: Path, samples: list[Sample], pad_id: int) -> float:
    """Seconds of the update."""
    model = _model(checkpoint)
    options = Options(micro_batch=MICRO, accumulate=ACCUMULATE)
    learner = Learner(model, pad_id, options)
    started = time.perf_counter()
    learner.update(samples, rate=1e-5, seed=0)
    return time.perf_counter() - started


def _theirs(checkpoint: Path, samples: list[Sample], pad_id: int) -> float:
    """Seconds of the same with TRL's own loss, in a bare loop without its trainer's bookkeeping."""
    model = _model(checkpoint).train()
    trainer = _trl_trainer(checkpoint, model)
    trainer.current_gradient_accumulation_steps = ACCUMULATE
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), fused=True)
    started = time.perf_counter()
    for index, start in enumerate(range(0, len(samples), MICRO), start=1):
        batch = collate(samples[start : start + MICRO], pad_id)
        width = batch.completion.shape[1]
        inputs = {
            "prompt_ids": batch.input_ids[:, :-width],
            "prompt_mask": batch.attention[:, :-width],
            "completion_ids": batch.completion,
            "completion_mask": batch.mask,
            "old_per_token_logps": batch.old,
            "advantages": batch.advantage,
            "num_items_in_batch": batch.mask.sum(),
        }
        trainer._compute_loss(model, inputs).backward()
        if index % ACCUMULATE == 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def _trl_trainer(checkpoint: Path, model: Any) -> Any:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=False, report_to=[], loss_type="bnpo",
            num_generations=2, per_device_train_batch_size=2, epsilon=0.2, epsilon_high=0.28,
        )  # fmt: skip
        return GRPOTrainer(
            model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": ["a", "b"]}),
            processing_class=tokenizer,
        )


def _model(checkpoint: Path) -> Any:
    from engine.train.model import load_weights

    return load_weights(checkpoint)
