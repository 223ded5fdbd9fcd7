"""The check of a remote task app: what it calls, with which key, and what it says."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.launch.services import probe_task_app
from apps.launch.services.plans import plan_run
from apps.launch.services.probing import check_task_app
from apps.launch.services.task_apps import plays_here
from apps.providers.models import ProviderKind
from apps.providers.services import create_provider
from engine.config import load_toml
from tests.servers.task_app_server import TaskAppServer

KEY = "env-key-0123456789"


@pytest.fixture
def server(settings):
    with TaskAppServer(key=KEY) as server:
        settings.ALLOW_HOSTS = [f"127.0.0.1:{server.port}"]
        yield server


@pytest.fixture
def record(actor, server):
    """The task app as somebody added it under Settings."""
    return create_provider(
        actor=actor, name="remote", base_url=server.url, key=KEY, kind=ProviderKind.TASK_APP
    )


def test_a_good_task_app_is_named_with_what_it_was_asked(project, server, record):
    report = probe_task_app(project=project, url=f"{server.url}/task/crafter/")
    assert (report.ok, report.task, report.key_of) == (True, "crafter_classic", "remote")
    assert [(call.path, call.status) for call in report.calls] == [
        ("/health", 200),
        ("/task_info", 200),
    ]
    assert server.paths == ["/task/crafter/health", "/task/crafter/task_info"]
    assert server.keys[0] == {"x-api-key": KEY, "authorization": f"Bearer {KEY}"}


def test_an_origin_without_a_record_gets_no_key(project, server, actor):
    create_provider(actor=actor, name="models", base_url=f"{server.url}/v1", key=KEY)
    report = probe_task_app(project=project, url=server.url)
    assert server.keys == [{}]
    assert not report.ok
    assert "wants a key" in report.message
    assert "Settings → Providers" in report.hint


@pytest.mark.parametrize(
    ("path", "word", "found"),
    [
        ("health", "500", "/health answered 500"),
        ("health", "html", "/health is no JSON object"),
        ("health", "close", "/health gave no answer"),
        ("health", "redirect", "redirects (status 302), which is not followed"),
        ("health", "huge", "too large"),
        ("task_info", "404", "/task_info is not there"),
        ("task_info", "empty", "/task_info names no task"),
        ("task_info", "echo", "refused the key of remote"),
    ],
)
def test_what_is_wrong_is_said_in_words(project, server, record, path, word, found):
    server.wrong = {path: word}
    report = probe_task_app(project=project, url=server.url)
    assert not report.ok
    assert found in report.words()
    assert report.hint
    assert KEY not in report.words()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "http://169.254.169.254/latest", "file:///etc/passwd", "x", ""]
)
def test_addresses_inside_are_not_called(project, settings, url):
    settings.ALLOW_HOSTS = []
    report = probe_task_app(project=project, url=url)
    assert not report.ok
    assert "cannot be called" in report.message or "not a public address" in report.message


def test_our_own_task_app_gets_our_own_key_and_plays_here(project, server, settings):
    settings.TASK_APP_PORT = server.port
    settings.ENVIRONMENT_API_KEY = KEY
    assert probe_task_app(project=project, url=server.url).key_of == "this instance"
    assert plays_here(server.url)
    assert not plays_here(f"{server.url}1")


def plan_of(actor, text):
    loaded = load_toml(text)
    return plan_run(project=actor.project, user=actor.user, loaded=loaded)


def test_a_task_app_is_told_where_a_model_of_ours_answers(actor, starter, settings, record, server):
    settings.PUBLIC_URL = "https://train.example.org"
    text = f'model = "synthweb/crafter-small"\nseeds = [1]\ntask_app_url = "{server.url}"\n'
    inputs = plan_of(actor, text).inputs["task_app"]
    assert inputs["inference_url"] == "https://train.example.org/api/inference"
    assert (inputs["key_env"], inputs["inference_key_env"]) == (
        "SYNTHWEB_TASK_APP_KEY",
        "SYNTHWEB_RUN_KEY",
    )
    assert inputs["limits"]["timeout_s"] == 600


def test_a_remote_task_app_is_warned_of_an_address_that_it_cannot_reach(actor, starter, settings):
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    text = (
        'model = "synthweb/crafter-small"\nseeds = [1]\n'
        'task_app_url = "https://crafter.modal.run"\n'
    )
    words = " ".join(plan_of(actor, text).warnings)
    assert "http://127.0.0.1:8000/api/inference, which only this machine reaches" in words
    assert "SYNTHWEB_URL" in words


def test_a_training_is_played_by_a_task_app_of_this_machine_only(actor, starter, record, server):
    text = 'type = "rl"\n[model]\nbase = "synthweb/crafter-small"\n[services]\ntask_url = "{}"\n'
    plan = plan_of(actor, text.format(server.url))
    assert plan.inputs["task_app"]["url"] == server.url
    assert plan.inputs["task_app"]["key_env"] == "SYNTHWEB_TASK_APP_KEY"
    assert f"played by the task app at {server.url}, with the key of remote" in plan.warnings[0]
    with pytest.raises(Refused, match="on another machine"):
        plan_of(actor, text.format("https://crafter.modal.run"))


def test_a_training_is_not_launched_on_a_task_app_that_does_not_answer(project, record, server):
    loaded = load_toml(
        'type = "rl"\n[model]\nbase = "synthweb/crafter-small"\n'
        f'[services]\ntask_url = "{server.url}"\n'
    )
    check_task_app(project, loaded)
    server.wrong = {"health": "500"}
    with pytest.raises(Refused, match="/health answered 500"):
        check_task_app(project, loaded)
