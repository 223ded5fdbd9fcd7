"""A run through a remote task app, the whole path: launch, worker, engine, ingest, scores."""

from __future__ import annotations

import hashlib
import json
import threading

import pytest

from apps.accounts.errors import Refused
from apps.launch.services import import_config, launch
from apps.providers.models import ProviderKind
from apps.providers.services import create_provider
from apps.runs.models import Need, Run, RunState
from apps.runs.services import claim_shard, retry_failed
from apps.traces.models import Episode
from apps.worker.supervise import supervise
from tests.servers.openai_server import OpenAIServer
from tests.servers.own_task_app import own_task_app
from tests.servers.task_app_server import TaskAppServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

KEY = "env-key-0123456789"


@pytest.fixture
def server(settings):
    with TaskAppServer(key=KEY) as server:
        settings.ALLOW_HOSTS = [f"127.0.0.1:{server.port}", "127.0.0.1:9"]
        yield server


@pytest.fixture
def run(actor, server) -> Run:
    """An eval of three games, launched and queued."""
    create_provider(
        actor=actor, name="remote", base_url=server.url, key=KEY, kind=ProviderKind.TASK_APP
    )
    prices = {"*": {"input": 2.0, "output": 4.0}}
    url = "http://127.0.0.1:9/v1"
    create_provider(actor=actor, name="groq", base_url=url, key="gsk_secret-of-groq", prices=prices)
    text = 'provider = "groq"\nmodel = "qwen"\nseeds = [1, 2, 3]\nmax_turns = 4\n'
    text += f'task_app_url = "{server.url}"\n[step_rewards]\nenabled = true\n'
    config = import_config(actor=actor, text=text, name="remote.toml")
    return launch(actor=actor, config=config)


def work(run: Run) -> None:
    supervise(claim_shard(worker="one", need=Need.ROLLOUT), threading.Event())
    run.refresh_from_db()


def test_games_of_a_remote_task_app_are_stored_scored_and_verified(run, server):
    server.choose = lambda body: {2: "lies", 3: "peer"}.get(body["env"]["seed"])
    work(run)
    assert (run.state, run.error) == (RunState.SUCCEEDED, None)
    rows = {row.seed: row for row in Episode.objects.filter(run=run)}
    assert {seed: row.verified for seed, row in rows.items()} == {1: True, 2: False, 3: True}
    assert "collect_diamond" in rows[2].verify_note
    assert rows[3].cost_usd == pytest.approx((4 * 700 * 2.0 + 4 * 20 * 4.0) / 1e6)
    assert run.result["cost_usd"] == pytest.approx(rows[3].cost_usd)
    assert "gsk_secret-of-groq" not in str(server.rollouts) + str(server.keys)


def test_a_broken_game_that_is_played_again_takes_its_own_place(actor, run, server):
    server.choose = lambda body: "400" if body["env"]["seed"] == 2 else None
    work(run)
    assert Episode.objects.get(run=run, seed=2).ended == "task_error"
    server.choose = lambda body: "lies"
    retry_failed(actor=actor, run=run)
    work(run)
    again = Episode.objects.get(run=run, seed=2)
    assert (again.ended, again.world_version) == ("max_turns", "remote")


def test_a_task_app_that_is_down_refuses_the_launch_with_its_report(actor, server):
    text = f'provider = "groq"\nmodel = "m"\nseeds = [1]\ntask_app_url = "{server.url}"\n'
    create_provider(actor=actor, name="groq", base_url="http://127.0.0.1:9/v1")
    config = import_config(actor=actor, text=text, name="x.toml")
    with pytest.raises(Refused, match=r"GET /health: 401.*wants a key|wants a key.*GET /health"):
        launch(actor=actor, config=config)
    assert not Run.objects.exists()


SEEDS = (11, 12, 13)
FIGURES = (
    *("seed", "outcome_reward", "episode_return", "step_reward", "n_achievements", "n_steps"),
    *("n_turns", "ended", "prompt_tokens", "final_hash"),
)


def answer_by_prompt(body: dict[str, object]) -> str:
    """Six actions drawn from the words of the prompt: who is asked otherwise plays otherwise."""
    digest = hashlib.sha256(json.dumps(body["messages"]).encode()).digest()
    moves = ("move_left", "move_right", "move_up", "move_down", "do", "do", "place_plant", "sleep")
    return "ok:" + "+".join(moves[byte % len(moves)] for byte in digest[:6])


def play(actor, task_app_url: str) -> list[dict[str, object]]:
    """What came out of the games of one config, by seed."""
    text = f'provider = "groq"\nmodel = "m"\nseeds = {list(SEEDS)}\nmax_turns = 8\n'
    text += f'difficulty = "easy"\ntask_app_url = "{task_app_url}"\n'
    text += "[step_rewards]\nenabled = true\n"
    config = import_config(actor=actor, text=text, name=f"{bool(task_app_url)}.toml")
    run = launch(actor=actor, config=config)
    work(run)
    assert (run.state, run.error) == (RunState.SUCCEEDED, None)
    return list(Episode.objects.filter(run=run).order_by("seed").values("verified", *FIGURES))


def test_our_own_task_app_elsewhere_plays_the_very_games_that_are_played_here(
    actor, settings, tmp_path
):
    with OpenAIServer() as model:
        model.choose = answer_by_prompt
        settings.ALLOW_HOSTS = hosts = [f"127.0.0.1:{model.port}"]
        create_provider(actor=actor, name="groq", base_url=model.base_url, key="gsk_of-the-model")
        with own_task_app(tmp_path, task="grpo-crafter", key=KEY, allow=hosts) as url:
            settings.ALLOW_HOSTS = [*hosts, url.removeprefix("http://")]
            kind = ProviderKind.TASK_APP
            create_provider(actor=actor, name="there", base_url=url, key=KEY, kind=kind)
            there = play(actor, url)
        here = play(actor, "")
    assert [row.pop("verified") for row in there] == [True] * len(SEEDS)
    assert [row.pop("verified") for row in here] == [None] * len(SEEDS)
    assert there == here
    assert sum(row["n_achievements"] for row in here) > 0
    assert {row["n_steps"] for row in here} == {48}
