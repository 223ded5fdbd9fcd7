"""Environment keys: sealed on the way, encrypted at rest, sent only where they belong."""

from __future__ import annotations

import base64

import pytest
from nacl.public import PublicKey, SealedBox

from apps.accounts.models import Role
from apps.accounts.services import set_member
from apps.providers.models import Provider
from apps.providers.queries import key_of as clear_key_of
from apps.providers.services import create_provider
from apps.synth.models import EnvironmentKey
from tests.servers.task_app_server import TaskAppServer
from tests.synth.conftest import SynthClient

SECRET = "an-environment-key-of-ours"


def seal(synth, clear: str = SECRET) -> str:
    public = base64.b64decode(synth.get("/v1/crypto/public-key").json()["public_key"])
    assert len(public) == 32
    return base64.b64encode(SealedBox(PublicKey(public)).encrypt(clear.encode())).decode()


def store(synth, clear: str = SECRET):
    body = {"name": "ENVIRONMENT_API_KEY", "ciphertext_b64": seal(synth, clear)}
    return synth.post("/v1/env-keys", body)


@pytest.mark.django_db
def test_a_sealed_key_is_kept_encrypted_and_the_last_one_stays(synth):
    assert synth.get("/v1/env-keys/verify").json() == {"present": False}
    for clear in ("another", SECRET):
        answer = store(synth, clear)
        assert answer.status_code == 200
        assert clear not in answer.content.decode()
    row = EnvironmentKey.objects.get()
    assert SECRET not in row.encrypted_key
    assert synth.get("/v1/env-keys/verify").json() == {"present": True}


@pytest.mark.django_db
@pytest.mark.parametrize("box", ["", "AAAA", "not base64!", base64.b64encode(b"x" * 90).decode()])
def test_what_was_not_sealed_for_this_instance_is_refused(synth, box):
    body = {"name": "ENVIRONMENT_API_KEY", "ciphertext_b64": box}
    assert synth.post("/v1/env-keys", body).status_code == 422
    assert EnvironmentKey.objects.count() == 0


@pytest.fixture
def app(settings):
    """A task app that wants SECRET, at an address that the operator allows."""
    with TaskAppServer(key=SECRET) as server:
        settings.ALLOW_HOSTS = [f"127.0.0.1:{server.port}"]
        yield server


def verify(synth, url: str):
    answer = synth.post("/rl/verify_task_app", {"endpoint_base_url": url})
    assert answer.status_code == 200, answer.content
    assert SECRET not in answer.content.decode()
    assert answer.json()["candidates_first15"] == []
    return answer.json()


@pytest.mark.django_db
def test_the_key_of_a_record_is_tried_on_its_own_address(synth, actor, app):
    create_provider(actor=actor, name="app", base_url=app.url, key=SECRET, kind="task_app")
    found = verify(synth, app.url)
    assert found["any_ok"] is True
    assert [(a["path"], a["status"]) for a in found["attempts"]] == [
        ("/health", 200), ("/task_info", 200),
    ]  # fmt: skip


@pytest.mark.django_db
def test_the_environment_key_is_tried_and_where_it_fits_the_record_is_made(synth, app):
    assert verify(synth, app.url)["any_ok"] is False  # nobody gave a key yet
    store(synth)
    found = verify(synth, app.url)
    assert found["any_ok"] is True
    record = Provider.objects.get()
    assert (record.kind, record.origin, clear_key_of(record)) == ("task_app", app.url, SECRET)
    assert record.name in found["message"]


@pytest.mark.django_db
def test_a_key_that_does_not_fit_makes_no_record(synth, app):
    store(synth, "a-wrong-key")
    assert verify(synth, app.url)["any_ok"] is False
    assert Provider.objects.count() == 0


@pytest.mark.django_db
def test_only_an_admins_word_sends_the_environment_key_to_a_new_address(
    synth, app, alice, bob, project, key_of
):
    store(synth)
    set_member(project=project, user=bob, role=Role.EDITOR)
    app.keys.clear()
    assert verify(SynthClient(key_of(bob)), app.url)["any_ok"] is False
    assert not any(app.keys)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://127.0.0.1:9/", "file:///etc/passwd", "", "x" * 3000]
)
def test_an_address_inside_is_refused_in_words_and_gets_no_key(synth, url, settings):
    settings.ALLOW_HOSTS = []
    store(synth)
    found = verify(synth, url)
    assert found["any_ok"] is False
    assert found["message"]
    assert Provider.objects.count() == 0
