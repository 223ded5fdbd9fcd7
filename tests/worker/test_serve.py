"""The serve slot with a real model server: wanted, loaded, answering, stopped."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest
from django.db import connection

from apps.accounts.models import Project
from apps.checkpoints.models import (
    Checkpoint,
    CheckpointFile,
    ModelServer,
    ServedModel,
    ServerState,
)
from apps.checkpoints.services import secret_of, stop_model, want_model
from apps.runs import storage
from apps.worker.serve import run_server
from tests.servers.waiting import wait_until

pytest.importorskip("torch")
MAX_MODELS = 4  # bases of one process: engine/serve/models.py
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkpoint that knows nothing, in the form that every checkpoint has."""
    from engine.train.card import Card, write_final
    from tests.engine.train.cast import tiny_model, tiny_tokenizer

    made = tmp_path_factory.mktemp("model")
    tokenizer = tiny_tokenizer()
    write_final(tiny_model(tokenizer), tokenizer, made / "final", Card("t", "", "", "", {}, {}))
    return made / "final"


@pytest.fixture
def checkpoint(folder, project) -> Checkpoint:
    return store(folder, project, "ck_0123456789ab", "synthweb/tiny")


def store(
    folder: Path, project: Project, uid: str, model_id: str, weights: Checkpoint | None = None
) -> Checkpoint:
    """A checkpoint's row with its files."""
    row = Checkpoint.objects.create(
        uid=uid, project=project, model_id=model_id, kind="base", base=weights, weights=weights
    )
    for path in (p for p in folder.rglob("*") if p.is_file()):
        sha256 = storage.file_digest(path)
        CheckpointFile.objects.create(
            checkpoint=row,
            path=str(path.relative_to(folder)),
            sha256=sha256,
            size=path.stat().st_size,
            storage_key=storage.put_file(path, sha256=sha256, prefix="checkpoints"),
        )
    return row


@pytest.fixture
def slot(checkpoint):
    """A serve slot in a thread, as a worker has it; stopped at the end."""
    stopping = threading.Event()
    server = want_model(checkpoint).server

    def work() -> None:
        try:
            run_server(server.pk, stopping)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield stopping
    stopping.set()
    thread.join(30)
    assert not thread.is_alive()


def state_of(checkpoint: Checkpoint) -> str:
    return ServedModel.objects.values_list("state", flat=True).get(checkpoint=checkpoint)


def test_a_wanted_checkpoint_answers_and_goes_when_nobody_wants_it(slot, checkpoint):
    wait_until(lambda: state_of(checkpoint) == ServerState.READY, "the model to be ready", 120)
    server = ModelServer.objects.get()
    headers = {"Authorization": f"Bearer {secret_of(server)}"}
    body = {
        "model": checkpoint.uid,
        "messages": [{"role": "user", "content": "tree left 1"}],
        "max_tokens": 4,
    }
    with httpx.Client(base_url=server.address, headers=headers, timeout=60) as client:
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] >= 1
        stop_model(checkpoint)
        wait_until(lambda: not client.get("/v1/models").json()["data"], "the model to go", 30)
    slot.set()
    wait_until(
        lambda: ModelServer.objects.get().state == ServerState.WANTED, "the server to go", 30
    )
    assert ModelServer.objects.get().address == ""


def test_a_damaged_checkpoint_is_an_error_of_the_model_alone(slot, checkpoint):
    wait_until(lambda: state_of(checkpoint) == ServerState.READY, "the model to be ready", 120)
    broken = Checkpoint.objects.create(
        uid="ck_ffffffffffff", project=checkpoint.project, model_id="synthweb/none", kind="base"
    )
    want_model(broken)
    wait_until(lambda: state_of(broken) == ServerState.FAILED, "the model to fail", 60)
    assert ServedModel.objects.get(checkpoint=broken).error
    assert state_of(checkpoint) == ServerState.READY


def test_a_model_that_made_room_for_others_is_loaded_again_when_wanted(slot, checkpoint, folder):
    others = [
        store(folder, checkpoint.project, f"ck_00000000000{n}", f"synthweb/other{n}")
        for n in range(MAX_MODELS)
    ]
    for wanted in (checkpoint, *others):
        want_model(wanted)
        wait_until(lambda row=wanted: state_of(row) == ServerState.READY, "the model", 120)
    assert state_of(checkpoint) == ServerState.STOPPED
    want_model(checkpoint)
    wait_until(lambda: state_of(checkpoint) == ServerState.READY, "the model again", 60)
    stop_model(others[0])  # it went for want of room, which unloading must survive
    server = ModelServer.objects.get()
    with httpx.Client(
        base_url=server.address, headers={"Authorization": f"Bearer {secret_of(server)}"}
    ) as client:
        held = [row["id"] for row in client.get("/v1/models").json()["data"]]
    assert (checkpoint.uid in held, len(held)) == (True, MAX_MODELS)
    assert server.state == ServerState.READY


@pytest.fixture(scope="module")
def adapter_folder(tmp_path_factory) -> Path:
    """A random adapter of the weights in `folder`."""
    from peft import LoraConfig, get_peft_model

    from engine.train.card import Card, write_final
    from tests.engine.train.cast import tiny_model, tiny_tokenizer

    made = tmp_path_factory.mktemp("adapter")
    tokenizer = tiny_tokenizer()
    lora = LoraConfig(
        r=4, lora_alpha=256, target_modules="all-linear", init_lora_weights=False,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    model = get_peft_model(tiny_model(tokenizer), lora)
    write_final(model, tokenizer, made / "final", Card("t", "synthweb/tiny", "", "", {}, {}))
    return made / "final"


def test_adapters_are_served_beside_their_base_without_a_copy_of_it(
    slot, checkpoint, project, adapter_folder
):
    adapters = [
        store(
            adapter_folder, project, f"ck_0000000000a{n}", f"ft:synthweb/tiny:job_{n}", checkpoint
        )
        for n in range(2)
    ]
    for wanted in (checkpoint, *adapters):
        want_model(wanted)
        wait_until(lambda row=wanted: state_of(row) == ServerState.READY, "the model", 120)
    server = ModelServer.objects.get()
    headers = {"Authorization": f"Bearer {secret_of(server)}"}
    with httpx.Client(base_url=server.address, headers=headers, timeout=60) as client:
        texts = [answer_of(client, row.uid) for row in (checkpoint, *adapters)]
        held = client.get("/v1/models").json()["data"]
        assert len({row["base"] for row in held}) == 1
        stop_model(checkpoint)
        wait_until(lambda: len(client.get("/v1/models").json()["data"]) == 2, "the base to go", 30)
        assert answer_of(client, adapters[0].uid) == texts[1]
    assert texts[1] == texts[2] != texts[0]


def answer_of(client: httpx.Client, uid: str) -> list[int]:
    body = {
        "model": uid,
        "messages": [{"role": "user", "content": "tree left 1"}],
        "max_tokens": 8,
        "temperature": 0,
        "return_token_ids": True,
    }
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    ids: list[int] = answer.json()["choices"][0]["completion_token_ids"]
    return ids
