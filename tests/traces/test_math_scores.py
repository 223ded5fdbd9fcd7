"""Problems are scored by accuracy, paired by problem, and shown in words: never by achievements."""

from __future__ import annotations

from base64 import b64encode

import pytest

from apps.traces.queries import compare_runs, run_scores
from apps.web.templatetags.show import problem_of
from engine.rollout.report import Tally
from engine.rollout.scores import main_score
from tests.games import make_run, play_problems, store_games

pytestmark = pytest.mark.django_db


def b64(plain: bytes) -> str:
    return b64encode(plain).decode()


def _run(project, policy, seeds=range(12), **options):
    run = make_run(project, task="math", model=policy)
    store_games(run, play_problems(policy, seeds, **options))
    return run


def test_a_run_of_problems_has_its_accuracy_with_a_wilson_interval_and_no_achievements(project):
    scores = run_scores(_run(project, "guide"))
    # By hand, Wilson for 12 of 12: 12 / (12 + 1.96²) = 0.7575
    assert scores["accuracy"] == {
        "successes": 12, "n": 12, "rate": 1.0, "low": pytest.approx(0.7575, abs=1e-4), "high": 1.0,
    }  # fmt: skip
    assert scores["answers"] == {"correct": 12}
    assert not {"unique", "achievements", "crafter_score"} & scores.keys()
    assert main_score(scores)[:3] == ("accuracy", 12, 1.0)


def test_the_engine_says_the_same_of_a_shard():
    tally = Tally(())
    for trace in play_problems("guide", range(3)):
        tally.add(trace.summary)
    assert tally.curve()["episodes.accuracy"] == 1.0
    assert "episodes.achievements" not in tally.curve()
    assert tally.result()["accuracy"]["rate"] == 1.0


def test_two_runs_are_compared_problem_by_problem(project):
    a, b = _run(project, "random"), _run(project, "guide")
    [pair] = compare_runs(project=project, run_ids=[a.pk, b.pk]).pairs
    assert (pair["measure"], pair["n"], pair["mean_b"]) == ("accuracy", 12, 1.0)
    assert pair["per_achievement"] == {}
    assert {game["score_b"] for game in pair["games"]} == {1.0}
    assert "percentage points of accuracy on 12 shared problems." in pair["verdict"]


def test_the_same_seeds_of_another_split_or_family_are_other_problems(project):
    a, b = _run(project, "guide"), _run(project, "guide", split="train")
    [pair] = compare_runs(project=project, run_ids=[a.pk, b.pk]).pairs
    assert pair["n"] == 0
    assert "share no problem" in pair["verdict"]


def test_pages_show_problems_in_words(client_of, alice, project):
    client = client_of(alice)
    a, b = _run(project, "random", range(3)), _run(project, "guide", range(3))
    trace = b.episodes.first()
    pages = {
        f"/traces/{trace.pk}/": ["Problem 0: solved", "arithmetic problem:", "The solution:"],
        "/traces/": ["arithmetic problem:", "solved"],
        "/live/": ["arithmetic problem:"],
        f"/runs/{b.pk}/": ["Solved", "100 %", "correct"],
        f"/compare/?runs={a.pk},{b.pk}": ["Problem by problem", "share of problems solved"],
    }
    for address, words in pages.items():
        text = client.get(address).content.decode()
        assert all(word in text for word in words), address
        assert "unique achievements" not in text, address
        assert 'data-view="ey' not in text, address  # no canvas draws a problem


@pytest.mark.parametrize(
    "view",
    ["", "AQID", "ey", "eyJ", "é", b64(b'{"problem": 1}'), b64(b'{"a":' * 5000), b64(b'{"problem": '
     b'"p", "split": "s", "index": 1, "tries": [1]}')],
)  # fmt: skip
def test_a_view_that_is_no_problem_is_drawn_as_before(view):
    assert problem_of(view) is None


def test_a_dataset_of_a_run_of_problems_is_of_problems(client_of, alice, project):
    run = _run(project, "guide", range(3))
    text = client_of(alice).get(f"/datasets/new/?runs={run.pk}").content.decode()
    assert "3 records from 3 games" in text
    assert "Games of math" in text


def test_a_problem_may_be_forked_from_its_page(project, client_of, alice):
    [episode] = store_games(make_run(project, task="math"), play_problems("random", [1]))
    html = client_of(alice).get(f"/traces/{episode.pk}/").content.decode()
    assert f'action="/traces/{episode.pk}/fork/"' in html
    assert "let another model answer" in html
