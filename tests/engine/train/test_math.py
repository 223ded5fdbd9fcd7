"""The small model for math: how it reads numbers, and that it learns to solve what it never saw."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.llm.toolcalls import read_reply
from engine.llm.types import Reply
from engine.rollout.scores import paired_difference
from engine.serve.batch import Batch, Row
from engine.tasks import get_task
from engine.train.base import play_records, task_tokenizer
from engine.train.data import encode_records
from engine.train.model import Size, make_model
from engine.train.sft import Options, train
from tests.engine.train.cast import Silent

TASK = get_task("math")
EASY = {"family": "chain_sum", "difficulty": "easy"}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    records = list(play_records(TASK, "random", range(60), {**EASY, "split": "train"}))
    return task_tokenizer(TASK, records, EASY)


def test_a_number_is_read_digit_by_digit_wherever_it_stands(tokenizer: Any) -> None:
    [record] = play_records(TASK, "guide", [4], EASY)
    text = tokenizer.apply_chat_template(record["messages"], tools=TASK.tools, tokenize=False)
    tokens = [tokenizer.decode([token]) for token in tokenizer(text)["input_ids"]]
    digits = [token for token in tokens if any(c.isdigit() for c in token)]
    assert digits
    assert all(len(token) == 1 for token in digits)
    assert len(tokens) < 30  # what never changes is one token each


def test_a_tool_call_of_text_is_framed_as_json(tokenizer: Any) -> None:
    [record] = play_records(TASK, "guide", [4], EASY)
    text = tokenizer.apply_chat_template(record["messages"], tools=TASK.tools, tokenize=False)
    said = text.split("<|im_start|>assistant\n")[1].removesuffix("<|im_end|>")
    call = read_reply(Reply(said, (), "stop", ""), TASK.tools)
    assert call.arguments == json.loads(
        record["messages"][-1]["tool_calls"][0]["function"]["arguments"]
    )


def small(text: str) -> bool:
    """Whether a problem has numbers of one digit only, which are learned in seconds."""
    return all(len(number) == 1 for number in re.findall(r"\d+", text))


def solve(model: Any, tokenizer: Any, games: list[Any]) -> list[float]:
    """1 or 0 for each problem, by the likeliest answer."""
    stop = frozenset([int(tokenizer.eos_token_id)])
    rows = []
    for game in games:
        text = tokenizer.apply_chat_template(
            TASK.messages(game, []), tools=TASK.tools, add_generation_prompt=True, tokenize=False
        )
        ids = tokenizer(text)["input_ids"]
        rows.append(Row(ids, 0.0, 1.0, 24, stop, torch.Generator()))
    batch = Batch(model.eval())
    batch.join(rows)
    while batch.rows:
        batch.step()
    for game, row in zip(games, rows, strict=True):
        said = Reply(tokenizer.decode(row.completion[:-1]), (), "stop", "")
        call = read_reply(said, TASK.tools)
        game.step(TASK.read_call(call.name, call.arguments)[0])
    return [game.outcome() for game in games]


def learn(model: Any, tokenizer: Any, policy: str, steps: int, folder: Path) -> None:
    played = play_records(TASK, policy, range(1500), {**EASY, "split": "train"})
    records = [record for record in played if small(record["messages"][-2]["content"])]
    examples = encode_records(enumerate(records, start=1), tokenizer, 256)
    options = Options(
        n_epochs=1000, max_steps=steps, batch_size=32, learning_rate=3e-3, warmup_ratio=0.1,
        save_seconds=None, log_steps=50,
    )  # fmt: skip
    train(model, tokenizer, examples, [], options, folder, Silent())


def held_out() -> list[Any]:
    """Every small test problem, once."""
    games = [TASK.new_game(seed, {**EASY, "split": "test"}) for seed in range(400)]
    return list({game.text(): game for game in games if small(game.text())}.values())


@pytest.mark.slow
def test_solutions_of_train_problems_teach_it_to_solve_test_problems(
    tokenizer: Any, tmp_path: Path
) -> None:
    model = make_model(tokenizer, Size(), seed=0)
    learn(model, tokenizer, "random", 40, tmp_path)
    before = solve(model, tokenizer, held_out())
    learn(model, tokenizer, "guide", 250, tmp_path)
    gain = paired_difference(before, solve(model, tokenizer, held_out()))
    assert gain.n > 25
    assert gain.mean_a < 0.2
    assert gain.low > 0.15, gain
