"""A client of Synth's: it calls `/api/…` with a key and sends forms and JSON as synth-ai does."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.contract.calls import JSONL, RL, SFT
from tests.contract.conftest import starter

__all__ = ["starter"]


class SynthClient:
    """Answers are django test responses, those of the verbs below their JSON."""

    def __init__(self, key: str) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {key}"})

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api{path}", query)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.post(f"/api{path}", body or {}, "application/json", headers=headers)

    def upload(self, content: bytes = JSONL, path: str = "/files", name: str = "ds.jsonl") -> Any:
        form = {"purpose": "fine-tune", "file": SimpleUploadedFile(name, content)}
        return self.client.post(f"/api{path}", form)

    def make_sft(self, **changes: Any) -> dict[str, Any]:
        """A fine-tuning of Qwen/Qwen3-4B that waits for its start."""
        body = {**SFT, "training_file_id": self.upload().json()["id"], **changes}
        made = self.post("/learning/jobs", body)
        assert made.status_code == 201, made.content
        return dict(made.json())

    def make_rl(self, **changes: Any) -> dict[str, Any]:
        made = self.post("/rl/jobs", {**RL, **changes})
        assert made.status_code == 201, made.content
        return dict(made.json())

    def make_rl_with_key(self, key: str) -> dict[str, Any]:
        return dict(self.post("/rl/jobs", RL, **{"Idempotency-Key": key}).json())

    def events(self, job: str, **query: Any) -> list[dict[str, Any]]:
        return list(self.get(f"/learning/jobs/{job}/events", **query).json()["events"])


@pytest.fixture
def synth(alice, key_of) -> SynthClient:
    return SynthClient(key_of(alice))
