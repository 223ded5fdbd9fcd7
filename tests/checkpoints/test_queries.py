"""Lists of checkpoints come with scores and serving state, at a fixed cost."""

from __future__ import annotations

import hashlib

import pytest

from apps.accounts.errors import Refused
from apps.checkpoints import queries, seeds, services
from apps.checkpoints.card import list_downloads, model_card, open_download
from apps.checkpoints.models import Checkpoint
from apps.runs.models import Run
from tests.games import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def checkpoint(project, announce):
    made = announce(make_run(project, "base", model="a/b"))
    result = {"n": 20, "unique": {"n": 20, "mean": 3.5, "low": 3.0, "high": 4.0}}
    run = make_run(project, "eval", model="a/b", leaked_seeds=[1])
    Run.objects.filter(pk=run.pk).update(state="succeeded", result=result)
    return made


def test_a_list_shows_scores_at_a_fixed_cost(project, checkpoint, django_assert_num_queries):
    services.want_model(checkpoint)
    with django_assert_num_queries(3):
        [row] = queries.list_checkpoints(project=project).items
    assert (row.scores[0].main.mean, row.scores[0].leaked, row.serving) == (
        3.5,
        True,
        "wanted",
    )


def test_a_long_line_of_descent_costs_no_more_than_a_short_one(
    project, checkpoint, django_assert_num_queries
):
    row, line = checkpoint, []
    for number in range(5):
        line.insert(0, row)
        row = Checkpoint.objects.create(
            uid=f"ck_{number}", project=project, model_id=f"ft:{number}", kind="sft", base=row
        )
    row = Checkpoint.objects.get(pk=row.pk)
    with django_assert_num_queries(2):
        assert queries.ancestors_of(row) == line


def test_the_card_says_how_well_it_plays_and_that_worlds_leaked(checkpoint):
    card = model_card(checkpoint)
    assert "3.50 achievements (3.00 to 4.00)" in card
    assert "leaked" in card


def test_the_readme_that_is_downloaded_knows_the_evaluations_that_ended_since(project, announce):
    files = {"config.json": b"{}", "README.md": b"as it was written"}
    resolved = {"hyperparameters": {"learning_rate": 0.003}}
    made = announce(make_run(project, "base", model="a/b", resolved=resolved), files=files)
    before = {file.path: file for file in list_downloads(made)}["README.md"]
    result = {"n": 20, "unique": {"n": 20, "mean": 4.5, "low": 4.0, "high": 5.0}}
    run = make_run(project, "eval", model="a/b")
    Run.objects.filter(pk=run.pk).update(state="succeeded", result=result)
    listed = {file.path: file for file in list_downloads(made)}["README.md"]
    stored = queries.get_file(project=project, uid=made.uid, path="README.md")
    content, size = open_download(stored)
    text = b"".join(content)
    assert (size, hashlib.sha256(text).hexdigest()) == (listed.size, listed.sha256)
    assert before.sha256 != listed.sha256
    assert b"4.50 achievements (4.00 to 5.00)" in text
    assert b'"learning_rate": 0.003' in text
    assert text.startswith(b"---\nlibrary_name: transformers")


def test_a_stranger_sees_no_checkpoint(checkpoint, mallory):
    foreign = mallory.projects.get()
    assert queries.list_checkpoints(project=foreign).items == []
    with pytest.raises(Refused, match="There is no checkpoint"):
        queries.get_checkpoint(project=foreign, uid=checkpoint.uid)


def test_a_deleted_checkpoint_is_hidden_and_keeps_its_lineage(project, checkpoint, actor):
    services.delete_checkpoint(actor=actor, checkpoint=checkpoint)
    assert queries.list_checkpoints(project=project).items == []
    assert queries.find_model(project.pk, "a/b") is None


def test_ranges_join_neighbours_and_merge():
    made = seeds.ranges_of([("c", "v", s) for s in (3, 1, 2, 9)])
    assert made == [["c", "v", [[1, 3], [9, 9]]]]
    merged = seeds.merge_ranges(made, [["c", "v", [[4, 8]]], ["d", "", [[0, 0]]]])
    assert merged == [["c", "v", [[1, 9]]], ["d", "", [[0, 0]]]]
    assert seeds.count_seeds(merged) == 10
    assert made == [["c", "v", [[1, 3], [9, 9]]]]
