"""The loss: equal to TRL's on the same batch, exact on sampled ids, and broken ones stop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import TrainingError
from engine.serve.batch import Batch as Decoding
from engine.serve.batch import Row
from engine.serve.worker import seeded_generator
from engine.train import policy
from engine.train.grpo import Learner, Options, Sample, collate, policy_loss, score
from engine.train.policy import save_memory
from tests.engine.train.cast import tiny_model, tiny_tokenizer

TOLERANCE = 1e-5


def sampled(model: Any, tokenizer: Any, n: int = 6, temperature: float = 0.7) -> list[Sample]:
    """Answers of the model to prompts of different lengths, as the sampler gives them."""
    stop = frozenset([int(tokenizer.eos_token_id)])
    rows = []
    for index in range(n):
        prompt = tokenizer("tree left left wood 2" * (1 + index % 3))["input_ids"]
        rows.append(Row(prompt, temperature, 1.0, 3 + index, stop, seeded_generator(index)))
    batch = Decoding(model.eval())
    batch.join(rows)
    while batch.rows:
        batch.step()
    return [
        Sample(row.prompt, row.completion, row.logprobs, (-1.0) ** i * (0.5 + i), f"row {i}")
        for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_trainer_gives_the_sampled_ids_the_logprobs_of_the_sampler(temperature: float) -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    batch = collate(sampled(model, tokenizer, 8, temperature), int(tokenizer.pad_token_id))
    scores = score(model, batch, temperature)
    distance = (scores.logprobs.detach() - batch.old) * batch.mask
    assert float(distance.abs().max()) < 1e-3


@pytest.mark.parametrize(("variety", "theirs"), [("grpo", "bnpo"), ("gspo", "grpo")])
@pytest.mark.parametrize("kl_beta", [0.0, 0.1])
def test_the_loss_is_that_of_trl(variety: str, theirs: str, kl_beta: float, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    model, other = tiny_model(tokenizer), tiny_model(tokenizer, seed=1)
    samples = sampled(tiny_model(tokenizer, seed=2), tokenizer)
    batch = collate(samples, int(tokenizer.pad_token_id))
    clip = (0.2, 0.28)
    with torch.no_grad():
        reference = score(other, batch, 1.0).logprobs
    ours, _ = policy_loss(score(model, batch, 1.0), batch, variety, clip, kl_beta, reference)
    level = "token" if variety == "grpo" else "sequence"
    expected = loss_of_trl(model, tokenizer, batch, theirs, level, kl_beta, reference, tmp_path)
    assert float(ours) == pytest.approx(float(expected), abs=TOLERANCE)


def loss_of_trl(
    model: Any,
    tokenizer: Any,
    batch: Any,
    loss_type: str,
    level: str,
    kl_beta: float,
    reference: Any,
    folder: Path,
) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    arguments = GRPOConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, report_to=[], loss_type=loss_type,
        importance_sampling_level=level, epsilon=0.2, epsilon_high=0.28,
        num_generations=2, per_device_train_batch_size=2, temperature=1.0,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model, reward_funcs=lambda completions, **_: [0.0] * len(completions), args=arguments,
        train_dataset=Dataset.from_dict({"prompt": ["tree", "cow"]}), processing_class=tokenizer,
    )  # fmt: skip
    trainer.current_gradient_accumulation_steps, trainer.beta = 1, kl_beta
    width = batch.completion.shape[1]
    inputs = {
        "prompt_ids": batch.input_ids[:, :-width],
        "prompt_mask": batch.attention[:, :-width],
        "completion_ids": batch.completion,
        "completion_mask": batch.mask,
        "old_per_token_logps": batch.old,
        "ref_per_token_logps": reference,
        "advantages": batch.advantage,
        "num_items_in_batch": batch.mask.sum(),
    }
    return trainer._compute_loss(model.train(), inputs)


def test_micro_batches_make_the_gradient_of_the_whole_step() -> None:
    tokenizer = tiny_tokenizer()
    samples = sampled(tiny_model(tokenizer), tokenizer, 8)
    weights = []
    for micro_batch, accumulate in ((8, 1), (2, 4)):
        model = tiny_model(tokenizer)
        options = Options(micro_batch=micro_batch, accumulate=accumulate, temperature=0.7)
        learner = Learner(model, int(tokenizer.pad_token_id), options)
        learner.update(samples, rate=1e-3, seed=0)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert float((weights[0] - weights[1]).abs().max()) < 1e-5


def test_what_was_rewarded_gets_likelier() -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    pad_id = int(tokenizer.pad_token_id)
    samples = [s._replace(advantage=1.0) for s in sampled(model, tokenizer, 4, 1.0)]
    Learner(model, pad_id, Options(updates=5)).update(samples, rate=1e-3, seed=0)
    batch = collate(samples, pad_id)
    gain = (score(model, batch, 1.0).logprobs - batch.old) * batch.mask
    assert float(gain.sum()) > 0


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_r21_a_broken_loss_stops_before_the_weights_change(broken: float) -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    samples = sampled(model, tokenizer, 4)
    samples[2] = samples[2]._replace(advantage=broken, name="seed 7 game 3 turn 2")
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(TrainingError, match=r"step 1 .*seed 7 game 3 turn 2") as caught:
        Learner(model, int(tokenizer.pad_token_id), Options()).update(samples, rate=1e-3, seed=0)
    assert caught.value.code == "loss_broken"
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_computing_activations_twice_changes_no_gradient() -> None:
    """A GPU does it to save memory (`engine/train/policy.py`)."""
    gradients = []
    for anywhere in (False, True):
        model = save_memory(tiny_model(tiny_tokenizer()), anywhere=anywhere).train()
        sample = Sample([5, 6, 7], [8, 9], [-1.0, -2.0], 1.0, "")
        batch = collate([sample], 0)
        score(model, batch, 1.0).logprobs.sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, twice in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, twice)


def test_a_large_model_keeps_no_activations_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a backward pass needs of each layer is its input, whatever is inside of the layer."""
    kept = []
    for large in (False, True):
        monkeypatch.setattr(policy, "LARGE_MODEL", 0 if large else 10**9)
        model = save_memory(tiny_model(tiny_tokenizer())).train()
        batch = collate([Sample([5] * 90, [8, 9], [-1.0, -2.0], 1.0, "")], 0)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        ):
            score(model, batch, 1.0)
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 3
