"""Comparisons pair the same worlds only and say no more than the interval allows."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.traces.queries import compare_runs
from tests.games import NAMES, make_run, make_trace, store_games

pytestmark = pytest.mark.django_db


def _run(project, scores, **values):
    """A run whose seed i unlocks scores[i] achievements."""
    run = make_run(project)
    store_games(
        run, [make_trace(seed, unlocks=NAMES[:n], **values) for seed, n in enumerate(scores)]
    )
    return run


def test_a_clear_difference_is_stated_with_its_interval(project):
    a, b = _run(project, [0, 1, 0, 1, 0, 1]), _run(project, [2, 2, 2, 3, 2, 2])
    result = compare_runs(project=project, run_ids=[a.pk, b.pk])
    [pair] = result.pairs
    assert (pair["n"], pair["wins"], pair["ties"], pair["losses"]) == (6, 6, 0, 0)
    assert pair["difference"] == pytest.approx(10 / 6)
    # By hand: differences 2 1 2 2 2 1, sd 0.5164, t(5) = 2.571: 1.667 ± 0.542
    assert pair["ci95"] == pytest.approx([1.1248, 2.2086], abs=1e-3)
    assert pair["verdict"] == (
        f"Run {b.pk} is better than run {a.pk} by 1.67 ± 0.54 achievements on 6 shared worlds."
    )
    assert pair["per_achievement"]["place_table"]["difference"] == 1.0
    assert pair["games"][3]["unique_b"] == 3
    assert {"a", "b", "seed", "repeat"} <= pair["games"][0].keys()


def test_eight_runs_cost_no_more_queries_than_two(project, django_assert_num_queries):
    ids = [_run(project, [0, 1, n % 3]).pk for n in range(8)]
    for some in (ids[:2], ids):
        with django_assert_num_queries(3):
            assert len(compare_runs(project=project, run_ids=some).pairs) == len(some) - 1


def test_nothing_is_claimed_when_the_interval_holds_zero(project):
    a, b = _run(project, [0, 1, 2]), _run(project, [1, 0, 2])
    [pair] = compare_runs(project=project, run_ids=[a.pk, b.pk]).pairs
    assert pair["verdict"].startswith("No difference is proven")


def test_worlds_of_different_versions_are_never_paired(project):
    a, b = _run(project, [1, 1]), _run(project, [2, 2], world="crafter-1.8.3+d2")
    [pair] = compare_runs(project=project, run_ids=[a.pk, b.pk]).pairs
    assert pair["n"] == 0
    assert "never paired" in pair["notes"][0]
    assert "share no world" in pair["verdict"]


def test_broken_episodes_have_no_partner(project):
    a = _run(project, [1, 1])
    b = make_run(project)
    store_games(b, [make_trace(0), make_trace(1, ended="model_error")])
    [pair] = compare_runs(project=project, run_ids=[a.pk, b.pk]).pairs
    assert pair["n"] == 1
    assert pair["ci95"] == [None, None]


def test_a_leak_is_said(project):
    a, b = _run(project, [1, 1]), make_run(project, leaked_seeds=[3, 4])
    assert "was trained on 2" in compare_runs(project=project, run_ids=[a.pk, b.pk]).notes[0]


def test_one_run_and_foreign_runs_are_refused(project, mallory):
    a = _run(project, [1])
    foreign = make_run(mallory.projects.get())
    with pytest.raises(Refused, match="2 to 10"):
        compare_runs(project=project, run_ids=[a.pk, a.pk])
    with pytest.raises(Refused, match="There is no run"):
        compare_runs(project=project, run_ids=[a.pk, foreign.pk])


def test_it_says_how_many_more_worlds_would_decide(project):
    a, b = _run(project, [0, 1, 2, 1]), _run(project, [1, 0, 3, 2])
    [pair] = compare_runs(project=project, run_ids=[a.pk, b.pk]).pairs
    # By hand: differences 1 -1 1 1, mean 0.5, sd 1; t(n-1)/sqrt(n) falls below 0.5 at n = 18.
    assert pair["more_worlds"] == 14
    clear = _run(project, [2, 3, 3, 3])
    [pair] = compare_runs(project=project, run_ids=[a.pk, clear.pk]).pairs
    assert pair["more_worlds"] == 0
    [pair] = compare_runs(project=project, run_ids=[a.pk, _run(project, [0, 1, 2, 1]).pk]).pairs
    assert pair["more_worlds"] is None


def test_settings_that_differ_are_listed_by_their_dotted_key(project):
    a = make_run(project, resolved={"model": "a", "limits": {"tokens": 5}, "max_turns": 9})
    b = make_run(project, resolved={"model": "b", "limits": {"tokens": 5, "seconds": 1}})
    found = compare_runs(project=project, run_ids=[a.pk, b.pk])
    assert found.settings == {
        "limits.seconds": [None, 1],
        "max_turns": [9, None],
        "model": ["a", "b"],
    }


def test_a_look_at_a_run_that_still_plays_says_that_it_was_one(project):
    a, b = _run(project, [0, 1]), _run(project, [1, 1])
    notes = compare_runs(project=project, run_ids=[a.pk, b.pk]).notes
    assert any("look in between" in note for note in notes)
    for run in (a, b):
        type(run).objects.filter(pk=run.pk).update(ended_at=run.created_at)
    assert not compare_runs(project=project, run_ids=[a.pk, b.pk]).notes
