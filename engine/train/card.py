"""A finished checkpoint folder as whoever downloads it sees it: weights, tokenizer, card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.events import FileData
from engine.train.checkpoints import publish_folder


@dataclass(frozen=True, slots=True)
class Card:
    """What the README of a checkpoint says. `data_sha256` is empty where no dataset was used.

    `weights` names the model that an adapter belongs to, where that is not its `base`.
    """

    title: str
    base: str
    data_sha256: str
    summary: str
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    weights: str = ""


def write_final(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    card: Card,
    weights: dict[str, Tensor] | None = None,
) -> list[FileData]:
    """Write the checkpoint that is published: safetensors, tokenizer, README. Staged and renamed.

    Of a model with an adapter only the adapter is written, naming the weights it belongs to.
    weights: those of a model that is shared out (`sharding.py`); None: the model has them.
    """
    staged = folder.parent / f".staged-{folder.name}"
    staged.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "merge_and_unload"):
        for adapter in model.peft_config.values():
            adapter.base_model_name_or_path = card.weights or card.base
        model.save_pretrained(staged, save_embedding_layers=False, state_dict=weights)
    else:
        model.save_pretrained(staged, state_dict=weights)
    tokenizer.save_pretrained(staged)
    (staged / "README.md").write_text(render_card(card), encoding="utf-8")
    return publish_folder(staged, folder)


def render_card(card: Card) -> str:
    """The card as Markdown with the front matter that model hubs read."""
    lines = ["---", "library_name: transformers", "tags: [synthweb]"]
    if card.base:
        lines.append(f"base_model: {json.dumps(card.base)}")
    lines += ["---", "", f"# {card.title}", "", card.summary, ""]
    lines.append(f"- Base: `{card.base or 'fresh weights'}`")
    if card.data_sha256:
        lines.append(f"- Dataset (SHA-256): `{card.data_sha256}`")
    lines += [f"- {name}: {value:.6g}" for name, value in sorted(card.metrics.items())]
    config = json.dumps(card.config, indent=2, sort_keys=True, ensure_ascii=False)
    lines += ["", "## Config", "", "```json", config, "```", ""]
    return "\n".join(lines)
