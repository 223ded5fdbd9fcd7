"""The pages of runs, games, data, models and configs. Each function lists one page's commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from apps.accounts.models import Role
from apps.checkpoints.models import Checkpoint
from apps.datasets.models import Dataset
from apps.launch.queries import PipelineRow
from apps.runs.models import Config, Run
from apps.runs.queries import QueueRow, RunDetail, RunRow
from apps.runs.queries.live import LiveRow
from apps.traces.models import Episode
from apps.traces.queries import EpisodeRow
from apps.web.terminal import (
    Command,
    as_toml,
    fetch,
    manage,
    send,
    send_file,
    send_toml,
)

EVAL = {"type": "eval", "model": "guide", "seeds": [1, 2, 3]}


def of_home() -> list[Command]:
    loop = "configs/loop_demo.toml"
    return [
        manage("the short loop, with its table of scores at the end", "loop", loop),
        send_toml("the same, without waiting", loop, "/pipelines"),
        manage(
            "watch random play", "import_config", "configs/crafter_eval_random.toml", "--launch"
        ),
        fetch("what runs and what waits", "/queue"),
    ]


def of_run(run: RunDetail, config: Config | None) -> list[Command]:
    at = f"/runs/{run.id}"
    notes = {"notes": run.notes or "what I think of it", "tags": list(run.tags) or ["mine"]}
    return [
        fetch("its state, progress and result", at),
        manage("follow it until it is over", "run", str(run.id), "--follow", role=Role.VIEWER),
        fetch("its events", f"{at}/events", {"after": 0}),
        fetch("its curves", f"{at}/metrics"),
        send("stop it, while it runs", "POST", f"{at}/cancel"),
        send("go on with it, once it failed or was stopped", "POST", f"{at}/resume"),
        send("play its broken games again", "POST", f"{at}/retry-failed"),
        send("run the same again", "POST", f"{at}/clone"),
        *([_download(config)] if config else []),
        send("write notes and tags on it", "PATCH", at, notes),
    ]


def of_runs(filters: dict[str, Any], query: str, rows: Sequence[RunRow]) -> list[Command]:
    run = f"/runs/{rows[0].id if rows else 1}"
    return [
        fetch("this list", "/runs", filters),
        *_views("runs", query),
        send("tag a run", "PATCH", run, {"tags": ["good"]}),
        send("stop one, as for each that is ticked", "POST", f"{run}/cancel"),
        send("go on with one that failed", "POST", f"{run}/resume"),
        send("play its broken games again", "POST", f"{run}/retry-failed"),
    ]


def of_queue(rows: Sequence[QueueRow]) -> list[Command]:
    run = f"/runs/{rows[0].run_id if rows else 1}"
    return [
        fetch("what runs and what waits", "/queue"),
        fetch("the workers", "/workers"),
        send("let a run go first", "PATCH", run, {"priority": 0}),
        send("stop it", "POST", f"{run}/cancel"),
    ]


def of_trace(episode: Episode, step: int, unseen: bool) -> list[Command]:
    """`unseen`: imported without pictures, so that no branch can begin in it."""
    at = f"/traces/{episode.pk}"
    found = [
        fetch("its turns: what was sent, said and played", at),
        fetch("its steps: pictures, actions, rewards", f"{at}/steps"),
        send("play it again and compare every step", "POST", f"{at}/verify"),
        send("put a label on it", "PATCH", at, {"add": ["nice"]}),
        manage("take it out as tracing v3", "export_traces", "--trace", str(episode.pk), "--out",
               "trace.db"),
    ]  # fmt: skip
    if not unseen:
        body = {"step": step, "model": "guide", "n": 8}
        fork = {"type": "fork", "trace": episode.pk, "step": step, "model": "guide", "repeats": 8}
        found += [
            send("fork it at this step", "POST", f"{at}/fork", body),
            as_toml("the same as TOML", "fork.toml", fork),
            fetch("how its branches ended", f"{at}/forks"),
        ]
    return found


def of_traces(filters: dict[str, Any], query: str, rows: Sequence[EpisodeRow]) -> list[Command]:
    trace = f"/traces/{rows[0].episode.pk if rows else 1}"
    words = {"run": "--run", "model": "--model", "task": "--task", "min_unique": "--min-unique"}
    flags = [
        word
        for name, flag in words.items()
        if filters.get(name)
        for word in (flag, str(filters[name]))
    ]
    kept = {name: _json_word(value) for name, value in filters.items()}
    return [
        fetch("this list", "/traces", kept),
        manage(
            "games of such a run, model, task and score as tracing v3",
            "export_traces",
            *flags,
            "--out",
            "games.db",
        ),
        *_views("traces", query),
        send("label a game, as for each that is ticked", "PATCH", trace, {"add": ["nice"]}),
        send("take the label off", "PATCH", trace, {"remove": ["nice"]}),
        send("play one again and compare every step", "POST", f"{trace}/verify"),
    ]


def of_import() -> list[Command]:
    return [
        manage("import a file that lies on the server", "import_traces", "FILE.db"),
        send_file("upload one", "FILE.db", "/uploads"),
        manage("the way back", "export_traces", "--run", "7", "--out", "FILE.db"),
    ]


def of_compare(ids: list[int]) -> list[Command]:
    runs = ",".join(str(pk) for pk in ids) or "1,2"
    return [fetch("each against the first, paired by world", "/compare", {"runs": runs})]


def of_curves(runs: Sequence[Run], names: list[str]) -> list[Command]:
    query = {"name": names[:1], "after": 0}
    return [fetch("the points of a curve", f"/runs/{run.pk}/metrics", query) for run in runs[:8]]


def of_dataset(dataset: Dataset, task: str) -> list[Command]:
    at, word = f"/datasets/{dataset.pk}", f"job.data=dataset:{dataset.pk}"
    config = f"configs/{task}_sft_small.toml"
    files = [
        fetch(f"its records for {name}", f"{at}/export", {"format": name}, "-o data.jsonl")
        for name in ("trl", "openai", "synth")
    ]
    train = manage("fine-tune on it", "import_config", config, "--launch", "--set", word)
    found = [fetch("its filter, figures and leaks", at), *files, train]
    if dataset.parent_id is not None:
        found.append(
            fetch("what changed since that version", f"{at}/diff", {"from": dataset.parent_id})
        )
    return found


def of_new_dataset(filter: dict[str, Any]) -> list[Command]:
    body = {"name": "good games", "filter": filter}
    return [
        send("what this filter gives", "POST", "/datasets/preview", {"filter": filter}),
        send("make the dataset", "POST", "/datasets", body),
        send_file("or upload records", "records.jsonl", "/uploads"),
        manage("games of our own as a file", "export_sft", "--output", "good.jsonl",
               "--min-unique", "3"),
    ]  # fmt: skip


def of_datasets() -> list[Command]:
    return [fetch("this list", "/datasets")]


def of_checkpoint(checkpoint: Checkpoint, task: str) -> list[Command]:
    at, model = f"/checkpoints/{checkpoint.uid}", checkpoint.model_id
    config, train = f"configs/{task}_eval_base.toml", f"configs/{task}_sft_small.toml"
    named = ["--set", f"model={model}"]
    return [
        fetch("its lineage, scores and files", at),
        fetch("all of it as one zip", f"{at}/archive", None, "-o model.zip"),
        manage("evaluate it", "import_config", config, "--launch", *named),
        manage("watch it play one game", "import_config", config, "--launch", *named, "--set",
               "seeds=[500000000]"),
        manage("train on from here", "import_config", train, "--launch", "--set",
               f"job.model={model}", "--set", "job.data=dataset:1"),
        send("load it now", "POST", f"{at}/serve"),
        send("unload it", "POST", f"{at}/stop"),
    ]  # fmt: skip


def of_import_model() -> list[Command]:
    model = "Qwen/Qwen3-0.6B"
    return [
        manage("import from the hub, and follow", "import_model", model),
        manage("a folder of the server", "import_model", "/path/to/folder", "--name", "my/model"),
        send("queue it and return", "POST", "/checkpoints/import", {"source": model}),
    ]


def of_checkpoints() -> list[Command]:
    return [fetch("this list", "/checkpoints")]


def of_config(config: Config) -> list[Command]:
    name = config.name or "config.toml"
    return [
        send("launch it", "POST", "/runs", {"config_id": config.pk, "launch": True}),
        _download(config),
        manage("launch it from a file", "import_config", name, "--launch"),
        manage("what a launch would start", "import_config", name, "--dry-run"),
    ]


def of_new_config(kind: str) -> list[Command]:
    return [
        send_toml("store a file", "FILE.toml", "/configs"),
        send_toml("store and launch it", "FILE.toml", "/runs"),
        send("the same as JSON", "POST", "/runs", {"config": EVAL}),
        manage("from the server's own shell", "import_config", "FILE.toml", "--launch"),
        fetch("every key of this kind", "/config-schema", {"kind": kind}),
    ]


def of_configs() -> list[Command]:
    return [fetch("this list", "/configs"), *of_new_config("eval")[:2]]


def of_pipeline(pipeline: PipelineRow) -> list[Command]:
    at = f"/pipelines/{pipeline.id}"
    return [
        fetch("its stages and its table of scores", at),
        send("stop it, while it runs", "POST", f"{at}/cancel"),
        send("go on behind a failed stage", "POST", f"{at}/continue", {}),
    ]


def of_pipelines() -> list[Command]:
    return [fetch("this list", "/pipelines"), *of_home()[:2]]


def of_live(games: Sequence[LiveRow]) -> list[Command]:
    run_id = games[0].run_id if games else 1
    stream = '-N -H "Accept: text/event-stream"'
    return [
        fetch(
            "what happens in a run, as it happens", f"/runs/{run_id}/events", {"after": 0}, stream
        ),
        fetch("its games so far", "/traces", {"run": run_id}),
    ]


def _views(page: str, query: str) -> list[Command]:
    body = {"page": page, "name": "my view", "query": query or "order=id"}
    return [
        send("keep these filters under a name", "POST", "/views", body),
        fetch("the names that are kept", "/views", {"page": page}),
    ]


def _download(config: Config) -> Command:
    more = "| jq -r .toml > config.toml"
    return fetch("its TOML", f"/configs/{config.pk}", None, more)


def _json_word(value: Any) -> Any:
    """As the API reads it in an address: true, not True."""
    return json.dumps(value) if isinstance(value, bool) else value
