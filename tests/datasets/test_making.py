"""From games to a dataset: the right turns, exactly as they were said, one version a content."""

from __future__ import annotations

import json

import pytest
from django.core.files.storage import default_storage

from apps.accounts.errors import Refused
from apps.datasets import queries, services
from apps.datasets.models import Dataset
from apps.traces.queries import load_trace
from engine.errors import StorageError
from tests.games import TOOLS, make_run, make_trace, store_games

pytestmark = pytest.mark.django_db


@pytest.fixture
def games(project):
    """Seeds 1 to 4 with 0, 1, 2, 1 achievements; one failed call; one broken game."""
    run = make_run(project, "rollout")
    return store_games(
        run,
        [
            make_trace(1, unlocks=[]),
            make_trace(2, unlocks=["collect_wood"]),
            make_trace(3, unlocks=["collect_wood", "place_table"], failed=[2]),
            make_trace(4, unlocks=["collect_sapling"], model="other"),
            make_trace(5, unlocks=["collect_wood"], ended="model_error"),
        ],
    )


def _make(project, name="good", **filter):
    return services.create_dataset(project=project, user=None, name=name, filter=filter)


def _turns(dataset):
    records = queries.read_records(dataset, n=1000)
    return [(r["metadata"]["seed"], r["metadata"]["turn"]) for r in records]


@pytest.mark.parametrize(
    ("filter", "turns"),
    [
        ({"min_unique": 2}, [(3, 0), (3, 1)]),
        ({"min_unique": 2, "drop_failed_calls": False}, [(3, 0), (3, 1)]),
        ({"require": ["collect_sapling"]}, [(4, 0), (4, 1), (4, 2)]),
        ({"exclude": ["collect_wood"], "max_unique": 0}, [(1, 0), (1, 1), (1, 2)]),
        ({"model": "other"}, [(4, 0), (4, 1), (4, 2)]),
        ({"min_return": 1, "max_return": 1, "limit": 1}, [(2, 0), (2, 1), (2, 2)]),
        ({"turns_before_unlock": 1}, [(3, 0), (3, 1), (2, 0), (4, 0)]),
    ],
)
def test_a_filter_takes_exactly_its_turns_and_the_preview_says_so(project, games, filter, turns):
    dataset = _make(project, **filter)
    assert _turns(dataset) == turns
    shown = services.preview(project=project, filter=filter)
    assert (shown.n_episodes, shown.n_records >= len(turns)) == (dataset.n_episodes, True)
    if filter.get("drop_failed_calls", True):
        assert shown.n_records == dataset.n_records == len(turns)


def test_a_record_holds_the_messages_that_were_sent(project, games):
    dataset = _make(project, min_unique=2)
    [record, _] = queries.read_records(dataset)
    turn = load_trace(games[2]).turns[0]
    assert record["messages"][:-1] == turn.messages
    answer = record["messages"][-1]
    assert answer["role"] == "assistant"
    assert answer["tool_calls"][0]["function"] == {
        "name": "interact_many",
        "arguments": turn.raw_calls[0]["arguments"],
    }
    assert record["tools"] == TOOLS


def test_the_same_content_is_the_same_version(project, games):
    first = _make(project, min_unique=2)
    assert _make(project, min_unique=2) == first
    second = _make(project, min_unique=1)
    assert (second.version, second.parent) == (2, first)
    assert _make(project, name="else", min_unique=2).version == 1
    assert Dataset.objects.count() == 3


def test_only_so_many_games_of_one_world(project):
    run = make_run(project, "rollout")
    store_games(run, [make_trace(1, repeat=r, unlocks=["collect_wood"][:r]) for r in range(3)])
    dataset = _make(project, max_per_seed=1)
    assert (dataset.n_episodes, dataset.statistics["unique"]) == (1, {"1": 1})


def test_only_games_of_the_named_runs_and_labels(project, games, actor):
    from apps.traces.services import set_label

    other = make_run(project, "rollout")
    store_games(other, [make_trace(9)])
    assert _turns(_make(project, runs=[str(other.pk)])) == [(9, 0), (9, 1), (9, 2)]
    set_label(episode=games[0], name="nice", actor=actor)
    assert {seed for seed, _ in _turns(_make(project, labels=["nice"]))} == {1}


def test_other_projects_games_are_never_taken(project, games, mallory):
    foreign = mallory.projects.get()
    with pytest.raises(Refused, match="No turn matches"):
        _make(foreign)
    with pytest.raises(Refused, match="There is no run"):
        _make(foreign, runs=[str(games[0].run_id)])


def test_a_wrong_filter_is_refused_naming_the_field(project, games):
    with pytest.raises(Refused) as refused:
        _make(project, min_uniqe=1)
    assert "min_uniqe" in refused.value.fields
    with pytest.raises(Refused, match="no game can match"):
        _make(project, min_unique=3, max_unique=1)


def test_the_preview_shows_samples_words_and_leaks(project, games):
    held_out = make_run(project, "eval")
    held_out.shards.update(episodes=[{"seed": 3, "repeat": 0}, {"seed": 77, "repeat": 0}])
    type(held_out).objects.filter(pk=held_out.pk).update(state="queued")
    shown = services.preview(project=project, filter={"min_unique": 1})
    assert len(shown.sample) == 3
    assert shown.words == (
        "Games of crafter with achievements of at least 1; failed calls left out."
    )
    assert [(leak.run_id, leak.n_seeds, leak.seeds) for leak in shown.leak] == [
        (held_out.pk, 1, [3])
    ]
    assert shown.statistics["unique"] == {"1": 2, "2": 1}
    dataset = _make(project, min_unique=1)
    assert [leak.run_id for leak in queries.leak_check(dataset)] == [held_out.pk]


def test_the_seeds_reach_the_checkpoint_that_is_trained_on_them(project, games):
    dataset = _make(project, min_unique=1)
    run = make_run(project, "sft", inputs={"data": {"dataset_id": dataset.pk}})
    assert queries.seeds_of_run(run) == [["crafter", "crafter-1.8.3+d1", [[2, 4]]]]


def test_exports_stream_in_each_format(project, games):
    dataset = _make(project, min_unique=2)
    trl, openai, synth = (
        [json.loads(line) for line in queries.export(dataset, format=name)]
        for name in ("trl", "openai", "synth")
    )
    call = trl[0]["messages"][-1]["tool_calls"][0]["function"]
    assert call["arguments"] == {"actions": ["move_left", "do"]}
    assert openai[0].keys() == {"messages", "tools"}
    assert openai[0]["messages"][-1]["content"] is None
    assert isinstance(openai[0]["messages"][-1]["tool_calls"][0]["function"]["arguments"], str)
    assert synth[1]["metadata"]["achievements"]["cumulative_unique"] == 2
    with pytest.raises(Refused, match="Formats are"):
        queries.export(dataset, format="xml")


def test_the_local_file_is_plain_and_checked(project, games, settings):
    dataset = _make(project, min_unique=2)
    path = services.local_file(dataset)
    assert [json.loads(line) for line in path.open()] == queries.read_records(dataset)
    path.unlink()
    with open(default_storage.path(dataset.storage_key), "r+b") as file:
        file.seek(-5, 2)
        file.write(b"\0\0\0\0\0")
    with pytest.raises(StorageError, match=r"damaged|not the one"):
        services.local_file(dataset)
    assert not path.exists()


def test_a_dataset_that_a_run_used_is_kept(project, games, actor):
    from apps.runs.services import InputPlan

    dataset = _make(project, min_unique=2)
    make_run(project, "sft", input_rows=[InputPlan("dataset", dataset.pk, "data")])
    with pytest.raises(Refused, match="was used by run"):
        services.delete_dataset(actor=actor, dataset=dataset)
    unused = _make(project, min_unique=1)
    services.delete_dataset(actor=actor, dataset=unused)
    assert list(Dataset.objects.all()) == [dataset]


def test_each_conversation_comes_once_when_asked(project):
    store_games(make_run(project), [make_trace(1, repeat=repeat) for repeat in range(3)])
    made = _make(project, dedupe=True)
    assert _turns(made) == [(1, 0), (1, 1), (1, 2)]
    assert made.words.endswith("each conversation once.")


def test_no_achievement_outweighs_the_others_when_asked(project):
    names = ["collect_wood", "place_table"]
    store_games(make_run(project), [make_trace(seed, unlocks=names) for seed in (1, 2, 3)])
    wanted = {"max_per_achievement": 2}
    made = _make(project, **wanted)
    # turn 0 leads to wood, turn 1 to the table, turn 2 to nothing: two of each
    assert _turns(made) == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    assert services.preview(project=project, filter=wanted).n_records == 6


def test_the_sides_of_a_split_share_no_world(project):
    traces = [make_trace(seed, repeat=repeat) for seed in range(20) for repeat in range(2)]
    store_games(make_run(project), traces)
    worlds = {}
    for side in ("train", "validation"):
        wanted = {"split": side, "validation_share": 0.3}
        made = _make(project, **wanted)
        worlds[side] = {seed for seed, _ in _turns(made)} | {
            row.seed for row in made.episode_rows.all()
        }
        assert services.preview(project=project, filter=wanted).n_records == made.n_records
    assert not worlds["train"] & worlds["validation"]
    assert worlds["train"] | worlds["validation"] == set(range(20))
