"""The leaderboard: one line a model and task, best first, leaked scores below the honest ones."""

from __future__ import annotations

import pytest

from apps.checkpoints.leaderboard import leaderboards
from apps.runs.models import Run
from tests.games import make_run

pytestmark = pytest.mark.django_db


def evaluate(project, model: str, mean: float, *, leaked=(), kind="policy", **values) -> Run:
    result = {"n": 20, "unique": {"n": 20, "mean": mean, "low": mean - 1, "high": mean + 1}}
    run = make_run(
        project, "eval", model=model, resolved={"temperature": 0.7, "max_turns": 30},
        inputs={"policy": {"kind": kind}}, leaked_seeds=list(leaked), **values,
    )  # fmt: skip
    Run.objects.filter(pk=run.pk).update(state="succeeded", result=result)
    return run


def test_the_best_comes_first_and_a_leaked_score_last(project, django_assert_num_queries):
    evaluate(project, "cheat", 9.0, leaked=[1])
    evaluate(project, "weak", 2.0)
    best = evaluate(project, "strong", 5.0)
    evaluate(project, "guide", 4.0, kind="guide")
    with django_assert_num_queries(2):
        [board] = leaderboards(project=project)
    assert [row.model for row in board.rows] == ["strong", "guide", "weak", "cheat"]
    assert (board.rows[0].run_id, board.rows[0].temperature, board.rows[0].n) == (best.pk, 0.7, 20)
    assert board.rows[1].temperature is None  # a script samples nothing
    assert board.rows[3].leaked


def test_an_honest_evaluation_counts_even_when_a_newer_one_leaked(project):
    honest = evaluate(project, "a", 3.0)
    evaluate(project, "a", 8.0, leaked=[5])
    [row] = leaderboards(project=project)[0].rows
    assert (row.run_id, row.leaked, row.n_evals) == (honest.pk, False, 2)


def test_tasks_have_boards_of_their_own_and_other_projects_none(project, mallory):
    evaluate(project, "a", 3.0)
    evaluate(project, "a", 1.0, task="maze")
    assert [board.task for board in leaderboards(project=project)] == ["crafter", "maze"]
    assert leaderboards(project=mallory.projects.get()) == []
