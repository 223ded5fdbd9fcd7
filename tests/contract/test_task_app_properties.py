"""Any JSON to any address of a task app: a documented status, never 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from engine.http.app import make_app
from engine.http.settings import read_settings
from tests.security.test_s13_task_app_key import every_route

KEY = {"X-API-Key": "env-key-0123456789"}
DOCUMENTED = {200, 400, 404, 405, 409, 413, 422, 429, 503}
NAMES = (
    "run_id", "env", "policy", "ops", "record", "safety", "config", "seed", "env_id", "env_name",
    "difficulty", "world_config", "action", "actions", "tool_calls", "tool", "name", "args",
    "arguments", "function", "model", "provider", "inference_url", "temperature", "max_tokens",
    "step_rewards", "strategy", "weights", "k_limits", "enabled", "observation", "env_params",
    "max_steps_per_episode", "messages", "role", "content", "snapshot_id", "env_ids",
    "num_children", "trace_format", "max_llm_calls", "type", "on_done", "index", "split", "answer",
)  # fmt: skip
VALUES = (
    "crafter", "builtin", "random", "easy", "do", "interact", "interact_many", "agent", "system",
    "full", "", "\x00", "\u202e", "groq",
)  # fmt: skip
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.integers(2**62, 2**70) | st.sampled_from(VALUES)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)  # fmt: skip
ANY = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)
# A rollout that is right but for some of its parts.
ROLLOUT = st.fixed_dictionaries(
    {
        "run_id": st.just("r") | ANY,
        "env": st.fixed_dictionaries(
            {}, optional={"seed": st.just(1) | PLAIN, "config": ANY, "env_name": PLAIN}
        ),
        "policy": st.fixed_dictionaries(
            {
                "config": st.fixed_dictionaries(
                    {"provider": st.just("builtin"), "model": st.just("random")},
                    optional=dict.fromkeys(("step_rewards", "temperature", "top_p"), ANY),
                )
            }
        ),
        "ops": st.just(["agent", "env"]) | ANY,
    },
    optional=dict.fromkeys(("record", "safety", "on_done", "branch", "mode"), ANY),
)


@pytest.fixture(scope="module")
def client() -> TestClient:
    environment = {"ENVIRONMENT_API_KEY": KEY["X-API-Key"]}
    app = make_app(read_settings(environment, tasks=["crafter"], trace_db=None))
    return TestClient(app, follow_redirects=False)


@pytest.fixture(scope="module")
def routes(client: TestClient) -> list[tuple[str, str]]:
    return sorted(route for route in every_route(client) if not route[1].startswith("/task/"))


@pytest.fixture(scope="module")
def env_id(client: TestClient) -> str:
    answer = client.post("/env/crafter/initialize", headers=KEY, json={"seed": 1})
    return str(answer.json()["env_id"])


def check(client: TestClient, method: str, path: str, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.request(method, path, headers=KEY, content=content)
    assert answer.status_code in DOCUMENTED, (path, body, answer.text[:300])
    if answer.status_code != 200:
        assert answer.json()["detail"], (path, body)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=ANY, pick=st.integers(0, 10**6))
def test_any_json_to_any_address_gets_a_documented_status(client, routes, env_id, body, pick):
    method, path = routes[pick % len(routes)]
    check(client, method, path, body)
    if isinstance(body, dict):
        check(client, method, path, {**body, "env_id": env_id})
        if path.endswith("terminate"):
            return
        check(client, "POST", "/step", {"env_id": env_id, "action": body})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=ROLLOUT)
def test_any_rollout_gets_a_documented_status(client, body):
    check(client, "POST", "/rollout", body)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"nul", 400),
        (b'{"run_id": NaN}', 400),
        (b'{"run_id": "\\ud800"}', 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"seed": ' + b"9" * 5000 + b"}", 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', 413),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(client, content, status):
    answer = client.post("/rollout", headers=KEY, content=content)
    assert answer.status_code == status, answer.text[:200]


def test_limits_on_ops_and_seeds_are_told(client):
    body = {"run_id": "r", "env": {}, "policy": {}, "ops": ["agent", "env"] * 50_001}
    assert client.post("/rollout", headers=KEY, json=body).status_code in (413, 422)
    assert client.get("/task_info", params={"seed": "-1"}, headers=KEY).status_code == 422
    many = ",".join(str(seed) for seed in range(101))
    assert client.get("/task_info", params={"seed": many}, headers=KEY).status_code == 422


def test_environments_can_be_snapshotted_restored_and_branched(client):
    def post(path: str, **body: Any) -> Any:
        answer = client.post(path, headers=KEY, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    made = post("/create", env_name="crafter", seed=5, config={}, rl_run_id="r1")
    post("/step", env_id=made["env_id"], tool_calls=[{"tool": "interact", "args": {"action": 2}}])
    kept = post("/snapshot", env_id=made["env_id"])
    first = post("/step", env_id=made["env_id"], action={"actions": ["move_up", "sleep"]})
    again = post("/restore", snapshot_id=kept["snapshot_id"])
    assert (again["step_idx"], kept["rl_run_id"]) == (1, "r1")
    second = post("/step", env_id=again["env_id"], action={"actions": ["move_up", "sleep"]})
    assert first == second
    branches = post("/branch", env_ids=[again["env_id"]], num_children=3)["env_branches"]
    assert len(set(branches[again["env_id"]])) == 3


def test_a_rollout_can_play_on_an_environment_of_the_clients(client):
    made = client.post("/env/crafter/initialize", headers=KEY, json={"seed": 3}).json()
    step = {"env_id": made["env_id"], "action": {"actions": ["move_right", "do"]}}
    client.post("/step", headers=KEY, json=step)
    body = {
        "run_id": "on",
        "env": {"env_id": made["env_id"]},
        "policy": {"config": {"provider": "builtin", "model": "random"}},
        "ops": ["agent", "env"] * 2,
        "on_done": "terminate",
    }
    answer = client.post("/rollout", headers=KEY, json=body).json()
    assert answer["trajectories"][0]["env_id"] == made["env_id"]
    assert answer["trajectories"][0]["length"] == 2
    assert "Step: 2/" in answer["trajectories"][0]["steps"][0]["obs"]["text"]
    assert client.post("/step", headers=KEY, json=step).status_code == 404
