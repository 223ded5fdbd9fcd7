"""What bench/pages.py stores before it asks: 10,500 games of up to 100 steps, and all the rest.

20 games are really played through a run, on the instance's own worker; then their rows are copied
in the database (105 runs of 100 episodes: other seeds, the same stored payloads), because playing
a million steps would take an hour and the pages cannot tell. A dataset and a pipeline are made by
the API; checkpoints are rows without weights, for no page reads those.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from tests.servers.instance import TWO_STAGES, Instance
from tests.servers.waiting import wait_until

N_PLAYED = 20
N_RUNS = 106
N_EPISODES = 100  # a run
N_CHECKPOINTS = 20
N_LIVE = 64
PLAYED = (
    'type = "rollout"\nname = "played"\nprovider = "builtin"\nmodel = "random"\n'
    f'seeds = "0..{N_PLAYED - 1}"\nmax_steps = 100\nmax_turns = 100\n'
)
MODEL = "ft:synthweb/crafter-small:job_{:016x}"


def store(instance: Instance) -> dict[str, Any]:
    """Fill the instance; the ids that the addresses of pages_list.py name."""
    run_id, pipeline_id = play(instance)
    checkpoints = _add_checkpoints()
    multiply(run_id)
    some = _copies()[:5]
    old, new = (_add_dataset(instance, some[:n]) for n in (2, 5))
    return {
        **_ids(run_id),
        "pipeline": pipeline_id,
        "checkpoint": checkpoints[-1].uid,
        "old_dataset": old,
        "dataset": new,
        "live": _add_live(run_id),
    }


def play(instance: Instance) -> tuple[int, int]:
    """Play the games that are multiplied and a small pipeline; the ids of both."""
    config = instance.call("POST", "/api/v1/configs", {"toml": PLAYED, "name": "played"})
    body = {"config_id": config["id"], "launch": True}
    run_id: int = instance.call("POST", "/api/v1/runs", body)["id"]
    pipeline: int = instance.call("POST", "/api/v1/runs", {"toml": TWO_STAGES})["pipeline"]

    def are_over() -> bool:
        runs = instance.call("GET", "/api/v1/runs")["items"]
        return len(runs) >= 3 and all(run["state"] == "succeeded" for run in runs)

    wait_until(are_over, f"run {run_id} and pipeline {pipeline}", 300)
    return run_id, pipeline


def multiply(run_id: int) -> None:
    """Copy the run and its episodes' rows until there are a million steps."""
    from apps.runs.models import MetricPoint, MetricSeries, Run, Shard
    from apps.traces.models import Episode, EpisodeTurn, Unlock

    run = Run.objects.get(pk=run_id)
    played = list(Episode.objects.filter(run=run).order_by("id"))
    shard = Shard.objects.get(run=run)
    for number in range(N_RUNS - 1):
        model = MODEL.format(number) if number < N_CHECKPOINTS else run.model
        kind = "rl" if number == N_RUNS - 2 else "eval"
        changes = {"job_id": f"job_{number:016x}", "kind": kind, "name": f"copy {number}"}
        copy = fresh(run, **changes, model=model)
        copy.save()
        held = fresh(shard, run=copy)
        held.save()
        copies = [
            (fresh(old, run=copy, shard=held, seed=1000 + i, model=model), old)
            for i, old in zip(range(N_EPISODES), _forever(played), strict=False)
        ]
        Episode.objects.bulk_create([new for new, _ in copies])
        pairs = [(new.pk, old.pk) for new, old in copies]
        copy_rows(EpisodeTurn, "episode_id", pairs)
        copy_rows(Unlock, "episode_id", pairs)
        for series in MetricSeries.objects.filter(run=run):
            new_series = fresh(series, run=copy)
            new_series.save()
            copy_rows(MetricPoint, "series_id", [(new_series.pk, series.pk)])


def fresh(row: Any, **changes: Any) -> Any:
    """An unsaved copy of a row."""
    values = {f.attname: getattr(row, f.attname) for f in row._meta.fields if not f.primary_key}
    return type(row)(**{**values, **{_attname(row, k): _key(v) for k, v in changes.items()}})


def copy_rows(model: Any, parent: str, pairs: list[tuple[int, int]]) -> None:
    """Copy all rows of each old parent to its new one, inside the database."""
    from django.db import connection

    quote = connection.ops.quote_name
    names = [f.column for f in model._meta.fields if not f.primary_key and f.column != parent]
    columns, table = ", ".join(map(quote, names)), quote(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({quote(parent)}, {columns}) "
            f"SELECT %s, {columns} FROM {table} WHERE {quote(parent)} = %s",
            pairs,
        )


def _attname(row: Any, name: str) -> str:
    return str(row._meta.get_field(name).attname)


def _key(value: Any) -> Any:
    return getattr(value, "pk", value)


def _forever(items: list[Any]) -> Iterator[Any]:
    while True:
        yield from items


def _add_checkpoints() -> list[Any]:
    """A base and what was trained from it, each the model of a run of 100 episodes."""
    from apps.accounts.models import Project
    from apps.checkpoints.models import Checkpoint, CheckpointFile

    project = Project.objects.get()
    made: list[Any] = []
    for number in range(N_CHECKPOINTS):
        row = Checkpoint.objects.create(
            uid=f"ck_{number:012x}", project=project, model_id=MODEL.format(number),
            kind="sft" if made else "base", base=made[-1] if made else None, size_bytes=1,
            trained_seeds=[["crafter", "", [[0, 99]]]] if made else [],
        )  # fmt: skip
        CheckpointFile.objects.create(
            checkpoint=row, path="config.json", sha256="0" * 64, size=1, storage_key="none"
        )
        made.append(row)
    return made


def _copies() -> list[int]:
    from apps.runs.models import Run

    return list(
        Run.objects.filter(name__startswith="copy", kind="eval")
        .order_by("id")
        .values_list("pk", flat=True)
    )


def _add_dataset(instance: Instance, runs: list[int]) -> int:
    body = {"name": "games", "filter": {"runs": [str(pk) for pk in runs]}}
    return int(instance.call("POST", "/api/v1/datasets", body)["id"])


def _add_live(run_id: int) -> int:
    """64 games in progress, each with the last picture of a stored one; the id of one."""
    from django.utils.timezone import now

    from apps.runs.models import LiveView, Shard
    from apps.traces.models import Episode

    shard = Shard.objects.get(run=run_id)
    views = list(Episode.objects.filter(run=run_id).values_list("final_view", flat=True))
    rows = [
        LiveView(
            run_id=run_id, shard=shard, key=f'["crafter","x",{seed},0,0]', seed=seed,
            model="random", version=1, updated_at=now() + timedelta(hours=1),
            data={
                "first_step": 90, "views": [views[seed % len(views)]] * 10, "rewards": [0.0] * 10,
                "unlocks": [["collect_wood", 7]], "n_turns": 99, "call": "do", "past_return": 1.0,
            },
        )
        for seed in range(N_LIVE)
    ]  # fmt: skip
    return int(LiveView.objects.bulk_create(rows)[-1].pk)


def _ids(run_id: int) -> dict[str, Any]:
    """Of what was copied: a run and another, one of RL, eight; first and last trace; a model."""
    from apps.runs.models import Run
    from apps.traces.models import Episode

    runs = _copies()
    return {
        "run": runs[-1],
        "other": runs[0],
        "rl": Run.objects.get(kind="rl").pk,
        "eight": ",".join(str(pk) for pk in runs[-8:]),
        "trace": Episode.objects.filter(run=runs[-1]).latest("id").pk,
        "first_trace": Episode.objects.filter(run=runs[0]).latest("id").pk,
        "model": MODEL.format(3),
        "config": Run.objects.get(pk=run_id).config_id,
    }
