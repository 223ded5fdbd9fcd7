"""A model is shown the game as it was made to read it, unless the config says how."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.accounts.queries import Actor
from apps.checkpoints.models import Checkpoint
from apps.datasets.models import Dataset, DatasetEpisode
from apps.launch import services
from apps.providers.services import set_alias
from apps.runs.models import Config, Run
from tests.games import make_run, make_trace, store_games
from tests.launch.conftest import make_checkpoint

RL = '[model]\nbase = "Qwen/Qwen3-4B"\n[training]\nbatch_size = 4\n'
EVAL = 'type = "eval"\nseeds = "1..3"\nmodel = "{model}"\n'


@pytest.fixture
def small(actor: Actor) -> Checkpoint:
    """The starting model, which reads short facts, in the place of Qwen3-4B."""
    set_alias(actor=actor, requested="Qwen/Qwen3-4B", resolved="synthweb/crafter-small")
    run = make_run(actor.project, "base", resolved={"type": "base", "observation": "compact"})
    return make_checkpoint(
        actor.project, "synthweb/crafter-small", kind="base", base_model="", run=run
    )


def tuned(actor: Actor, *shown: str) -> Checkpoint:
    """A model that was fine-tuned on games which were shown so."""
    dataset = Dataset.objects.create(
        project=actor.project, name="d", version=1, sha256="a", source="filter", n_records=1,
        size_bytes=1, storage_key="k",
    )  # fmt: skip
    for words in shown:
        run = make_run(actor.project, "rollout", resolved={"observation": words})
        store_games(run, [make_trace(1), make_trace(2)])
        for episode in run.episodes.all():
            DatasetEpisode.objects.create(
                dataset=dataset, episode=episode, task="crafter", world_version="", seed=1,
                n_records=1,
            )  # fmt: skip
    run = make_run(actor.project, "sft", inputs={"data": {"dataset_id": dataset.pk}})
    return make_checkpoint(actor.project, "ft:Qwen/Qwen3-4B:job_1", run=run)


def launched(actor: Actor, store: Callable[..., Config], text: str, *sets: str) -> Run:
    made = services.launch(actor=actor, config=store(text), sets=sets)
    assert isinstance(made, Run)
    return made


def test_a_training_from_reward_shows_what_its_base_was_made_to_read(actor, store, small):
    run = launched(actor, store, RL)
    assert run.resolved["rollout"]["observation"] == "compact"
    (told,) = [warning for warning in run.warnings if "observation" in warning]
    assert told.startswith("observation = compact: synthweb/crafter-small was made to read that")


def test_what_the_config_says_is_shown(actor, store, small):
    run = launched(actor, store, RL, 'rollout.observation="map"')
    assert run.resolved["rollout"]["observation"] == "map"
    run = launched(actor, store, EVAL.format(model="Qwen/Qwen3-4B"), "observation=synth")
    assert run.resolved["observation"] == "synth"


def test_an_eval_shows_what_the_training_showed(actor, store, small):
    trained = launched(actor, store, RL)
    name = "rl:Qwen/Qwen3-4B:job_0123456789abcdef"
    make_checkpoint(actor.project, name, kind="rl", run=trained, base=small)
    assert launched(actor, store, EVAL.format(model=name)).resolved["observation"] == "compact"


@pytest.mark.parametrize(
    ("shown", "expected"), [(["compact", "compact"], "compact"), (["compact", "map"], "map")]
)
def test_a_fine_tuned_model_reads_what_its_games_showed(actor, store, shown, expected):
    model = tuned(actor, *shown)
    run = launched(actor, store, EVAL.format(model=model.model_id))
    assert run.resolved["observation"] == expected


def test_a_problem_is_read_as_it_is(actor, store):
    run = make_run(actor.project, "base", resolved={"type": "base", "observation": "compact"})
    make_checkpoint(actor.project, "synthweb/math-small", kind="base", base_model="", run=run)
    made = launched(actor, store, EVAL.format(model="synthweb/math-small") + 'task = "math"\n')
    assert not any("observation" in warning for warning in made.warnings)
