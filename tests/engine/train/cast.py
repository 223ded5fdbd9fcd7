"""A model small enough to train in seconds, and records that it can learn by heart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from engine.train.model import Size, make_model
from engine.train.tokenizer import make_tokenizer, tool_call_frame

SYSTEM = "You play. Answer with one call."
TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "interact_many"}}]
WORDS = "tree cow water stone left right up do move_left move_right sleep"


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    names = WORDS.split()
    texts = [WORDS, *names, *(f'"{name}"\n, "{name}"' for name in names), " left left left wood 2"]
    phrases = [SYSTEM, "\nTools: interact_many", *tool_call_frame("interact_many", "actions")]
    return make_tokenizer(texts, phrases)


def tiny_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> Any:
    return make_model(tokenizer, Size(hidden_size=32, layers=2, heads=2, ffn_size=64), seed)


def turn(seen: str, actions: list[str]) -> dict[str, Any]:
    """One chat record: what was seen, what was called."""
    function = {"name": "interact_many", "arguments": json.dumps({"actions": actions})}
    said = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
    }
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": seen}, said]
    return {"messages": messages, "tools": TOOLS}


def lessons(count: int) -> list[dict[str, Any]]:
    """Trees are hit, cows are slept beside: two rules and a few lengths."""
    kinds = [("tree", ["do"]), ("cow", ["sleep"]), ("water", ["move_left", "do"])]
    rows = [kinds[index % 3] for index in range(count)]
    return [turn(f"{kind} left {1 + i % 4}", calls) for i, (kind, calls) in enumerate(rows)]


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


class Silent:
    """A reporter that remembers what it was told; `stop_at` asks to cancel at that step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.metrics: list[tuple[int, dict[str, float]]] = []
        self.checkpoints: list[Path] = []
        self.stop_at, self.step = stop_at, 0

    def metric(self, step: int, values: dict[str, float], tokens: int) -> None:
        del tokens
        self.metrics.append((step, values))

    def progress(self, done: int, total: int) -> None:
        del total
        self.step = done

    def checkpoint(self, folder: Path, step: int) -> None:
        del step
        self.checkpoints.append(folder)

    def cancelled(self) -> bool:
        return self.stop_at is not None and self.step >= self.stop_at
