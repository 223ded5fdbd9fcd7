"""The returns of a run's games: bars that add up, and the groups that GRPO learned from."""

from __future__ import annotations

import pytest

from apps.traces.models import Episode
from apps.traces.queries import EpisodeQuery, grpo_iteration, list_episodes, reward_bins
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
NAMES = ("collect_wood", "place_table", "collect_sapling")


def test_each_whole_return_has_a_bar_that_opens_its_games(project, alice, client_of):
    run = make_run(project)
    store_games(run, [make_trace(seed, unlocks=NAMES[: seed % 3]) for seed in range(7)])
    assert [(row.words, row.n) for row in reward_bins(run)] == [("0", 3), ("1", 2), ("2", 2)]
    page = client_of(alice).get(f"/runs/{run.pk}/").content.decode()
    assert f"/traces/?run={run.pk}&amp;min_return=1&amp;max_return=1" in page


def test_bars_of_decimal_returns_hold_every_game_once(project):
    run = make_run(project)
    games = store_games(run, [make_trace(seed) for seed in range(40)])
    for i, game in enumerate(games):
        Episode.objects.filter(pk=game.pk).update(episode_return=-1 + i * 0.1)
    bins = reward_bins(run)
    assert sum(row.n for row in bins) == 40
    for row in bins:  # the bar's link finds what the bar counts
        query = EpisodeQuery(run=run.pk, min_return=row.low, max_return=row.high)
        assert len(list_episodes(project=project, query=query).items) == row.n


def test_a_group_is_the_games_of_one_world_and_iteration(project):
    run = make_run(project, "rl")
    games = [make_trace(seed, unlocks=NAMES[:n], repeat=repeat)
             for seed, returns in ((5, (1, 3)), (6, (2, 2)))
             for repeat, n in enumerate(returns)]  # fmt: skip
    store_games(run, games)
    Episode.objects.filter(run=run).update(policy_version=4)
    store_games(run, [make_trace(5, repeat=1)])
    found = grpo_iteration(run)
    assert found is not None
    assert (found.version, found.before, found.after, found.n_dead) == (4, 0, None, 1)
    first, dead = found.groups
    assert (first.seed, first.mean, first.spread) == (5, 2.0, 1.0)
    assert [game.advantage for game in first.games] == [-1.0, 1.0]
    assert dead.dead
    alone = grpo_iteration(run, 0)
    assert (alone.n_single, alone.n_dead, alone.groups[0].spread) == (1, 0, None)


def test_the_page_of_a_reward_training_shows_the_groups(project, alice, client_of):
    run = make_run(project, "rl")
    store_games(run, [make_trace(5, repeat=r, unlocks=NAMES[:r]) for r in (0, 1)])
    for address in (f"/runs/{run.pk}/", f"/runs/{run.pk}/_groups/?iteration=0"):
        assert "Groups of iteration 0" in client_of(alice).get(address).content.decode()
