"""Forks: a stored game goes on from a step; the original stays as it is."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.accounts.queries import Actor
from apps.datasets.records import episode_records
from apps.launch import services
from apps.runs.models import Run
from apps.traces.models import Episode
from apps.traces.queries import list_forks
from engine.config import DatasetFilter, PlayConfig, load_json
from tests.games import NAMES, make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
PLAYED = {
    "type": "eval", "model": "tiny", "seeds": [7], "observation": "compact", "max_turns": 60,
    "max_steps": 90, "temperature": 0.5,
}  # fmt: skip


@pytest.fixture
def original(project: Project) -> Episode:
    run = make_run(project, resolved=PLAYED)
    return store_games(run, [make_trace(7, unlocks=NAMES[:1])])[0]


def fork(actor: Actor, episode: Episode, **values: object) -> Run:
    return services.fork(actor=actor, episode=episode, values={"model": "guide", **values})


def store_branches(run: Run, scores: list[int]) -> list[Episode]:
    """The branches of a fork as its engine would tell them."""
    from django.utils.timezone import now

    from apps.runs.models import Attempt

    Attempt.objects.create(shard=run.shards.get(), number=1, worker="w", started_at=now())
    traces = [make_trace(7, unlocks=NAMES[:n], repeat=i) for i, n in enumerate(scores)]
    return store_games(run, traces)


def test_a_fork_plays_the_same_world_as_far_as_the_original_could(actor, original):
    run = fork(actor, original, step=2, repeats=3)
    run.refresh_from_db()
    assert (run.kind, run.state, run.task, run.model) == ("fork", "queued", "crafter", "guide")
    assert [e["repeat"] for e in run.shards.get().episodes] == [0, 1, 2]
    config = load_json(run.resolved).config
    assert isinstance(config, PlayConfig)
    play = config.play()
    assert (play.seeds, play.max_steps, play.max_turns, play.temperature) == ((7,), 90, 60, 0.5)
    assert play.options["observation"] == "compact"
    assert run.inputs["original"]["sha256"] == original.payload_sha256
    assert run.parent_id == original.run_id


@pytest.mark.parametrize(
    ("values", "words"),
    [({"step": 7}, "has 6 steps"), ({"step": 6, "max_steps": 6}, "nothing to play")],
)
def test_a_step_after_which_nothing_can_be_played_is_refused(actor, original, values, words):
    with pytest.raises(Refused, match=words):
        fork(actor, original, **values)
    assert not Run.objects.filter(kind="fork").exists()


def test_a_model_that_is_not_here_is_refused_with_those_that_are(actor, original):
    with pytest.raises(Refused, match="no model 'ft:gone"):
        fork(actor, original, step=1, model="ft:gone:job_1")


def test_branches_know_their_original_and_its_turns_are_no_data_of_theirs(actor, original):
    run = fork(actor, original, step=4, repeats=1)
    [branch] = store_branches(run, [2])
    assert (branch.forked_from_id, branch.forked_at_step) == (original.pk, 4)
    turns = [r["metadata"]["turn"] for r in episode_records(branch, DatasetFilter())]
    assert turns == [2]


def test_branches_are_compared_with_the_original_and_with_the_first_fork(actor, original):
    first, second = (fork(actor, original, step=2, repeats=3) for _ in range(2))
    store_branches(first, [1, 2, 1])
    store_branches(second, [3, 3, 2])
    one, two = list_forks(episode=original)
    assert one.against_original["difference"] == pytest.approx(1 / 3)
    assert "No difference is proven" in one.verdict
    assert one.against_first is None
    assert two.against_original["difference"] == pytest.approx(5 / 3)
    assert "better than the original" in two.verdict
    assert two.against_first["difference"] == pytest.approx(4 / 3)
    assert (two.first_run_id, two.against_first["n"]) == (first.pk, 3)
    assert [mark["name"] for mark in two.branches[0].unlocks] == list(NAMES[1:3])


def test_forking_never_changes_the_original(actor, original):
    before = Episode.objects.filter(pk=original.pk).values().get()
    store_branches(fork(actor, original, step=2, repeats=2), [3, 3])
    assert Episode.objects.filter(pk=original.pk).values().get() == before


def test_a_branch_can_be_forked_again(actor, original):
    [branch] = store_branches(fork(actor, original, step=2, repeats=1), [2])
    again = fork(actor, branch, step=4, repeats=1)
    assert again.inputs["original"]["id"] == branch.pk
    assert load_json(again.resolved).config.play().max_steps == 90


def test_the_list_of_forks_costs_a_fixed_number_of_queries(
    actor, original, django_assert_max_num_queries
):
    for _ in range(3):
        store_branches(fork(actor, original, step=2, repeats=2), [1, 2])
    with django_assert_max_num_queries(4):
        assert len(list_forks(episode=original)) == 3
