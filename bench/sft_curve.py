"""How well the small model plays after so many steps of fine-tuning on the guide's games.

    OMP_WAIT_POLICY=PASSIVE python -m bench.sft_curve            # quick: 200 games, 60 s
    OMP_WAIT_POLICY=PASSIVE python -m bench.sft_curve --full     # 1,000 games, 420 s

Training worlds start at 100000, the worlds of the scores at 20000: neither is an eval's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from engine.errors import ReplyError
from engine.llm.toolcalls import read_reply
from engine.llm.types import Reply
from engine.serve.batch import Batch, Row
from engine.serve.replies import find_calls
from engine.tasks import get_task
from engine.tasks.base import Game, PastCall, Task
from engine.train.base import play_records, task_tokenizer
from engine.train.data import encode_records, split_validation
from engine.train.model import Size, make_model
from engine.train.sft import Options, train

OPTIONS = {"observation": "compact"}
STEPS = 100
TRAIN_SEED, SCORE_SEED, BASE_SEED = 100_000, 20_000, 900_000


class Quiet:
    """A reporter that prints one line a logged step."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def metric(self, step: int, values: dict[str, float], tokens: int) -> None:
        self.values = values
        if step % 50 == 0:
            shown = {name: round(value, 4) for name, value in values.items()}
            print(f"  step {step} tokens {tokens} {shown}", flush=True)

    def progress(self, done: int, total: int) -> None:
        del done, total

    def checkpoint(self, folder: Path, step: int) -> None:
        del folder, step

    def cancelled(self) -> bool:
        return False


def score(
    model: Any, tokenizer: Any, seeds: Sequence[int], temperature: float
) -> tuple[list[int], float]:
    """Unique achievements in each of `seeds`, all games side by side; share of failed calls."""
    task = get_task("crafter")
    stop = frozenset([int(tokenizer.eos_token_id)])
    games = [task.new_game(seed, OPTIONS) for seed in seeds]
    pasts: list[list[PastCall]] = [[] for _ in games]
    n_calls = n_failed = 0
    while True:
        live = [i for i, game in enumerate(games) if game.n_steps < STEPS and not game.ending()]
        live = [i for i in live if len(pasts[i]) < STEPS]
        if not live:
            break
        rows = []
        for i in live:
            text = tokenizer.apply_chat_template(
                task.messages(games[i], pasts[i]),
                tools=task.tools,
                add_generation_prompt=True,
                tokenize=False,
            )
            generator = torch.Generator().manual_seed(seeds[i] * 1000 + len(pasts[i]))
            ids = tokenizer(text)["input_ids"]
            rows.append(Row(ids, temperature, 1.0, 40, stop, generator))
        batch = Batch(model.eval())
        batch.join(rows)
        while batch.rows:
            batch.step()
        for i, row in zip(live, rows, strict=True):
            past = play_turn(task, games[i], tokenizer.decode(row.completion[:-1]))
            n_calls, n_failed = n_calls + 1, n_failed + bool(past.error)
            pasts[i].append(past)
    return [len(game.unlocked) for game in games], n_failed / max(n_calls, 1)


def play_turn(task: Task, game: Game, text: str) -> PastCall:
    """Play one answer; what cannot be read is a failed call."""
    content, calls = find_calls(text)
    try:
        if calls:
            function = calls[0]["function"]
            actions = task.read_call(function["name"], json.loads(function["arguments"]))
        else:
            reply = Reply(content, (), "stop", "")
            call = read_reply(reply, task.tools)
            actions = task.read_call(call.name, call.arguments)
    except (ReplyError, ValueError) as err:
        return PastCall((), str(err))
    for action in actions:
        if game.n_steps >= STEPS or game.ending():
            break
        game.step(action)
    return PastCall(tuple(str(a) for a in actions), "")


def scripted_scores(policy: str, seeds: Sequence[int]) -> list[int]:
    """Unique achievements of a scripted policy."""
    task, totals = get_task("crafter"), []
    for seed in seeds:
        game, turn = task.new_game(seed, OPTIONS), 0
        while game.n_steps < STEPS and not game.ending():
            call = task.scripted[policy](task.messages(game, []), (seed, 0, turn))
            for action in task.read_call(call.name, call.arguments):
                if game.n_steps < STEPS and not game.ending():
                    game.step(action)
            turn += 1
        totals.append(len(game.unlocked))
    return totals


def good_records(n_games: int, least: int) -> list[dict[str, Any]]:
    """Turns of the guide's games with at least `least` achievements."""
    task = get_task("crafter")
    seeds = range(TRAIN_SEED, TRAIN_SEED + n_games)
    kept = [
        seed for seed, n in zip(seeds, scripted_scores("guide", seeds), strict=True) if n >= least
    ]
    print(f"{len(kept)} of {n_games} games of the guide have {least} or more", flush=True)
    return list(play_records(task, "guide", kept, OPTIONS))


def show(name: str, values: Sequence[int]) -> dict[str, float]:
    """Print mean and 95 % interval."""
    mean = statistics.fmean(values)
    half = 1.96 * statistics.stdev(values) / len(values) ** 0.5
    print(f"{name}: {mean:.2f} ± {half:.2f}", flush=True)
    return {"mean": mean, "half": half}


def main() -> None:
    """Make the base, train, score; one JSON line at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--games", type=int)
    parser.add_argument("--least", type=int, default=9)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--warmup", type=float, default=0.1)
    parser.add_argument("--size", type=int, nargs=4, default=(128, 3, 4, 384))
    parser.add_argument("--base-steps", type=int, default=150)
    parser.add_argument("--worlds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    n_games = given.games or (1000 if given.full else 200)
    seconds = given.seconds or (420.0 if given.full else 60.0)
    worlds = range(SCORE_SEED, SCORE_SEED + (given.worlds or (100 if given.full else 40)))
    task = get_task("crafter")
    chance = list(play_records(task, "random", range(BASE_SEED, BASE_SEED + 120), OPTIONS))
    tokenizer = task_tokenizer(task, chance, OPTIONS)
    model = make_model(tokenizer, Size(*given.size), given.seed)
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        examples = encode_records(enumerate(chance, start=1), tokenizer, 512)
        options = Options(
            n_epochs=1000, max_steps=given.base_steps, batch_size=32, learning_rate=3e-3,
            save_seconds=None, log_steps=50, seed=given.seed,
        )  # fmt: skip
        train(model, tokenizer, examples, [], options, Path(folder), Quiet())
        print(f"base made in {time.monotonic() - start:.0f} s", flush=True)
        result: dict[str, Any] = {"args": vars(given)}
        result["guide"] = show("guide", scripted_scores("guide", worlds))
        result["base"] = show("base T=1", score(model, tokenizer, worlds, 1.0)[0])
        records = good_records(n_games, given.least)
        examples = encode_records(enumerate(records, start=1), tokenizer, 512)
        lengths = [len(e.input_ids) for e in examples]
        print(f"{len(examples)} turns of {statistics.fmean(lengths):.1f} tokens", flush=True)
        training, held_out = split_validation(examples)
        options = Options(
            n_epochs=1000, batch_size=given.batch, learning_rate=given.rate,
            warmup_ratio=given.warmup, max_seconds=None if given.steps else seconds,
            max_steps=given.steps, save_seconds=None, log_steps=50, eval_steps=200,
            seed=given.seed,
        )  # fmt: skip
        reporter = Quiet()
        outcome = train(model, tokenizer, training, held_out, options, Path(folder), reporter)
    print(f"trained {outcome.step} steps, {outcome.tokens} tokens, {outcome.seconds:.0f} s")
    result |= {"steps": outcome.step, "tokens": outcome.tokens, "seconds": outcome.seconds}
    result["metrics"] = outcome.metrics
    for temperature in (1.0, 0.5, 0.0):
        values, failed = score(model, tokenizer, worlds, temperature)
        result[f"T={temperature}"] = {**show(f"sft T={temperature}", values), "failed": failed}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
