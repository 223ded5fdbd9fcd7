"""Pipelines: stages are put in, ordered, and every mistake of the graph is told before a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import ConfigErrors, Loaded, load_json, load_toml

CONFIGS = Path(__file__).parents[3] / "configs"


def read(name: str) -> str:
    return (CONFIGS / name).read_text()


def load(text: str) -> Loaded:
    return load_toml(text, name="loop.toml", read_file=read)


def refusal(text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load(text)
    return str(caught.value)


EVAL = 'config = {type = "eval", provider = "builtin", model = "random", seeds = "100..109"}'
COLLECT = 'config = {type = "rollout", provider = "builtin", model = "guide", seeds = "0..9"}'
DATA = 'runs = ["stage:collect"]\nconfig = {type = "dataset"}'
TRAIN = 'dataset = "stage:data"\nconfig = {job.model = "synthweb/crafter-small"}'
SCORE = 'model = "stage:train"\nconfig = "crafter_eval_base.toml"'


def stages(**parts: str) -> str:
    return "\n".join(f"[stages.{name}]\n{text}" for name, text in parts.items())


def test_stages_come_after_what_they_need_whatever_the_order_of_writing() -> None:
    text = stages(score=SCORE, train=TRAIN, data=DATA, collect=COLLECT)
    loaded = load(text)
    assert [plan.name for plan in loaded.stages] == ["collect", "data", "train", "score"]
    assert {plan.name: plan.needs for plan in loaded.stages}["score"] == ("train",)


def test_a_stored_pipeline_no_longer_needs_its_files() -> None:
    loaded = load(read("loop_small.toml"))
    again = load_json(loaded.data)
    assert again.stages == loaded.stages
    assert again.config == loaded.config


def test_set_changes_single_keys_and_inputs_go_to_the_right_place() -> None:
    text = stages(collect=COLLECT, data=DATA, train=TRAIN + "\nset.training.max_seconds = 5")
    train = load(text).stages[-1]
    assert train.data["job"] == {"model": "synthweb/crafter-small", "data": "stage:data"}
    assert train.data["training"] == {"max_seconds": 5}


def test_a_model_from_a_stage_drops_the_provider_of_the_file() -> None:
    text = stages(collect=COLLECT, data=DATA, train=TRAIN, score=f'model = "stage:train"\n{EVAL}')
    assert load(text).stages[-1].data["provider"] == ""


def test_an_rl_stage_goes_on_from_a_stage_instead_of_its_base() -> None:
    plans = {plan.name: plan for plan in load(read("loop_small.toml")).stages}
    assert plans["reward"].data["model"] == {"base": "", "source": "stage:train"}
    assert "train" in plans["reward"].needs


def test_a_mistake_in_set_stands_at_its_line_one_in_a_file_names_both_files() -> None:
    told = refusal(stages(a='config = "crafter_eval_random.toml"\nset.max_step = 3'))
    assert told.startswith("loop.toml:3 stages.a.set.max_step: unknown key, did you mean max_steps")
    told = refusal(stages(a='config = {model = "random", num_episode = 3}'))
    assert told.startswith("loop.toml:2 stages.a.config")
    told = refusal(stages(a='config = "no_such.toml"'))
    assert told == "loop.toml:2 stages.a.config: there is no file no_such.toml."


@pytest.mark.parametrize("name", ["../secrets.toml", "/etc/passwd", "a/b.toml", ".toml", "x.txt"])
def test_a_stage_names_only_files_beside_the_pipeline(name: str) -> None:
    assert "a stage names a file beside the pipeline" in refusal(stages(a=f'config = "{name}"'))


def test_an_unknown_stage_and_a_circle_are_told() -> None:
    told = refusal(
        stages(train=TRAIN.replace("stage:data", "stage:dat"), data=DATA, collect=COLLECT)
    )
    assert "stages.train: there is no stage 'dat', did you mean stage:data?" in told
    circle = stages(a=EVAL + '\nafter = ["b"]', b=EVAL + '\nafter = ["a"]')
    assert "wait for each other in a circle: a, b" in refusal(circle)
    assert "needs itself" in refusal(stages(a=EVAL + '\nafter = ["a"]'))


def test_a_stage_takes_only_what_its_kind_can_use() -> None:
    told = refusal(stages(collect=COLLECT, a=EVAL + '\ndataset = "stage:collect"'))
    assert "stages.a.dataset: a stage of kind eval takes no dataset." in told
    told = refusal(stages(collect=COLLECT, train=TRAIN.replace("stage:data", "stage:collect")))
    assert "stage collect is of kind rollout; needed is dataset" in told
    told = refusal(stages(collect=COLLECT, a='model = "stage:collect"\n' + EVAL))
    assert "needed is sft or rl or base" in told


def test_a_pipeline_that_scores_on_its_training_worlds_is_refused() -> None:
    leak = SCORE + '\nset.seeds = "9..30"'
    text = stages(collect=COLLECT, data=DATA, train=TRAIN, score=leak)
    assert "scored on 1 worlds that its model is trained on (first: seed 9)" in refusal(text)
    assert load("allow_leaked_seeds = true\n" + text).kind == "pipeline"


def test_the_table_names_eval_stages() -> None:
    text = stages(collect=COLLECT, one=EVAL)
    assert "did you mean one?" in refusal(text + '\n[table]\nrows = ["on"]')
    assert "stage collect is no eval" in refusal(text + '\n[table]\nrows = ["collect"]')
    assert "is no row of the table" in refusal(text + '\n[table]\nrows=["one"]\nproof = "two"')


def test_a_secret_in_a_stage_is_refused() -> None:
    told = refusal(stages(a='config = {model = "m", seeds = [1], policy.headers = {token = "x"}}'))
    assert "loop.toml:2 stages.a.config.policy.headers.token: looks like a secret" in told
