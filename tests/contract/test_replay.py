"""The recorded calls of `synth-ai train`, sent again: same status, and every field there."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.runs.models import Run
from tests.contract.calls import JSONL, recorded, written

pytestmark = pytest.mark.django_db
RECORDINGS = ("cli_sft_0.2.12.json", "cli_sft_0.2.16.json", "cli_rl_0.2.12.json")


class Replay:
    """Sends calls in turn; ids of the recording become those that this instance gave."""

    def __init__(self, key: str) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {key}"})
        self.ids = {}

    def send(self, call: dict[str, Any]) -> Any:
        path, body = self._put_in(call["path"]), call["body"]
        if path.endswith("/files"):
            upload = SimpleUploadedFile("ds.jsonl", JSONL, "application/jsonl")
            return self.client.post(path, {"purpose": "fine-tune", "file": upload})
        if call["method"] == "GET":
            return self.client.get(path)
        if isinstance(body, dict) and "training_file_id" in body:
            body = {**body, "training_file_id": self.ids["file"]}
        headers = {k: v for k, v in call["headers"].items() if k == "idempotency-key"}
        return self.client.post(path, body or {}, "application/json", headers=headers)

    def learn(self, answer: dict[str, Any]) -> None:
        self.ids["job" if answer["object"] == "job" else "file"] = answer["id"]

    def _put_in(self, path: str) -> str:
        for part in path.split("/"):
            if part in ("FILE", "JOB") or part.startswith(("file-", "job_")):
                kind = "file" if part.lower().startswith("file") else "job"
                path = path.replace(part, self.ids[kind])
        return path


def replay(calls: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    sender, answers = Replay(key), []
    for call in calls:
        answer = sender.send(call)
        assert answer.status_code == call["status"], (call["path"], answer.content)
        assert answer.headers["Content-Type"].startswith("application/json")
        found = answer.json()
        assert call["response"].keys() <= found.keys(), call["path"]
        sender.learn(found)
        answers.append(found)
    return answers


@pytest.fixture
def key(alice, key_of) -> str:
    return key_of(alice)


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_recorded_call_gets_the_recorded_status_and_fields(starter, key, name):
    answers = replay(recorded(name), key)
    assert Run.objects.get().job_id == answers[-1]["id"]


@pytest.mark.parametrize("name", written())
def test_the_same_for_the_calls_that_the_contract_names(starter, key, name):
    answers = replay(written()[name], key)
    assert Run.objects.get().job_id == answers[-1]["id"]


def test_a_job_waits_for_its_start_and_is_a_run_with_a_dataset_like_any_other(starter, key):
    sender = Replay(key)
    calls = written()["sft 0.2.12"]
    for call in calls[:3]:
        sender.learn(sender.send(call).json())
    run = Run.objects.get()
    assert (run.state, run.kind, run.job_id) == ("draft", "sft", sender.ids["job"])
    started = sender.send(calls[3]).json()
    run.refresh_from_db()
    assert (run.state, started["status"]) == ("queued", "queued")
    data = run.input_rows.get(role="data")
    assert data.kind == "dataset"
    assert run.resolved["hyperparameters"]["gradient_accumulation_steps"] == 64
    assert run.resolved["training"]["validation"]["eval_steps"] == 20


def test_the_job_says_what_stands_for_the_model_that_was_asked_for(starter, key):
    answers = replay(written()["sft 0.2.12"], key)
    assert answers[-1]["model"] == "Qwen/Qwen3-4B"
    assert answers[-1]["base_model_resolved"] == "synthweb/crafter-small"
    assert "the operator set this alias" in " ".join(answers[-1]["warnings"])


def test_without_an_alias_the_refusal_lists_what_can_be_trained(actor, key):
    sender = Replay(key)
    calls = written()["sft 0.2.12"]
    sender.learn(sender.send(calls[0]).json())
    refused = sender.send(calls[2])
    assert refused.status_code == 422
    assert "synthweb/crafter-small" in refused.json()["detail"]
    assert "alias" in refused.json()["detail"]
    assert Run.objects.count() == 0
