"""What the names in a config stand for: who plays, what is trained, on what.

A name is resolved once, at launch, and frozen into `Run.inputs`; RUNS' worker turns ids into paths
and keys. Nothing here starts anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.accounts.errors import Refused
from apps.accounts.models import Project, User
from apps.checkpoints.models import Checkpoint
from apps.checkpoints.queries import find_model, list_model_ids
from apps.datasets.models import Dataset
from apps.datasets.services import upload_dataset
from apps.launch.services.starters import starters
from apps.providers.models import Provider, ProviderKind
from apps.providers.queries import (
    has_provider,
    limits_of,
    price_of,
    provider_by_name,
    provider_for_url,
    resolve_alias,
)
from apps.runs.keys import PROVIDER_KEY, RUN_KEY
from apps.runs.services import InputPlan
from engine.config import Play

PLACEHOLDERS = ("YOUR-", "YOUR_", "your-", "your_", "<", "example.com")
HOUSE = "synth"  # what Synth's configs call a provider that serves the models trained there
SCRIPTED = ("random", "guide")
TRAINED = ("ft:", "fft:", "qft:", "rl:")


@dataclass(frozen=True)
class Found:
    """What a name stands for: for `Run.inputs`, for the lineage, and in words."""

    inputs: dict[str, Any]
    rows: tuple[InputPlan, ...] = ()
    warnings: tuple[str, ...] = ()
    checkpoint: Checkpoint | None = field(default=None, compare=False)


def is_placeholder(url: str) -> bool:
    """Whether an address of an example was left as it is: then it names nothing."""
    return any(word in url for word in PLACEHOLDERS)


def find_policy(project: Project, play: Play) -> Found:
    """Who plays. Raises Refused(422) for a name that stands for nothing here."""
    if play.provider == "builtin" or (not play.provider and play.model in SCRIPTED):
        if play.model not in SCRIPTED:
            raise _unknown("model", play.model, SCRIPTED, "The provider builtin has")
        return Found({"kind": play.model})
    url = "" if is_placeholder(play.inference_url) else play.inference_url
    house = play.provider == HOUSE and not has_provider(project, HOUSE)
    if play.provider and not house:
        provider = provider_by_name(project=project, name=play.provider)
        return _of_provider(provider, play.model)
    trained = play.model.startswith(TRAINED)
    if url and not trained and not _is_ours(url):
        # An origin that no provider has is refused there: no key is ever sent to it.
        return _of_provider(provider_for_url(project=project, url=url), play.model)
    checkpoint, warnings = find_checkpoint(project, play.model)
    inputs = {
        "kind": "openai",
        "name": "checkpoint",
        "base_url": f"{settings.INTERNAL_URL}/api/inference/v1",
        "model": checkpoint.model_id,
        "key_env": RUN_KEY,
        **_ids(checkpoint),
    }
    row = InputPlan("checkpoint", checkpoint.pk, "policy")
    return Found(inputs, (row,), warnings, checkpoint)


def find_base(project: Project, model: str) -> Found:
    """What a training starts from. Raises Refused(422) when it is not on this machine."""
    checkpoint, warnings = find_checkpoint(project, model)
    root = checkpoint.base_model or checkpoint.model_id
    inputs = {
        **_ids(checkpoint),
        "model_id": checkpoint.model_id,
        "base_model": root if model.startswith(TRAINED) else model,
        "base_model_resolved": checkpoint.base_model_resolved or checkpoint.model_id,
        "weights_model_id": (checkpoint.weights or checkpoint).model_id,
    }
    return Found(inputs, (InputPlan("checkpoint", checkpoint.pk, "base"),), warnings, checkpoint)


def find_checkpoint(project: Project, model: str) -> tuple[Checkpoint, tuple[str, ...]]:
    """The checkpoint with this model id; one that an alias names comes with a warning."""
    checkpoint = find_model(project.pk, model)
    if checkpoint is not None:
        return checkpoint, ()
    resolved = resolve_alias(project=project, model=model)
    if resolved != model:
        checkpoint = find_model(project.pk, resolved)
        if checkpoint is not None:
            return checkpoint, (f"{model} is {resolved} here: the operator set this alias.",)
    raise _unknown("model", resolved, _trainable(project), "Models on this machine:")


def _trainable(project: Project) -> list[str]:
    """What a config may name: the project's checkpoints and the starting models."""
    return list(dict.fromkeys([*list_model_ids(project.pk), *starters()]))


def find_data(
    project: Project, user: User | None, name: str, role: str, *, dry: bool = False
) -> Found:
    """A dataset by `dataset:ID`, or a JSONL file below configs/ or SYNTHWEB_HOME.

    The file becomes a dataset; with `dry` it is only looked for. Raises Refused(422) when the
    config names none, or one that is not there.
    """
    if not name:
        raise Refused(
            "no_data",
            "The config names no data.",
            "Launch with --set job.data=dataset:ID (or a JSONL file).",
            status=422,
            fields={"job.data": "missing"},
        )
    kind, _, rest = name.partition(":")
    if kind == "dataset":
        pk = int(rest) if rest.isascii() and rest.isdigit() and len(rest) < 19 else 0
        dataset = Dataset.objects.filter(project=project, pk=pk).first()
        if dataset is None:
            raise Refused("unknown_dataset", f"There is no dataset {rest[:60]!r} here.", status=422)
    else:
        path = _data_file(name)
        if dry:
            return Found({"file": str(path)})
        with path.open("rb") as file:  # the same content again is the same dataset
            dataset = upload_dataset(project=project, user=user, name=path.stem, file=file)
    inputs = {"dataset_id": dataset.pk, "sha256": dataset.sha256, "n_records": dataset.n_records}
    return Found(inputs, (InputPlan("dataset", dataset.pk, role, dataset.sha256),))


def _data_file(name: str) -> Path:
    """A JSONL file that a config may name. Raises Refused(422)."""
    allowed = [settings.BASE_DIR / "configs", settings.SYNTHWEB_HOME]
    path = (settings.BASE_DIR / name).resolve()
    if not any(path.is_relative_to(Path(folder).resolve()) for folder in allowed):
        raise Refused(
            "outside",
            f"{name} lies outside configs/ and SYNTHWEB_HOME.",
            "Upload the file as a dataset and name dataset:ID.",
            status=422,
        )
    if not path.is_file() or path.suffix != ".jsonl":
        raise Refused("unknown_dataset", f"There is no JSONL file {name}.", status=422)
    return path


def _of_provider(provider: Provider, model: str) -> Found:
    """The policy of a provider's model, in the form that engine.rollout.policies reads."""
    if provider.kind != ProviderKind.OPENAI:
        message = f"The provider {provider.name} is a task app, no model API."
        raise Refused("wrong_provider", message, status=422)
    price = price_of(provider, model)
    return Found(
        {
            "kind": "openai",
            "base_url": provider.base_url.rstrip("/"),
            "model": model,
            "key_env": PROVIDER_KEY,
            "provider_id": provider.pk,
            "provider": provider.name,
            "name": provider.name,
            "prices": {"prompt_usd": price.input, "completion_usd": price.output} if price else {},
            "limits": limits_of(provider),
        }
    )


def _is_ours(url: str) -> bool:
    return any(
        url == base or url.startswith(f"{base}/")
        for base in (settings.PUBLIC_URL, settings.INTERNAL_URL)
    )


def _ids(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"checkpoint_id": checkpoint.pk, "checkpoint_uid": checkpoint.uid}


def _unknown(what: str, name: str, known: Any, lead: str) -> Refused:
    names = ", ".join(list(known)[:20]) or "none yet"
    hint = f"{lead} {names}."
    if what == "model":
        hint += (
            " For a model API name its provider; for another base ask the operator for an alias."
        )
    return Refused(f"unknown_{what}", f"There is no {what} {name[:200]!r} here.", hint, status=422)
