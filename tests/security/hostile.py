"""A project in which every text that people, models, tools or files bring holds markup."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

from django.utils.timezone import now

from apps.accounts.models import ApiKey, Project, User
from apps.accounts.queries import Actor, actor_of_session
from apps.accounts.saved import save_view
from apps.checkpoints.models import Checkpoint
from apps.checkpoints.services import want_model
from apps.datasets.models import Dataset
from apps.datasets.services import upload_dataset
from apps.launch import services as launch
from apps.launch.models import Delivery, Pipeline, Stage, Webhook
from apps.providers.models import ModelAlias, Provider
from apps.runs.models import LiveView, MetricPoint, MetricSeries, Run, WorkerNode
from apps.runs.services import add_event, set_notes, set_tags
from apps.traces.models import Episode
from apps.traces.services import set_label
from tests.estate import Estate
from tests.games import keep_tokens, make_run, make_trace, store_games

EVIL = """</script></title>"'><script>evil()</script><img src=x onerror=evil()>"""
SHORT = """"'><img src=x onerror=evil()>"""  # where a column is narrow
LINK = "javascript:evil()//"
MARK = "onerror=evil()"
TOML = f"""type = "eval"  # {EVIL}
model = "random"
seeds = [1]
"""
RESULT = {
    "n": 1, "n_episodes": 1, "unique": {"n": 1, "mean": 1.0, "low": 0.0, "high": 2.0},
    "achievements": {EVIL: {"successes": 1, "n": 1, "rate": 1.0, "low": 0.2, "high": 1.0}},
    "endings": {EVIL: 1},
}  # fmt: skip
HOSTILE_TOKENS = {
    "model": EVIL, "sequence_length": 8, "n_tokens": 1, "n_learned": 1,
    "records": [{"record": EVIL, "n_tokens": 1, "n_learned": 1, "pieces": [[[SHORT], EVIL, True]]}],
}  # fmt: skip
PIPELINE = """
type = "pipeline"
[stages.look.config]
type = "eval"
model = "random"
seeds = [1]
"""


def make_hostile(actor: Actor, announce: Callable[..., Checkpoint]) -> Estate:
    """One of everything, named by `EVIL`; rows where a service would refuse the name."""
    Project.objects.filter(pk=actor.project.pk).update(name=EVIL)
    User.objects.filter(pk=actor.user.pk).update(username=EVIL, first_name=EVIL)
    found = actor_of_session(User.objects.get(pk=actor.user.pk), actor.project.pk)
    assert found is not None
    run, episode = hostile_run(found)
    keep_tokens(run, HOSTILE_TOKENS)
    view = save_view(actor=found, page="traces", name=SHORT, query=f"model={LINK}")
    config = launch.import_config(actor=found, text=TOML, name=EVIL)
    pipeline = hostile_pipeline(found, run)
    dataset = hostile_dataset(found)
    checkpoint = hostile_checkpoint(found, announce)
    provider = Provider.objects.create(
        project=found.project, name=SHORT, base_url=LINK, origin=EVIL, prices={EVIL: {"input": 1}}
    )
    ModelAlias.objects.create(project=found.project, requested=EVIL, resolved=LINK)
    WorkerNode.objects.create(
        name=EVIL, host=EVIL, pid=1, version=SHORT, slots={SHORT: 1}, busy={SHORT: 1},
        started_at=now(), seen_at=now(),
    )  # fmt: skip
    key = ApiKey.objects.create(
        project=found.project, user=found.user, name=EVIL, prefix="sw_", digest="d", scopes=[SHORT]
    )
    return Estate(
        run.pk, episode.pk, config.pk, dataset.pk, checkpoint.uid, provider.pk, pipeline.pk, key.pk,
        found.project.membership_set.get(user=found.user).pk, found.user.username,
        hostile_hook(found).pk, view_id=view.pk,
    )  # fmt: skip


def hostile_hook(actor: Actor) -> Webhook:
    """A webhook whose address and whose answer are `EVIL`."""
    hook = Webhook.objects.create(
        project=actor.project, url=LINK, encrypted_secret="", seen_until=now()
    )
    Delivery.objects.create(
        webhook=hook, event=SHORT[:40], target="run:1", ended_at=now(), body={}, answer=EVIL[:300]
    )
    return hook


def hostile_run(actor: Actor) -> tuple[Run, Episode]:
    """A failed eval with a game, events, a curve, tags and notes, all of them written by `EVIL`."""
    run = make_run(actor.project, name=EVIL, model=EVIL, task=SHORT)
    trace = make_trace(7, unlocks=("collect_wood", EVIL[:60]), model=EVIL)
    trace.summary.policy = trace.summary.provider = SHORT
    trace.summary.ending = trace.summary.error = EVIL
    for turn in trace.turns:
        turn.content = turn.error = turn.finish_reason = EVIL
        turn.error_code = SHORT
        turn.messages = [
            {"role": "user", "content": EVIL},
            {"role": SHORT, "content": None, "x": EVIL},
        ]
        turn.raw_calls = [{"id": "1", "name": EVIL, "arguments": EVIL}]
        turn.actions = [*turn.actions, EVIL]
    [episode] = store_games(run, [trace])
    Episode.objects.filter(pk=episode.pk).update(verified=False, verify_note=EVIL)
    set_label(episode=episode, name=SHORT, actor=actor)
    fork = {"original": {"id": episode.pk, "step": 0}}
    make_run(actor.project, kind="fork", name=EVIL, model=EVIL, inputs=fork)
    set_notes(run=run, actor=actor, notes=EVIL)
    set_tags(run=run, actor=actor, tags=[SHORT])
    add_event(run, "log", {"level": SHORT, "message": EVIL})
    add_event(run, "result", {"ok": False, "error": {"code": EVIL, "message": EVIL, "hint": EVIL}})
    add_event(run, "checkpoint", {"step": EVIL, "checkpoint_uid": LINK, "path": EVIL})
    series = MetricSeries.objects.create(run=run, name=EVIL, n_points=1, last_value=1.0)
    MetricPoint.objects.create(series=series, step=1, value=1.0, at=now(), seq=900)
    error = {"code": SHORT, "message": EVIL, "hint": EVIL}
    Run.objects.filter(pk=run.pk).update(
        state="failed", error=error, warnings=[EVIL], result=RESULT, progress_unit=EVIL[:20],
        effects=[{"key": EVIL, "value": EVIL, "reason": EVIL}],
        resolved={EVIL: {EVIL: EVIL}}, inputs={EVIL: EVIL}, code_version=SHORT,
    )  # fmt: skip
    run.shards.update(error=error, waiting_for=EVIL, worker=EVIL)
    return run, episode


def hostile_pipeline(actor: Actor, run: Run) -> Pipeline:
    config = launch.import_config(actor=actor, text=PIPELINE, name=EVIL)
    pipeline = launch.start_pipeline(actor=actor, config=config)
    error = {"code": SHORT, "message": EVIL, "hint": EVIL}
    Pipeline.objects.filter(pk=pipeline.pk).update(name=EVIL, state="failed", error=error)
    Stage.objects.filter(pipeline=pipeline).update(
        name=SHORT, needs=[EVIL], state="failed", error=error, run=run
    )
    return pipeline


def hostile_dataset(actor: Actor) -> Dataset:
    call = {"function": {"name": EVIL, "arguments": EVIL}}
    said = {"role": "assistant", "content": EVIL, "tool_calls": [call]}
    line = json.dumps({"messages": [{"role": "user", "content": EVIL}, said]})
    dataset = upload_dataset(
        project=actor.project, user=actor.user, name=EVIL, file=io.BytesIO(line.encode())
    )
    Dataset.objects.filter(pk=dataset.pk).update(
        words=EVIL, statistics={"models": {EVIL: 1}, "achievements": {EVIL: 2}, "length": {"0": 1}}
    )
    return dataset


def hostile_checkpoint(actor: Actor, announce: Callable[..., Checkpoint]) -> Checkpoint:
    """A checkpoint that could not be loaded."""
    run = make_run(actor.project, "base", model=EVIL)
    checkpoint = announce(run, files={"config.json": b"{}", f"{SHORT}.txt": b"x"})
    Checkpoint.objects.filter(pk=checkpoint.pk).update(
        model_id=EVIL, base_model=EVIL, base_model_resolved=LINK, metrics={EVIL: EVIL}
    )
    checkpoint.refresh_from_db()
    wanted = want_model(checkpoint)
    type(wanted).objects.filter(pk=wanted.pk).update(state="failed", error=EVIL)
    return checkpoint


def hostile_game(hostile: Estate) -> int:
    """A game of a run that goes on."""
    project = Run.objects.get(pk=hostile.run_id).project
    run = make_run(project, name=EVIL, model=EVIL)
    Run.objects.filter(pk=run.pk).update(state="running")
    view = {"first_step": 0, "views": [EVIL], "rewards": [0.0], "unlocks": [[EVIL, 0]],
            "n_turns": 1, "call": EVIL}  # fmt: skip
    return LiveView.objects.create(
        run=run, shard=run.shards.get(), key='["k"]', seed=1, model=EVIL, data=view,
        updated_at=now(),
    ).pk  # fmt: skip
