"""From names to things an engine can use: paths on this machine, addresses, keys.

`run.inputs` names checkpoints, datasets and stored files by id; an engine knows only files and
URLs. Keys go into the child's environment, never into `config.json`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings

from apps.checkpoints.models import Checkpoint
from apps.checkpoints.services import local_folder
from apps.datasets.models import Dataset
from apps.datasets.services import local_file
from apps.providers.models import Provider
from apps.providers.queries import key_of
from apps.providers.urls import check_url
from apps.runs import storage
from apps.runs.keys import PROVIDER_KEY, RUN_KEY, TASK_APP_KEY, make_run_key
from apps.runs.models import Run
from engine.errors import ConfigError
from synthweb.env import inherited

# What reaches the hub where the operator says how; no other engine is given it.
HUB = ("HF_TOKEN", "HF_ENDPOINT", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy",
       "http_proxy", "no_proxy")  # fmt: skip


class Prepared(NamedTuple):
    """Inputs with paths, and the keys to hand over by environment."""

    inputs: dict[str, Any]
    environment: dict[str, str]


def prepare_inputs(run: Run, attempt_id: int) -> Prepared:
    """Resolve a run's inputs on this machine; files that are missing here are fetched.

    Raises ConfigError when something was deleted meanwhile, StorageError when fetching failed.
    """
    environment: dict[str, str] = {}
    parts = {"policy": _policy, "task_app": _task_app, "vllm": _generator}
    inputs = {
        name: _with_path(run, value) for name, value in run.inputs.items() if name not in parts
    }
    for name, prepare in parts.items():
        if name in run.inputs:
            inputs[name] = prepare(run, attempt_id, dict(run.inputs[name]), environment)
    source = run.inputs.get("source")
    if isinstance(source, dict) and "repo" in source:
        environment |= inherited(HUB)
    return Prepared(inputs, environment)


def _with_path(run: Run, value: Any) -> Any:
    """Add `path` to every object that names a checkpoint, a dataset or a stored file."""
    if isinstance(value, list):
        return [_with_path(run, item) for item in value]
    if not isinstance(value, dict):
        return value
    if "checkpoint_id" in value:
        return {**value, "path": str(local_folder(_checkpoint(run, value["checkpoint_id"])))}
    if "dataset_id" in value:
        dataset = Dataset.objects.filter(project=run.project_id, pk=value["dataset_id"]).first()
        if dataset is None:
            raise ConfigError(f"Dataset {value['dataset_id']} was deleted.")
        return {**value, "path": str(local_file(dataset))}
    if "storage_key" in value:
        cache = settings.SYNTHWEB_HOME / "cache" / "files"
        return {**value, "path": str(storage.local_path(value["storage_key"], cache))}
    return value


def _checkpoint(run: Run, checkpoint_id: int) -> Checkpoint:
    found = Checkpoint.objects.filter(project=run.project_id, pk=checkpoint_id, deleted_at=None)
    checkpoint = found.first()
    if checkpoint is None:
        raise ConfigError(f"Checkpoint {checkpoint_id} was deleted.")
    return checkpoint


def _policy(
    run: Run, attempt_id: int, policy: dict[str, Any], environment: dict[str, str]
) -> dict[str, Any]:
    """The policy with the address and the name of the key that the child finds."""
    if "checkpoint_id" in policy:
        _checkpoint(run, policy["checkpoint_id"])
        policy["base_url"] = f"{settings.INTERNAL_URL}/api/inference/v1"  # as this machine has it
        name = policy.setdefault("key_env", RUN_KEY)
        environment[name] = make_run_key(run.project_id, run.pk, attempt_id)
    elif policy.get("provider_id"):
        provider = _provider(run, policy)
        if "task_app" not in run.inputs:  # which calls the model itself, with a key of its own
            environment[policy.setdefault("key_env", PROVIDER_KEY)] = key_of(provider)
            policy["address"] = check_url(policy["base_url"]).address  # for the whole attempt
    return policy


def _task_app(
    run: Run, attempt_id: int, task_app: dict[str, Any], environment: dict[str, str]
) -> dict[str, Any]:
    """The remote task app with the address that was checked and the name of its key."""
    if task_app.get("provider_id"):
        environment[task_app.setdefault("key_env", TASK_APP_KEY)] = key_of(_provider(run, task_app))
    task_app["address"] = check_url(task_app["url"]).address  # pinned for the whole attempt
    return task_app


def _generator(
    run: Run, attempt_id: int, server: dict[str, Any], environment: dict[str, str]
) -> dict[str, Any]:
    """The vLLM server with the address that was checked and the name of its key."""
    if server.get("provider_id"):
        environment[server.setdefault("key_env", PROVIDER_KEY)] = key_of(_provider(run, server))
    server["address"] = check_url(server["url"]).address  # pinned for the whole attempt
    return server


def _provider(run: Run, named: dict[str, Any]) -> Provider:
    """The record that an input names. Raises ConfigError when it is gone or turned off."""
    provider = Provider.objects.filter(project=run.project_id, pk=named["provider_id"]).first()
    if provider is None or not provider.enabled:
        raise ConfigError(
            f"The provider {named.get('provider', named['provider_id'])} is gone or off.",
            hint="Turn it on under Settings → Providers, then resume the run.",
        )
    return provider
