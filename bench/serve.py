"""Tokens a second of our server at 8 concurrent clients beside plain `transformers.generate`.

    python -m bench.serve            # quick: about half a minute
    python -m bench.serve --full     # more rounds, and a larger model behind a long system prompt

Both answer the same prompts with the same number of sampled tokens, `generate` as one batch of 8,
the server over HTTP from 8 clients that ask again as soon as they are answered. Rounds alternate,
so that other load on the machine hits both. Weights are fresh: only their size matters.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from bench.figures import Figures
from engine.tasks import get_task
from engine.train.base import play_records, task_tokenizer
from engine.train.card import Card, write_final
from engine.train.model import Size, load_model, make_model

CLIENTS = 8
TOKEN = "bench"
OPTIONS = {"observation": "compact"}


class Case(NamedTuple):
    """A model size, how many tokens an answer has, and a text that every prompt begins with."""

    name: str
    size: Size
    n_tokens: int
    beginning: str


SMALL = Case("0.7 M parameters, 32 tokens", Size(), 32, "")
LONG = Case(
    "9 M parameters behind 600 shared tokens",
    Size(hidden_size=320, layers=6, heads=5, ffn_size=960),
    16,
    "You play Crafter on a small map. " * 85,
)


def make_folder(case: Case, folder: Path, records: list[dict[str, Any]]) -> Path:
    """A checkpoint of that size with fresh weights."""
    tokenizer = task_tokenizer(get_task("crafter"), records, OPTIONS)
    write_final(
        make_model(tokenizer, case.size, 0), tokenizer, folder, Card("", "", "", "", {}, {})
    )
    return folder


def ask_in_turn(port: int, body: dict[str, Any], prompts: list[Any]) -> int:
    """One client: every prompt, one after the other. Returns the tokens it got.

    `http.client`, because a heavier one would take from the core that the server needs.
    """
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connection, n = HTTPConnection("127.0.0.1", port, timeout=120), 0
    for messages in prompts:
        data = json.dumps({**body, "messages": messages})
        connection.request("POST", "/v1/chat/completions", data, headers)
        n += json.load(connection.getresponse())["usage"]["completion_tokens"]
    connection.close()
    return n


def served(port: int, case: Case, turns: list[list[Any]]) -> float:
    """Tokens a second over HTTP; `turns` holds the prompts of each client."""
    body = {"model": "m", "max_tokens": case.n_tokens, "ignore_eos": True, "temperature": 1.0}
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        n = sum(pool.map(lambda prompts: ask_in_turn(port, body, prompts), turns))
    return n / (time.monotonic() - began)


def generated(model: Any, tokenizer: Any, case: Case, turns: list[list[Any]]) -> float:
    """Tokens a second of `generate`, a batch of 8 prompts at a time."""
    began, n = time.monotonic(), 0
    for batch in zip(*turns, strict=True):
        texts = [
            tokenizer.apply_chat_template(m, add_generation_prompt=True, tokenize=False)
            for m in batch
        ]
        ids = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        ids = {key: ids[key] for key in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            out = model.generate(
                **ids,
                do_sample=True,
                top_k=0,
                min_new_tokens=case.n_tokens,
                max_new_tokens=case.n_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
        n += (out.shape[1] - ids["input_ids"].shape[1]) * out.shape[0]
        tokenizer.batch_decode(out)
    return n / (time.monotonic() - began)


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """A model server of its own; yields its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.serve", "--model", f"m={folder}"],
        env={**os.environ, "SYNTHWEB_SERVE_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.terminate()
        process.wait(20)


def measure(case: Case, n_rounds: int, n_turns: int, figures: Figures) -> None:
    """Alternate both, report medians and their ratio."""
    records = list(play_records(get_task("crafter"), "random", range(4), OPTIONS))
    lessons = [record["messages"][:-1] for record in records][: CLIENTS * n_turns]
    prompts = [
        [{"role": "system", "content": case.beginning + m[0]["content"]}, *m[1:]] for m in lessons
    ]
    turns = [prompts[i::CLIENTS][:n_turns] for i in range(CLIENTS)]
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(case, Path(name) / "m", records)
        model, tokenizer = load_model(folder)
        model.eval()
        with server(folder) as port:
            warm = [prompts[:1] for prompts in turns]
            served(port, case, warm)
            generated(model, tokenizer, case, warm)
            rates = [
                (served(port, case, turns), generated(model, tokenizer, case, turns))
                for _ in range(n_rounds)
            ]
    ours, theirs = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = statistics.median(a / b for a, b in rates)
    figures.add(f"{case.name}: served to {CLIENTS} clients", ours, "tokens/s")
    figures.add(f"{case.name}: transformers.generate", theirs, "tokens/s")
    figures.add(f"{case.name}: ratio", ratio, "x", at_least=1)


def main() -> int:
    """The small model, and with `--full` a larger one behind a long system prompt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    full = parser.parse_args().full
    figures = Figures("serve", full=full)
    measure(SMALL, 9 if full else 3, 12, figures)
    measure(LONG, 5 if full else 2, 4, figures)
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())
