"""What pages and API read of runs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.runs.models import Event, Need, Run
from apps.runs.queries import count_states, get_run, list_events, list_queue, list_runs
from apps.runs.queries.curves import reduce_points
from apps.runs.services import add_event, claim_shard, report_worker, set_tags


def test_runs_are_found_by_tag_state_and_word(make_run, project, actor):
    run = make_run(name="small teacher", model="guide")
    make_run(queued=False)
    set_tags(run=run, actor=actor, tags=["best"])
    for wanted in ({"tag": "best"}, {"state": "queued"}, {"q": "teach"}, {"q": str(run.pk)}):
        assert [row.id for row in list_runs(project=project, **wanted).items] == [run.pk]


def test_a_run_of_another_project_is_not_there(make_run, mallory):
    run = make_run()
    with pytest.raises(Refused) as refusal:
        get_run(project=mallory.projects.get(), run_id=run.pk)
    assert refusal.value.status == 404


def test_a_list_takes_the_same_queries_however_long(make_run, project, django_assert_num_queries):
    for _ in range(5):
        make_run()
    with django_assert_num_queries(2):
        assert len(list_runs(project=project).items) == 5


def test_the_estimate_follows_what_got_done_lately(make_run, project):
    run = make_run()
    claim_shard(worker="one", need=Need.ROLLOUT)
    attempt = run.shards.get().attempts.get()
    # Before the run was resumed, half a minute ago: ten steps a day ago are no throughput.
    for seconds_ago, done in ((90_000, 0), (86_400, 10), (20, 10), (10, 20), (0, 30)):
        seq = add_event(run, "progress", {"done": done, "total": 100, "unit": "steps"})
        moment = now() - timedelta(seconds=seconds_ago)
        Event.objects.filter(run=run, seq=seq).update(at=moment, attempt=attempt, attempt_seq=seq)
    began = now() - timedelta(seconds=30)
    Run.objects.filter(pk=run.pk).update(progress_done=30, progress_total=100, started_at=began)
    eta_s = get_run(project=project, run_id=run.pk).progress.eta_s
    assert eta_s == pytest.approx(70, abs=3)


def test_there_is_no_estimate_without_progress(make_run, project):
    run = make_run()
    claim_shard(worker="one", need=Need.ROLLOUT)
    assert get_run(project=project, run_id=run.pk).progress.eta_s is None


@pytest.mark.parametrize(
    ("done", "measured_s", "told"), [(1, 2, False), (1, 20, True), (5, 2, True)]
)
def test_the_first_steps_of_a_run_promise_nothing(make_run, project, done, measured_s, told):
    run = make_run()
    claim_shard(worker="one", need=Need.ROLLOUT)
    attempt = run.shards.get().attempts.get()
    for seconds_ago, reported in ((measured_s, 0), (0, done)):
        seq = add_event(run, "progress", {"done": reported, "total": 100, "unit": "steps"})
        moment = now() - timedelta(seconds=seconds_ago)
        Event.objects.filter(run=run, seq=seq).update(at=moment, attempt=attempt, attempt_seq=seq)
    began = now() - timedelta(seconds=30)
    Run.objects.filter(pk=run.pk).update(progress_done=done, progress_total=100, started_at=began)
    eta_s = get_run(project=project, run_id=run.pk).progress.eta_s
    assert (eta_s is not None) is told


def test_events_come_in_pieces_without_gaps(make_run):
    run = make_run()
    for n in range(10):
        add_event(run, "log", {"level": "info", "message": str(n)})
    seen, after = [], 0
    while some := list_events(run=run, after=after, limit=3):
        seen += [event.seq for event in some]
        after = some[-1].seq
    assert seen == list(range(1, 12))
    assert [e.type for e in list_events(run=run, types=["state"])] == ["state"]


def test_the_queue_says_why_a_run_waits(make_run, project):
    make_run()
    assert "no worker offers" in list_queue(project=project)[0].waiting_for
    report_worker(name="w", slots={"rollout": 1}, busy={}, can_train=False)
    assert "slot is taken" in list_queue(project=project)[0].waiting_for
    assert count_states(project=project).n_workers == 1


def test_a_reduced_curve_keeps_its_spikes():
    values = [1.0] * 1000
    values[500], values[700] = 99.0, -99.0
    kept = reduce_points(values, 50)
    assert len(kept) <= 50
    assert {500, 700} < set(kept)
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, 999)
