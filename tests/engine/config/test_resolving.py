"""Frozen configs are complete and stable; keys without effect are reported, never dropped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config import (
    KINDS,
    ConfigErrors,
    Machine,
    apply_sets,
    dump_toml,
    load_json,
    load_toml,
    reference,
    resolve,
    schema,
)
from engine.config.kinds import all_keys

ROOT = Path(__file__).parents[3]
LAPTOP = Machine(gpu_count=0, cpu_count=2)
SERVER = Machine(gpu_count=4, gpu_names=("H100",) * 4, cpu_count=64)


def load(name: str):  # type: ignore[no-untyped-def]
    folder = ROOT / "configs"
    return load_toml((folder / name).read_text(), read_file=lambda n: (folder / n).read_text())


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_a_frozen_config_loads_again_and_freezes_to_itself(path: Path) -> None:
    once = resolve(load(path.name).config, LAPTOP)
    again = resolve(load_json(json.loads(json.dumps(once.config))).config, LAPTOP)
    assert again.config == once.config


def test_a_frozen_eval_says_what_is_played_wherever_it_was_written() -> None:
    text = """
    model = "m"
    provider = "p"
    num_episodes = 3
    [rollout.policy_config]
    temperature = 0.2
    [rollout.env_config]
    difficulty = "easy"
    """
    config = load_toml(text).config
    frozen = resolve(config, LAPTOP).config
    assert frozen["temperature"] == 0.2
    assert frozen["difficulty"] == "easy"
    assert frozen["seeds"] == "1..3"
    assert (frozen["max_turns"], frozen["max_tokens"]) == (10, 256)
    assert load_json(frozen).config.play() == config.play()  # type: ignore[attr-defined]


def test_gpu_keys_are_reported_on_a_laptop_and_kept() -> None:
    resolved = resolve(load("crafter_fft.toml").config, LAPTOP)
    told = {effect.key for effect in resolved.effects}
    assert {"compute.gpu_type", "hyperparameters.parallelism.deepspeed_stage"} <= told
    assert resolved.config["compute"]["gpu_type"] == "H100"
    on_server = {effect.key for effect in resolve(load("crafter_fft.toml").config, SERVER).effects}
    assert on_server == {"job.poll_seconds", "data.topology.container_count"}


def test_a_built_in_policy_reports_the_keys_of_model_calls() -> None:
    config = load_toml('model = "random"\nseeds = [1]\ntemperature = 0.5').config
    (effect,) = resolve(config, LAPTOP).effects
    assert effect.key == "temperature"
    assert "makes no model call" in effect.sentence()


def test_the_method_of_an_sft_follows_from_any_of_synths_keys() -> None:
    def method(extra: str) -> str:
        return load_toml(f'[job]\nmodel = "m"\n{extra}').config.plan().method  # type: ignore[attr-defined, no-any-return]

    assert method("") == "full"
    assert method('[algorithm]\nvariety = "lora"') == "lora"
    assert method("[training]\nuse_qlora = true") == "qlora"
    with pytest.raises(ConfigErrors, match="two different methods"):
        method('[algorithm]\nvariety = "fft"\n[training]\nuse_qlora = true')


def test_batches_follow_from_either_way_of_saying_them() -> None:
    text = '[job]\nmodel = "m"\n[hyperparameters]\nper_device_batch = 4\nglobal_batch = 32'
    plan = load_toml(text).config.plan()  # type: ignore[attr-defined]
    assert (plan.batch_size, plan.gradient_accumulation_steps) == (4, 8)
    with pytest.raises(ConfigErrors, match="no multiple of 4"):
        load_toml(text.replace("32", "33"))


def test_sets_are_typed_like_toml_and_bare_words_are_text() -> None:
    data = apply_sets(
        {"a": {"b": 1}}, ["a.b=3", "a.c=true", "model=ft:x/y:job_1", "seeds=[1, 2]", 'q."x y"= "z"']
    )
    assert data == {
        "a": {"b": 3, "c": True},
        "model": "ft:x/y:job_1",
        "seeds": [1, 2],
        "q": {"x y": "z"},
    }


@pytest.mark.parametrize("text", ["novalue", "=3", "a b=3", "a.b.c=3", "a=1\nb=2 = 3"])
def test_a_set_that_is_no_assignment_is_refused(text: str) -> None:
    if text.startswith("a=1"):
        assert apply_sets({}, [text]) == {"a": "1\nb=2 = 3"}
        return
    with pytest.raises(ConfigErrors):
        apply_sets({"a": {"b": 1}}, [text])


def test_a_written_config_reads_back_the_same_with_comments_and_without() -> None:
    loaded = load("loop_small.toml")
    for comments in (False, True):
        assert load_toml(dump_toml(loaded.data, comments=comments)).data == loaded.data
    assert "# What is compared" not in dump_toml(loaded.data)
    assert "# Eval stages, in the order" in dump_toml(loaded.data, comments=True)


@pytest.mark.parametrize(("name", "model"), KINDS.items())
def test_every_key_has_its_sentence_and_stands_in_docs_and_schema(name: str, model: type) -> None:
    docs = reference()
    assert [
        key for key in all_keys(model) if f"`{key}`" not in docs and f"`[{key}" not in docs
    ] == []
    whole = schema(name)
    undocumented = [
        f"{title}.{key}"
        for title, part in {**whole.get("$defs", {}), name: whole}.items()
        for key, value in part.get("properties", {}).items()
        # pydantic leaves out a sentence that the section itself has too
        if not value.get("description") and "$ref" not in value
    ]
    assert undocumented == []


def test_docs_config_md_is_current() -> None:
    assert (ROOT / "docs" / "config.md").read_text() == reference(), "run manage.py config_docs"


def test_the_schema_of_all_kinds_names_each() -> None:
    whole = schema()
    assert set(whole["kinds"]) == set(KINDS)
    assert all(ref["$ref"].split("/")[-1] in whole["$defs"] for ref in whole["anyOf"])
