"""How well a model says what held-out records say: the figures under `[training.validation]`.

Lives here: the measure. When it is taken is `callbacks.py`, which weights are kept `best.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from engine.train.batches import collate, may_share
from engine.train.data import IGNORED, Example

INPUTS = ("input_ids", "attention_mask", "position_ids")
MEASURED_TOKENS = 16_384  # of a batch whose loss is measured


@torch.no_grad()
def measure(
    model: PreTrainedModel, examples: Sequence[Example], pad_id: int, batch_size: int = 64
) -> dict[str, float]:
    """val.loss: mean cross entropy of an assistant's token, in nats; val.accuracy: share of those
    tokens that were the most likely ones."""
    was_training = model.training
    model.eval()
    total, right, count = 0.0, 0, 0
    longest = max((len(e.input_ids) for e in examples), default=1)
    batch_size = max(1, min(batch_size, MEASURED_TOKENS // longest))
    share = may_share(model)
    for start in range(0, len(examples), batch_size):
        rows = [e._asdict() for e in examples[start : start + batch_size]]
        batch = {k: v.to(model.device) for k, v in collate(rows, pad_id, share=share).items()}
        inputs = {name: value for name, value in batch.items() if name in INPUTS}
        # The logits of a prompt's tokens, 200 kB each with a large vocabulary, are never made.
        kept = (batch["labels"][:, 1:] != IGNORED).any(0).nonzero().squeeze(1)  # (T',)
        logits = model(**inputs, logits_to_keep=kept).logits  # (B, T', V)
        labels = batch["labels"][:, 1:][:, kept].reshape(-1)  # (B·T',)
        flat = logits.reshape(-1, logits.shape[-1]).float()
        total += float(nn.functional.cross_entropy(flat, labels, reduction="sum"))
        right += int((flat.argmax(-1) == labels).sum())
        count += int((labels != IGNORED).sum())
    model.train(was_training)
    return {"val.loss": total / max(count, 1), "val.accuracy": right / max(count, 1)}
