"""All writes of episodes after they were stored: labels and the outcome of a verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.runs.models import Need, Run
from apps.runs.services import InputPlan, ShardPlan, create_run, queue_run
from apps.traces.models import Episode, Label
from synthweb.bell import ring

MAX_LABEL = 60


def set_label(*, episode: Episode, name: str, actor: Actor) -> Label:
    """Put a word on an episode. Safe twice: the first stays. Raises Refused(422) for no word."""
    actor.require(Role.EDITOR)
    name = _label_name(name)
    label, _ = Label.objects.get_or_create(
        episode=episode, name=name, defaults={"user": actor.user}
    )
    ring("pages:traces")
    return label


def remove_label(*, episode: Episode, name: str, actor: Actor) -> None:
    """Take a word off an episode. Safe twice."""
    actor.require(Role.EDITOR)
    Label.objects.filter(episode=episode, name=name).delete()
    ring("pages:traces")


def label_episodes(*, episodes: Sequence[Episode], name: str, actor: Actor) -> None:
    """Put a word on each of them. Safe twice. Raises Refused(422) for no word."""
    actor.require(Role.EDITOR)
    name = _label_name(name)
    rows = [Label(episode=episode, name=name, user=actor.user) for episode in episodes]
    Label.objects.bulk_create(rows, ignore_conflicts=True)
    ring("pages:traces")


def unlabel_episodes(*, episodes: Sequence[Episode], name: str, actor: Actor) -> int:
    """Take a word off each of them; how many had it. Safe twice. Raises Refused(422)."""
    actor.require(Role.EDITOR)
    rows = Label.objects.filter(episode__in=episodes, name=_label_name(name))
    n, _ = rows.delete()
    ring("pages:traces")
    return n


def _label_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_LABEL or "\0" in name:
        raise Refused(
            "bad_label",
            f"A label is 1 to {MAX_LABEL} characters long.",
            status=422,
            fields={"name": "1 to 60 characters"},
        )
    return name


def request_verify(*, episode: Episode, actor: Actor) -> Run:
    """Queue a run that plays the episode's actions again in a fresh process and compares hashes.

    Every call makes a new run; the newest to end decides `episode.verified`.
    """
    return _request(actor, f"verify trace {episode.pk}", f"trace:{episode.pk}", [episode])


def request_verify_all(*, episodes: Sequence[Episode], actor: Actor) -> Run:
    """The same for several episodes, at least one, in one process."""
    n = len(episodes)
    if n == 1:
        return request_verify(episode=episodes[0], actor=actor)
    return _request(actor, f"verify {n} traces", f"trace:{episodes[0].pk} +{n - 1}", episodes)


def request_verify_run(*, run: Run, actor: Actor) -> Run:
    """The same for all episodes of a run, in one process. Raises Refused(422) without any."""
    episodes = list(Episode.objects.filter(run=run).order_by("id"))
    if not episodes:
        raise Refused("no_episodes", f"Run {run.pk} has no traces to verify.", status=422)
    return _request(actor, f"verify run {run.pk}", f"run:{run.pk}", episodes)


def _request(actor: Actor, name: str, target: str, episodes: Sequence[Episode]) -> Run:
    actor.require(Role.EDITOR)
    traces = [
        {"id": row.pk, "storage_key": row.storage_key, "sha256": row.payload_sha256}
        for row in episodes
    ]
    with transaction.atomic():
        run = create_run(
            project=actor.project,
            user=actor.user,
            kind="verify",
            name=name,
            config=None,
            resolved={"type": "verify", "task": episodes[0].task},
            inputs={"traces": traces},
            task=episodes[0].task,
            input_rows=[
                InputPlan("episode", row.pk, "original", row.payload_sha256) for row in episodes
            ],
            shards=[ShardPlan(need=Need.ROLLOUT, total=len(episodes))],
        )
        record(actor=actor, verb="trace.verify", target=target)
        return queue_run(run=run)


def apply_verify(*, run: Run, values: Mapping[str, Any]) -> int:
    """Write what a verification found into its episodes; returns how many. Safe twice."""
    changed = 0
    for report in values.get("reports", ()):
        ok = bool(report["ok"])
        note = report["reason"]
        if ok:
            note = f"re-simulated {report['n_steps']} steps to the same hashes"
        changed += Episode.objects.filter(pk=report["id"], run__project_id=run.project_id).update(
            verified=ok, verify_note=note[:300]
        )
    ring("pages:traces")
    return changed
