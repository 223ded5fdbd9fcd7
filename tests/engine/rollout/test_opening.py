"""A branch begins exactly where the original stood, and goes on by itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import ConfigError, TaskError
from engine.events import read_events
from engine.jobs.fork import run
from engine.jobs.job import open_job
from engine.lease import Cancellation
from engine.rollout.opening import open_at
from engine.rollout.player import play_episode
from engine.rollout.policies import ScriptedPolicy
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.rollout.replay import replay
from engine.tasks import get_task
from engine.traces.codec import decode_trace, encode_trace
from engine.traces.record import Trace

TASK = get_task("crafter")
OPTIONS = {"observation": "compact"}


@pytest.fixture(scope="module")
def original() -> Trace:
    guide = ScriptedPolicy("guide", TASK.scripted["guide"])
    options = PlayerOptions(task_options=OPTIONS, max_turns=100, max_steps=40)
    game = TASK.new_game(11, OPTIONS)
    return asyncio.run(play_episode(TASK, game, EpisodeSpec(11), guide, options))


def cut_turn(trace: Trace) -> int:
    """A step in the middle of a turn."""
    turn = next(turn for turn in trace.turns if turn.n_steps > 2)
    return turn.first_step + 1


def branch(trace: Trace, step: int, repeat: int = 0, policy: str = "random") -> Trace:
    opening = open_at(trace, step)
    options = PlayerOptions(task_options=OPTIONS, max_turns=200, max_steps=40)
    player = ScriptedPolicy(policy, TASK.scripted[policy])
    game = opening.start(TASK, OPTIONS)
    spec = EpisodeSpec(trace.summary.seed, repeat)
    return asyncio.run(play_episode(TASK, game, spec, player, options, opening=opening))


def test_a_branch_keeps_the_original_up_to_its_step_and_replays_as_one_game(original):
    step = cut_turn(original)
    made = branch(original, step)
    assert made.steps[:step] == original.steps[:step]
    assert made.turns[-1].first_step >= step
    assert [t.first_step for t in made.turns] == sorted(t.first_step for t in made.turns)
    assert replay(decode_trace(encode_trace(made)), TASK).ok


def test_branches_with_the_policy_of_the_original_play_on_as_it_did(original):
    made = branch(original, original.turns[3].first_step, policy="guide")
    assert [s.state_hash for s in made.steps] == [s.state_hash for s in original.steps]


def test_branches_are_paired_by_their_number(original):
    one, again, other = (branch(original, 10, repeat) for repeat in (1, 1, 2))
    assert [s.action for s in one.steps] == [s.action for s in again.steps]
    assert [s.action for s in one.steps] != [s.action for s in other.steps]


def test_a_fork_of_a_fork_goes_on_from_the_branch(original):
    made = branch(original, 10)
    second = branch(made, 20, policy="guide")
    assert second.steps[:20] == made.steps[:20]
    assert replay(second, TASK).ok


def test_only_the_turns_after_the_fork_cost_tokens(original):
    turns = [replace(turn, prompt_tokens=50) for turn in original.turns]
    made = branch(replace(original, turns=turns), 10)
    assert made.summary.prompt_tokens == 0


def test_a_step_that_is_not_there_is_refused(original):
    with pytest.raises(ConfigError, match="40 steps; there is no step 41"):
        open_at(original, 41)


def test_an_episode_that_does_not_replay_is_refused_in_words(original):
    steps = [*original.steps]
    steps[4] = replace(steps[4], state_hash="0" * 16)
    with pytest.raises(TaskError, match="step 4"):
        open_at(replace(original, steps=steps), 10).start(TASK, OPTIONS)


def test_the_job_plays_every_branch_from_the_file_of_the_original(original, tmp_path: Path):
    (tmp_path / "original.swtrace").write_bytes(encode_trace(original))
    config = {
        "type": "fork", "trace": 1, "step": 12, "model": "guide", "seeds": [11], "repeats": 3,
        "observation": "compact", "max_turns": 100, "max_steps": 40,
    }  # fmt: skip
    inputs = {
        "policy": {"kind": "guide"},
        "original": {"path": str(tmp_path / "original.swtrace"), "step": 12},
    }
    run_config = {"kind": "fork", "config": config, "inputs": inputs}
    (tmp_path / "config.json").write_text(json.dumps(run_config))
    values = run(open_job(tmp_path, Cancellation()))
    assert values["episodes"] == 3
    stored = [e.data for e, _ in read_events(tmp_path / "events.jsonl") if e.type == "episode"]
    for data in stored:
        trace = decode_trace((tmp_path / data["payload"]["path"]).read_bytes())
        assert trace.steps[:12] == original.steps[:12]
        assert replay(trace, TASK).ok
