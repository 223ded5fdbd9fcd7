"""A launch freezes what is played and on what, or says what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.accounts.queries import Actor
from apps.checkpoints.models import Checkpoint
from apps.datasets.models import Dataset
from apps.launch import services
from apps.launch.models import Pipeline
from apps.providers.models import ModelAlias, Provider
from apps.runs.models import Config, Need, Run, RunState
from engine.config import ConfigErrors, load_json
from engine.tasks import world_of
from tests.launch.conftest import RANDOM, end_run, make_checkpoint

Store = Callable[..., Config]


def launched(actor: Actor, config: Config, *sets: str) -> Run:
    made = services.launch(actor=actor, config=config, sets=sets)
    assert isinstance(made, Run)
    made.refresh_from_db()
    return made


def refused(actor: Actor, config: Config, *sets: str) -> Refused:
    with pytest.raises(Refused) as caught:
        services.launch(actor=actor, config=config, sets=sets)
    assert not Run.objects.exists()
    return caught.value


def test_an_eval_is_frozen_and_queued_in_shards(actor: Actor, store: Store) -> None:
    run = launched(actor, store(RANDOM + "repeats = 2\nshards = 3\n"))
    assert (run.state, run.kind, run.task, run.model) == ("queued", "eval", "crafter", "random")
    assert run.inputs["policy"] == {"kind": "random"}
    assert run.resolved["seeds"] == "100..103"
    assert run.resolved["max_turns"] == 10
    assert run.code_version
    parts = [shard.episodes for shard in run.shards.order_by("index")]
    assert [len(part) for part in parts] == [3, 3, 2]
    games = [(game["seed"], game["repeat"]) for part in parts for game in part]
    assert games == [(seed, repeat) for seed in range(100, 104) for repeat in (0, 1)]
    assert load_json(run.resolved).config.play().seeds == (100, 101, 102, 103)  # type: ignore[attr-defined]


def test_sets_are_stored_as_a_config_of_their_own(actor: Actor, store: Store) -> None:
    config = store(RANDOM)
    run = launched(actor, config, "model=guide", "seeds=[7]")
    assert run.model == "guide"
    assert run.config is not None
    assert run.config.parent == config
    assert run.config.data["seeds"] == [7]
    with pytest.raises(ConfigErrors, match="did you mean max_turns"):
        services.launch(actor=actor, config=config, sets=["max_turn=3"])


def test_a_draft_waits_until_it_is_queued(actor: Actor, store: Store) -> None:
    run = services.launch(actor=actor, config=store(RANDOM), queue=False)
    assert isinstance(run, Run)
    assert run.state == RunState.DRAFT
    services.queue_draft(actor=actor, run=run)
    services.queue_draft(actor=actor, run=run)
    run.refresh_from_db()
    assert run.state == RunState.QUEUED


def test_an_unknown_model_lists_what_is_there(
    actor: Actor, store: Store, starter: Checkpoint
) -> None:
    error = refused(actor, store('model = "nobody/nothing"\nseeds = [1]'))
    assert error.status == 422
    assert "synthweb/crafter-small" in error.hint


def test_a_checkpoint_plays_through_our_own_inference(
    actor: Actor, store: Store, starter: Checkpoint
) -> None:
    run = launched(actor, store('model = "synthweb/crafter-small"\nseeds = [1]'))
    policy = run.inputs["policy"]
    assert policy["base_url"].endswith("/api/inference/v1")
    assert (policy["checkpoint_id"], policy["model"]) == (starter.pk, "synthweb/crafter-small")
    assert run.input_rows.get().object_id == starter.pk


def test_an_alias_of_the_operator_stands_in_and_is_told(
    actor: Actor, store: Store, project: Project, starter: Checkpoint
) -> None:
    config = store('model = "Qwen/Qwen3-4B"\nseeds = [1]')
    assert "Qwen/Qwen3-4B" in refused(actor, config).message
    ModelAlias.objects.create(project=project, requested="Qwen/Qwen3-4B", resolved=starter.model_id)
    run = launched(actor, config)
    assert run.inputs["policy"]["model"] == starter.model_id
    assert "the operator set this alias" in run.warnings[0]


def test_a_provider_is_found_by_name_or_by_the_origin_of_a_url(
    actor: Actor, store: Store, project: Project
) -> None:
    provider = Provider.objects.create(
        project=project, name="groq", base_url="https://api.groq.test/openai/v1",
        origin="https://api.groq.test:443",
    )  # fmt: skip
    by_name = launched(actor, store('model = "q"\nprovider = "groq"\nseeds = [1]'))
    by_url = launched(
        actor, store('model = "q"\ninference_url = "https://api.groq.test/openai"\nseeds = [1]')
    )
    for run in (by_name, by_url):
        assert run.inputs["policy"]["provider_id"] == provider.pk
        assert run.inputs["policy"]["base_url"] == "https://api.groq.test/openai/v1"
        assert "key" not in {
            k for k, v in run.inputs["policy"].items() if k == "api_key" or v == ""
        }


def test_a_url_of_nobody_is_refused_and_gets_no_key(actor: Actor, store: Store) -> None:
    text = 'model = "q"\ninference_url = "https://evil.test/v1"\nseeds = [1]'
    assert refused(actor, store(text)).code == "unknown_origin"


def test_an_unknown_provider_is_refused(actor: Actor, store: Store) -> None:
    assert "groqq" in refused(actor, store('model = "q"\nprovider = "groqq"\nseeds = [1]')).message


def test_seeds_that_a_model_was_trained_on_are_marked(
    actor: Actor, store: Store, project: Project
) -> None:
    model = "ft:synthweb/crafter-small:job_0000000000000001"
    make_checkpoint(project, model, trained_seeds=[["crafter", "", [[0, 9]]]])
    run = launched(actor, store(f'model = "{model}"\nseeds = "8..11"\n'))
    assert run.leaked_seeds == [8, 9]
    assert "was trained on 2 of these worlds" in run.warnings[-1]


def test_a_seed_of_another_split_of_problems_is_no_leak(
    actor: Actor, store: Store, project: Project
) -> None:
    model = "ft:synthweb/math-small:job_0000000000000001"
    world = world_of("math", {"split": "train", "difficulty": "easy"})
    make_checkpoint(project, model, trained_seeds=[["math", world, [[0, 9]]]])
    text = f'task = "math"\nmodel = "{model}"\ndifficulty = "easy"\nseeds = "8..11"\n'
    assert launched(actor, store(text)).leaked_seeds == []
    assert launched(actor, store(text + 'split = "train"\n')).leaked_seeds == [8, 9]


def test_each_starting_model_that_is_missing_gets_its_stage(actor: Actor, store: Store) -> None:
    pipeline = services.launch(
        actor=actor, config=store('task = "math"\nmodel = "synthweb/math-small"\nseeds = [1]')
    )
    assert isinstance(pipeline, Pipeline)
    made, played = pipeline.stages.order_by("index")
    assert (made.kind, made.data["model"]) == ("base", "synthweb/math-small")
    assert (made.data["task"], played.needs) == ("math", [made.name])


def test_a_training_without_data_asks_for_it(
    actor: Actor, store: Store, starter: Checkpoint
) -> None:
    error = refused(actor, store('[job]\nmodel = "synthweb/crafter-small"'))
    assert error.code == "no_data"
    assert "--set job.data=dataset:ID" in error.hint


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/x.jsonl", "dataset:0", "dataset:x"])
def test_data_from_elsewhere_is_refused(
    actor: Actor, store: Store, starter: Checkpoint, path: str
) -> None:
    error = refused(actor, store(f'[job]\nmodel = "synthweb/crafter-small"\ndata = "{path}"'))
    assert error.code in ("outside", "unknown_dataset")


RL = '[model]\nbase = "synthweb/crafter-small"\n[training]\ngroup_size = 4\n'


def test_rl_starts_from_a_model_of_this_machine(
    actor: Actor, store: Store, starter: Checkpoint
) -> None:
    run = launched(actor, store(RL))
    assert (run.kind, run.task, run.progress_unit) == ("rl", "crafter", "iterations")
    assert run.inputs["base"]["checkpoint_id"] == starter.pk


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[training]\ngroup_size = 4\n", "no_model"),
        (RL.replace("synthweb/crafter-small", "Qwen/Qwen3-4B"), "unknown_model"),
        (RL + '[services]\ntask_url = "https://crafter.modal.run"\n', "remote_task_app"),
    ],
)
def test_rl_that_cannot_start_says_why(
    actor: Actor, store: Store, starter: Checkpoint, text: str, code: str
) -> None:
    assert (
        refused(actor, store('type = "rl"\n' + "[model]\n" * (code == "no_model") + text)).code
        == code
    )


def test_noop_runs_are_for_tests_only(actor: Actor, store: Store) -> None:
    assert refused(actor, store('type = "noop"')).code == "not_launchable"


def test_a_placeholder_for_a_task_app_plays_here(actor: Actor, store: Store) -> None:
    remote = store(RANDOM + 'task_app_url = "https://crafter.modal.run"\n')
    assert refused(actor, remote).code == "wrong_policy"  # a script plays on this machine only
    here = store(RANDOM + 'task_app_url = "https://YOUR-TASK-APP.modal.run"\n')
    assert launched(actor, here).state == "queued"


def test_a_missing_starting_model_is_made_first_and_visibly(actor: Actor, store: Store) -> None:
    made = services.launch(
        actor=actor, config=store('model = "synthweb/crafter-small"\nseeds = [1]')
    )
    assert isinstance(made, Pipeline)
    first, second = made.stages.order_by("index")
    assert (first.kind, first.state, second.state) == ("base", "running", "waiting")
    assert first.run is not None
    assert first.run.shards.get().need == Need.TRAIN
    assert first.run.model == "synthweb/crafter-small"
    end_run(first.run)
    make_checkpoint(actor.project, "synthweb/crafter-small", kind="base", run=first.run)
    services.advance_pipelines()
    second.refresh_from_db()
    assert second.state == "running"
    assert second.run is not None
    assert second.run.inputs["policy"]["model"] == "synthweb/crafter-small"


def test_a_clone_says_where_it_comes_from_and_takes_sets(actor: Actor, store: Store) -> None:
    run = launched(actor, store(RANDOM))
    copy = services.clone(actor=actor, run=run, sets=["seeds=[5]"])
    assert (copy.parent, copy.state) == (run, RunState.DRAFT)
    assert copy.resolved["seeds"] == "5"
    assert run.resolved["seeds"] == "100..103"


def test_a_dry_run_makes_nothing_and_tells_what_a_launch_would_do(
    actor: Actor, store: Store, project: Project, settings: object
) -> None:
    sft = '[job]\nmodel = "synthweb/crafter-small"\ndata = "{}"'
    waits = services.check_text(text=sft.format("dataset:1"), name="x.toml")
    assert "launching makes it first" in services.dry_run(actor=actor, loaded=waits).warnings[0]
    make_checkpoint(project, "synthweb/crafter-small", kind="base")
    path = settings.SYNTHWEB_HOME / "records.jsonl"  # type: ignore[attr-defined]
    path.write_text("{}")
    loaded = services.check_text(text=sft.format(path), name="x.toml")
    assert services.dry_run(actor=actor, loaded=loaded).inputs["data"] == {"file": str(path)}
    assert not Dataset.objects.exists()
    assert not Run.objects.exists()


def test_what_becomes_a_pipeline_has_no_draft(actor: Actor, store: Store) -> None:
    config = store('model = "synthweb/crafter-small"\nseeds = [1]')
    with pytest.raises(Refused, match="has no draft"):
        services.launch(actor=actor, config=config, queue=False)
    assert not Pipeline.objects.exists()


def test_a_data_file_becomes_a_dataset_once(
    actor: Actor, store: Store, starter: Checkpoint, settings: object
) -> None:
    record = {
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "gone"},
        ]
    }
    path = settings.SYNTHWEB_HOME / "talk.jsonl"  # type: ignore[attr-defined]
    path.write_text(json.dumps(record) + "\n")
    config = store(f'[job]\nmodel = "synthweb/crafter-small"\ndata = "{path}"')
    first, again = launched(actor, config), launched(actor, config)
    dataset = Dataset.objects.get()
    assert dataset.n_records == 1
    assert first.inputs["data"] == again.inputs["data"]
    assert first.inputs["data"]["sha256"] == dataset.sha256


def test_the_retries_of_a_run_are_its_configs(actor: Actor, store: Store) -> None:
    run = services.launch(actor=actor, config=store(RANDOM), sets=["limits.retries=7"])
    assert isinstance(run, Run)
    assert run.retry_budget == 7
