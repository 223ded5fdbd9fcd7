"""GRPO and GSPO on sampled token ids: the loss, and the steps of the optimiser.

GRPO (arXiv:2402.03300): r_t = exp(log p(y_t) - log p_old(y_t)) for each sampled token,
    loss = -mean over tokens of min(r_t A, clip(r_t, 1 - low, 1 + high) A).
GSPO (arXiv:2507.18071, eq. 5-7): one ratio for a whole answer y of |y| tokens,
    s = (p(y) / p_old(y))^(1/|y|) = exp(mean over tokens of (log p(y_t) - log p_old(y_t))),
    loss = -mean over answers of min(s A, clip(s, 1 - low, 1 + high) A).
A is the advantage of the turn (`credit.py`). With beta > 0 the k3 estimator of the KL divergence to
the starting model is added (Schulman 2020): exp(d) - d - 1, d = log p_ref - log p, times the ratio,
which makes its gradient that of the reverse KL (arXiv:2512.02556).
p is the distribution at the temperature that was sampled with. The ids are those that were sampled:
nothing is encoded again. Checked against TRL's loss on the same batch (tests/engine/train).
Left out: several processes, vLLM, entropy bonus, value function.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from engine.errors import TrainingError

MAX_GRAD_NORM = 1.0
EXPLODED_NORM = 1e4  # of the gradient before clipping; healthy ones stay below 10
STATE_FILE = "optimizer.pt"
FIGURES = ("loss", "grad_norm", "entropy", "kl", "clip_fraction")  # 0 where no step was taken


class Sample(NamedTuple):
    """One turn to train on: its sampled ids, their log probabilities then, its advantage."""

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    logprobs: Sequence[float]
    advantage: float
    name: str  # which turn of which game, for messages


class Batch(NamedTuple):
    """Turns as tensors; prompts padded on the left, completions on the right.

    input_ids, attention: (B, P + C); completion, mask, old: (B, C); advantage: (B,).
    """

    input_ids: Tensor
    attention: Tensor
    completion: Tensor
    mask: Tensor
    old: Tensor
    advantage: Tensor


class Scores(NamedTuple):
    """Of the sampled tokens: log probability and entropy of their distribution, (B, C)."""

    logprobs: Tensor
    entropies: Tensor


@dataclass(frozen=True, slots=True)
class Options:
    """How samples become steps; names as in a config."""

    variety: str = "grpo"  # grpo | gspo
    clip: tuple[float, float] = (0.2, 0.28)
    kl_beta: float = 0.0
    temperature: float = 1.0
    updates: int = 1
    micro_batch: int = 256
    accumulate: int = 1
    learning_rate: float = 1e-3


class Learner:
    """The model being trained, its optimiser and, with kl_beta, a copy of where it began."""

    def __init__(self, model: PreTrainedModel, pad_id: int, options: Options) -> None:
        self.model, self.pad_id, self.options = model, pad_id, options
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=options.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )
        self.reference = copy.deepcopy(model).eval() if options.kl_beta else None

    def update(self, samples: Sequence[Sample], *, rate: float, seed: int) -> dict[str, float]:
        """All steps of one iteration; `rate` is the learning rate. Returns their mean figures.

        Raises TrainingError for a loss or gradient that is not finite or explodes (R21); the
        weights are then those before the step that broke.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(seed)  # dropout of adapters
        self.model.train()
        sums, n_steps = dict.fromkeys(FIGURES, 0.0), 0
        for chosen in self._steps(samples, torch.Generator().manual_seed(seed)):
            for name, value in self._step(chosen, n_steps).items():
                sums[name] = sums.get(name, 0.0) + value
            n_steps += 1
        self.model.eval()
        return {name: value / max(n_steps, 1) for name, value in sums.items()}

    def _steps(
        self, samples: Sequence[Sample], generator: torch.Generator
    ) -> Iterator[list[Sample]]:
        """The turns of each optimiser step, in random order, parts of nearly the same size."""
        size = self.options.micro_batch * self.options.accumulate
        n_parts = max(1, round(len(samples) / size))
        for _ in range(self.options.updates):
            order = torch.randperm(len(samples), generator=generator)
            for part in order.tensor_split(n_parts):
                if len(part):
                    yield [samples[int(index)] for index in part]

    def _step(self, chosen: list[Sample], index: int) -> dict[str, float]:
        """One step over `chosen`, micro batch by micro batch; similar lengths together."""
        chosen = sorted(chosen, key=lambda s: len(s.prompt_ids) + len(s.completion_ids))
        n_tokens = sum(len(sample.completion_ids) for sample in chosen)
        sums = dict[str, float]()
        self.optimizer.zero_grad(set_to_none=True)
        for start in range(0, len(chosen), self.options.micro_batch):
            part = chosen[start : start + self.options.micro_batch]
            batch = collate(part, self.pad_id, self.model.device)
            share = {"grpo": int(batch.mask.sum()) / n_tokens, "gspo": len(part) / len(chosen)}
            loss, figures = self.loss(batch)
            self._check(float(loss.detach()), index, part)
            (loss * share[self.options.variety]).backward()
            tokens = int(batch.mask.sum()) / n_tokens
            for name, value in {"loss": float(loss.detach()), **figures}.items():
                sums[name] = sums.get(name, 0.0) + value * tokens
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRAD_NORM))
        self._check(norm, index, chosen, limit=EXPLODED_NORM, what="norm of the gradient")
        self.optimizer.step()
        return {**sums, "grad_norm": norm}

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss of one micro batch and its figures."""
        options = self.options
        scores = score(self.model, batch, options.temperature)
        reference = None
        if self.reference is not None:
            with torch.no_grad():
                reference = score(self.reference, batch, options.temperature).logprobs
        return policy_loss(scores, batch, options.variety, options.clip, options.kl_beta, reference)

    def _check(
        self,
        value: float,
        index: int,
        samples: Sequence[Sample],
        *,
        limit: float = math.inf,
        what: str = "loss",
    ) -> None:
        if math.isfinite(value) and value < limit:
            return
        names = ", ".join(sample.name for sample in samples[:8])
        raise TrainingError(
            f"step {index + 1} of the iteration: the {what} is {value:.4g}; the batch holds "
            f"{names}{' …' if len(samples) > 8 else ''}",
            hint="Lower learning_rate or clip, or look at these games.",
            code="loss_broken",
        )

    def save(self, folder: Path) -> None:
        """Optimiser state for a resume; weights are saved by the caller."""
        torch.save(self.optimizer.state_dict(), folder / STATE_FILE)

    def load(self, folder: Path) -> None:
        """Go on with the optimiser of `save`. Never runs code from the file."""
        state = torch.load(folder / STATE_FILE, weights_only=True, map_location=self.model.device)
        self.optimizer.load_state_dict(state)


def policy_loss(
    scores: Scores,
    batch: Batch,
    variety: str,
    clip: tuple[float, float],
    kl_beta: float = 0.0,
    reference: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of the module's docstring; reference: (B, C) log probabilities, with kl_beta > 0."""
    mask, advantage = batch.mask, batch.advantage[:, None]  # (B, C), (B, 1)
    log_ratio = (scores.logprobs - batch.old) * mask  # (B, C)
    n_tokens = mask.sum().clamp(min=1)
    lengths = mask.sum(1, keepdim=True).clamp(min=1)  # (B, 1)
    weights = log_ratio if variety == "grpo" else log_ratio.sum(1, keepdim=True) / lengths
    ratio = weights.exp()  # (B, C), of whole answers (B, 1)
    low, high = clip
    limited = ratio.clamp(1 - low, 1 + high)
    per_token = -torch.min(ratio * advantage, limited * advantage) * mask  # (B, C)
    # Clipped: where the limit took the gradient away.
    outside = ((ratio < 1 - low) & (advantage < 0)) | ((ratio > 1 + high) & (advantage > 0))
    if kl_beta and reference is not None:
        distance = reference - scores.logprobs
        per_token = per_token + kl_beta * ratio * (distance.exp() - distance - 1) * mask
    if variety == "grpo":
        loss = per_token.sum() / n_tokens
    else:
        loss = (per_token.sum(1, keepdim=True) / lengths).mean()
    with torch.no_grad():
        figures = {
            "entropy": float((scores.entropies * mask).sum() / n_tokens),
            # k3 from the policy that sampled: how far this iteration's steps have gone.
            "kl": float(((log_ratio.exp() - 1 - log_ratio) * mask).sum() / n_tokens),
            "clip_fraction": float((outside * mask).sum() / n_tokens),
        }
        if reference is not None:
            distance = (reference - scores.logprobs) * mask
            figures["kl_to_start"] = float((distance.exp() - distance - 1).sum() / n_tokens)
    return loss, figures


def score(model: Any, batch: Batch, temperature: float) -> Scores:
    """What the model gives to the sampled tokens. Greedy games are scored at temperature 1."""
    width = batch.completion.shape[1]
    positions = (batch.attention.cumsum(1) - 1).clamp(min=0)
    logits = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention,
        position_ids=positions,
        logits_to_keep=width + 1,
        use_cache=False,
    ).logits[:, :-1]  # (B, C, V)
    logprobs = (logits.float() / (temperature or 1.0)).log_softmax(-1)
    chosen = logprobs.gather(2, batch.completion[:, :, None])[:, :, 0]
    with torch.no_grad():
        entropies = -(logprobs.exp() * logprobs).sum(-1)
    return Scores(chosen, entropies)


def collate(samples: Sequence[Sample], pad_id: int, device: Any = "cpu") -> Batch:
    """Turns as one batch."""
    n_rows = len(samples)
    left = max(len(sample.prompt_ids) for sample in samples)
    right = max(len(sample.completion_ids) for sample in samples)
    input_ids = torch.full((n_rows, left + right), pad_id, dtype=torch.long)
    attention = torch.zeros((n_rows, left + right), dtype=torch.long)
    old = torch.zeros((n_rows, right))
    for row, sample in enumerate(samples):
        start, end = left - len(sample.prompt_ids), left + len(sample.completion_ids)
        input_ids[row, start:end] = torch.tensor([*sample.prompt_ids, *sample.completion_ids])
        attention[row, start:end] = 1
        old[row, : len(sample.logprobs)] = torch.tensor(sample.logprobs)
    advantage = torch.tensor([sample.advantage for sample in samples], dtype=torch.float32)
    tensors = (input_ids, attention, input_ids[:, left:], attention[:, left:], old, advantage)
    return Batch(*(tensor.to(device) for tensor in tensors))
