"""How well the small model plays after so many steps of fine-tuning on the guide's games.

    python -m bench.sft_curve            # quick: 150 games, 40 s of training, 24 worlds
    python -m bench.sft_curve --full     # 1,000 games, 420 s, 100 worlds

The base is made from chance play on worlds from 900000, trained on the guide's good games on worlds
from 300000, scored on worlds from 20000: none is a world that `configs/` collects or evaluates on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from bench.figures import Figures
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
TRAIN_SEED, SCORE_SEED, BASE_SEED = 300_000, 20_000, 900_000


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


def half_width(values: Sequence[float]) -> float:
    """Half of the mean's 95 % interval."""
    return 1.96 * statistics.stdev(values) / len(values) ** 0.5


def read_arguments() -> argparse.Namespace:
    """What was asked for; sizes that were not given are those of quick or `--full`."""
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
    given.games = given.games or (1000 if given.full else 150)
    given.seconds = given.seconds or (420.0 if given.full else 40.0)
    given.worlds = given.worlds or (100 if given.full else 24)
    return given


def make_base(given: argparse.Namespace, folder: Path) -> tuple[Any, Any]:
    """(model, tokenizer): weights that know the form of a call from chance play, not the game."""
    task = get_task("crafter")
    chance = list(play_records(task, "random", range(BASE_SEED, BASE_SEED + 120), OPTIONS))
    tokenizer = task_tokenizer(task, chance, OPTIONS)
    model = make_model(tokenizer, Size(*given.size), given.seed)
    examples = encode_records(enumerate(chance, start=1), tokenizer, 512)
    options = Options(
        n_epochs=1000, max_steps=given.base_steps, batch_size=32, learning_rate=3e-3,
        save_seconds=None, log_steps=50, seed=given.seed,
    )  # fmt: skip
    train(model, tokenizer, examples, [], options, folder, Quiet())
    return model, tokenizer


def train_on_guide(
    given: argparse.Namespace, model: Any, tokenizer: Any, folder: Path, figures: Figures
) -> None:
    """Fine-tune `model` in place on the guide's good games."""
    records = good_records(given.games, given.least)
    examples = encode_records(enumerate(records, start=1), tokenizer, 512)
    training, held_out = split_validation(examples)
    options = Options(
        n_epochs=1000, batch_size=given.batch, learning_rate=given.rate,
        warmup_ratio=given.warmup, max_seconds=None if given.steps else given.seconds,
        max_steps=given.steps, save_seconds=None, log_steps=50, eval_steps=200, seed=given.seed,
    )  # fmt: skip
    outcome = train(model, tokenizer, training, held_out, options, folder, Quiet())
    figures.add("training steps", outcome.step, "")
    figures.add("training tokens", outcome.tokens, "")
    figures.add("training speed", outcome.tokens / outcome.seconds, "tokens/s")


def main() -> int:
    """Make the base, score, train, score again on the same worlds."""
    given = read_arguments()
    worlds = range(SCORE_SEED, SCORE_SEED + given.worlds)
    figures = Figures("sft_curve", full=given.full)
    guide = scripted_scores("guide", worlds)
    with tempfile.TemporaryDirectory() as name:
        model, tokenizer = make_base(given, Path(name))
        base, _ = score(model, tokenizer, worlds, 1.0)
        train_on_guide(given, model, tokenizer, Path(name), figures)
    sft, failed = score(model, tokenizer, worlds, 1.0)
    for policy, values in {"base": base, "guide": guide, "sft T=1": sft}.items():
        figures.add(f"{policy}: achievements, mean", statistics.fmean(values), "")
        figures.add(f"{policy}: achievements, ± 95 %", half_width(values), "")
    gains = [after - before for after, before in zip(sft, base, strict=True)]
    lower = statistics.fmean(gains) - half_width(gains)
    figures.add("sft - base, paired, lower end of 95 %", lower, "", at_least=0)
    figures.add("sft T=1: failed calls", failed, "share")
    if given.full:
        for temperature in (0.5, 0.0):
            values, _ = score(model, tokenizer, worlds, temperature)
            figures.add(f"sft T={temperature:g}: achievements, mean", statistics.fmean(values), "")
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())
