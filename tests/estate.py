"""One of everything in a project, for the tests that knock at every door."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.utils.timezone import now

from apps.accounts.queries import Actor
from apps.accounts.saved import save_view
from apps.accounts.services import create_api_key
from apps.checkpoints.models import Checkpoint, CheckpointFile
from apps.datasets.models import Dataset
from apps.launch import services as launch
from apps.launch.models import Pipeline, Webhook
from apps.providers.models import Provider
from apps.runs.models import Run
from apps.runs.services import store_config
from apps.synth.models import SynthFile
from apps.traces.models import Episode
from tests.games import make_run, make_trace, store_games

PIPELINE = """
type = "pipeline"
[stages.look.config]
type = "eval"
model = "random"
seeds = [1]
"""


class Estate(NamedTuple):
    """Ids of a project's things, under the names that addresses use for them."""

    run_id: int
    trace_id: int
    config_id: int
    dataset_id: int
    uid: str
    provider_id: int
    pipeline_id: int
    key_id: int
    member_id: int
    username: str
    webhook_id: int
    job_id: str = ""
    file_id: str = ""
    view_id: int = 0
    path: str = "config.json"
    secret: str = "estate-secret"  # stands in every name: must never reach a stranger

    trainer_id: str = "any"

    @property
    def model_id(self) -> str:
        """A model is found by its address too, which holds no secret."""
        return self.uid

    def fill(self, names: set[str]) -> dict[str, Any]:
        """Values for the parameters of an address; a name nobody knows fails loudly."""
        return {name: getattr(self, name) for name in names}


def make_estate(actor: Actor) -> Estate:
    """One run with an episode, a config, dataset, checkpoint, provider, pipeline and key."""
    project, secret = actor.project, Estate._field_defaults["secret"]
    run: Run = make_run(project, name=secret, model=secret)
    [episode] = store_games(run, [make_trace(7, model=secret)])
    assert isinstance(episode, Episode)
    config = store_config(
        project=project, user=actor.user, name=secret, kind="eval", toml="", data={}
    )
    dataset = Dataset.objects.create(
        project=project, name=secret, version=1, sha256="0" * 64, source="filter",
        n_records=0, size_bytes=0, storage_key="datasets/00/0",
    )  # fmt: skip
    checkpoint = Checkpoint.objects.create(
        uid="ck_00000000beef", project=project, model_id=secret, kind="base"
    )
    CheckpointFile.objects.create(
        checkpoint=checkpoint, path="config.json", sha256="0" * 64, size=1, storage_key="x"
    )
    provider = Provider.objects.create(
        project=project, name=secret, base_url="https://example.org/v1",
        origin="https://example.org:443",
    )  # fmt: skip
    stages = launch.import_config(actor=actor, text=PIPELINE, name=f"{secret}.toml")
    pipeline = launch.start_pipeline(actor=actor, config=stages)
    assert isinstance(pipeline, Pipeline)
    file = SynthFile.objects.create(
        project=project, dataset=dataset, purpose=secret, filename=secret, size_bytes=0
    )
    made = create_api_key(project=project, user=actor.user, name=secret, scopes=["read"])
    member = actor.project.membership_set.get(user=actor.user)
    hook = Webhook.objects.create(
        project=project, url=f"https://example.org/{secret}", encrypted_secret="", seen_until=now()
    )
    view = save_view(actor=actor, page="traces", name=secret, query="model=x")
    return Estate(
        run.pk, episode.pk, config.pk, dataset.pk, checkpoint.uid, provider.pk, pipeline.pk,
        made.key.pk, member.pk, actor.user.username, hook.pk, run.job_id, file.file_id,
        view.pk,
    )  # fmt: skip
