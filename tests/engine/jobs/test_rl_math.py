"""The shipped math training from reward, two short iterations of it: it runs, its rewards are those
of the config, and what it measures in between are problems of another split.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from engine.tasks import get_task
from engine.traces.codec import decode_trace
from engine.traces.record import Trace
from engine.train.base import play_records, task_tokenizer
from engine.train.card import Card, write_final
from engine.train.data import encode_records
from engine.train.model import Size, make_model
from engine.train.sft import Options, train
from synthweb.bootstrap import ROOT
from tests.engine.jobs.processes import events, run_here
from tests.engine.train.cast import Silent
from tests.engine.train.players import make_trainer, plan_of, rl_directory

pytestmark = pytest.mark.slow
EASY = {"family": "chain_sum", "difficulty": "easy", "split": "train"}
REWARDS = {"reward_positive": 3.0, "reward_negative_no_tool": -2.0, "reward_negative_no_answer": -1}
BY_STATUS = {"correct": 3.0, "incorrect": 0.0, "blank_answer": -1.0, "missing_tool_call": -2.0,
             "wrong_tool": -2.0}  # fmt: skip


@pytest.fixture(scope="module")
def solver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small math model that calls the tool in some of its answers only."""
    folder, task = tmp_path_factory.mktemp("solver"), get_task("math")
    records = list(play_records(task, "random", range(200), EASY))
    tokenizer = task_tokenizer(task, records, EASY)
    size = Size(hidden_size=64, layers=1, heads=2, ffn_size=128)
    examples = encode_records(enumerate(records, start=1), tokenizer, 256)
    options = Options(n_epochs=100, max_steps=25, batch_size=32, learning_rate=1e-2,
                      warmup_ratio=0.1, save_seconds=None)  # fmt: skip
    model = make_model(tokenizer, size, seed=0)
    outcome = train(model, tokenizer, examples, [], options, folder / "work", Silent())
    write_final(outcome.model, tokenizer, folder / "solver", Card("m", "", "", "", {}, {}))
    return folder / "solver"


def shipped(**training: Any) -> dict[str, Any]:
    """The shipped config at a size for tests."""
    config = tomllib.loads((ROOT / "configs" / "rl_math_from_ft.toml").read_text())
    config["model"]["source"] = "ft:synthweb/math-small:job_0123456789abcdef"
    config["data"] |= {"episodes_per_iteration": 32, "evaluation_episodes": 8}
    config["rollout"]["stored_per_group"] = 16
    config["training"] |= {"iterations_per_epoch": 2, **REWARDS, **training}
    return config


def judged(trace: Trace) -> str:
    """What the task says about the answer of a trace."""
    game: Any = get_task("math").new_game(trace.summary.seed, trace.options)
    game.step(trace.steps[0].action)
    return str(game.status)


def test_the_shipped_config_ends_with_a_checkpoint_and_the_rewards_it_names(
    solver: Path, tmp_path: Path
) -> None:
    directory = rl_directory(tmp_path / "run", solver, shipped())
    assert run_here(directory) == 0
    (final,) = [c for c in events(directory, "checkpoint") if c["final"]]
    assert (final["kind"], final["step"]) == ("rl", 2)
    paths = [directory / e["payload"]["path"] for e in events(directory, "episode")]
    traces = [decode_trace(path.read_bytes()) for path in paths]
    assert len(traces) == 64
    assert {trace.options["split"] for trace in traces} == {"train"}
    told = [(judged(trace), trace.turns[0].reward) for trace in traces]
    assert all(reward == BY_STATUS[status] for status, reward in told), told
    assert len({status for status, _ in told}) > 1
    points = {m["step"]: m["values"] for m in events(directory, "metric")}
    assert set(points) == {1, 2, 3}
    for step in (1, 2):
        rewards = [t.turns[0].reward for t in traces if t.summary.policy_version == step]
        assert points[step]["train.reward"] == pytest.approx(sum(rewards) / len(rewards))
        assert points[step]["train.loss"] != 0
    assert {"eval.reward"} <= points[1].keys() & points[3].keys()


def test_what_is_measured_in_between_is_of_the_evaluation_split(
    solver: Path, tmp_path: Path
) -> None:
    trainer, _ = make_trainer(plan_of(shipped()), solver, tmp_path)
    traces = trainer.player.evaluate().traces
    assert [t.summary.seed for t in traces] == list(range(8))
    assert {t.options["split"] for t in traces} == {"validation"}
