"""The recorded calls of the original task app, asked of ours.

Every field that it answered is answered by ours too, but for those listed here with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.http.app import make_app
from engine.http.settings import read_settings
from tests.samples import task_app_calls
from tests.servers.openai_server import OpenAIServer

# call -> (status of ours, why it is another one than the original's)
STATUS = {
    "health without key": (401, "no right is 401; the original says 400"),
    "health wrong key": (401, "the same"),
    "rollout without key": (401, "the same"),
    "step without key": (401, "environments need the key too"),
    "env route of the SDK client": (200, "the original lacks the routes its own client calls"),
    "step, unknown action": (422, "an unknown action is told, never played as noop"),
    "rollout unknown env": (422, "the caller's mistake, not the server's"),
    "rollout bad op": (422, "the same"),
    "rollout, env alias math": (422, "math is no Crafter; it has an address of its own"),
}
# path of a field, as a pattern -> why ours does not have it
FIELDS = {
    r"detail(\[\])?(\..*)?": "refusals say code and message, never what was sent",
    r"auth\.expected_prefix": "a part of the key",
    r".*\.inference_request\.(thinking_.*|max_tokens|top_p|tool_choice.*|stop_after_tool_calls"
    r"|parallel_tool_calls|function_call.*|extra_body.*)": "what the original's own client adds",
    r".*\.raw_response\.(id|created)": "invented by the recorded stand-in",
    r".*\.timing\.(agent_request_start_s|agent_response_s|env_step_end_s|overhead_ms"
    r"|decision_ready_s)": "a clock of its own process",
    r".*\.tools\[\]\.function\.parameters\.additionalProperties": "not needed",
}


@pytest.fixture(scope="module")
def app() -> Iterator[tuple[TestClient, OpenAIServer]]:
    with OpenAIServer() as model:
        model.default = "ok:do+move_right"
        environment = {
            "ENVIRONMENT_API_KEY": "envkey123",
            "SYNTHWEB_ALLOW_HOSTS": f"127.0.0.1:{model.port}",
        }
        made = make_app(read_settings(environment, tasks=["grpo-crafter"], trace_db=None))
        with TestClient(made) as client:
            yield client, model


def ask(app: tuple[TestClient, OpenAIServer], call: dict[str, Any], env_id: str = "") -> Any:
    """The recorded call with what was cut from it, and with our own environment's id."""
    client, model = app
    body = json.loads(json.dumps(call["body"]).replace("127.0.0.1:8072", f"127.0.0.1:{model.port}"))
    if body and body.get("ops", [])[:1] == ["agent"]:
        body["ops"] = ["agent", "env"] * 3
    if body and "env_id" in body:
        body["env_id"] = env_id
    return client.request(call["method"], call["path"], headers=call["headers"], json=body)


def paths(value: Any, at: str = "") -> set[str]:
    """Every field in a JSON value, lists as `[]`."""
    if isinstance(value, dict):
        inner = {f"{at}.{key}".lstrip(".") for key in value}
        return inner.union(*(paths(v, f"{at}.{k}".lstrip(".")) for k, v in value.items()))
    if isinstance(value, list):
        return set().union(*(paths(item, f"{at}[]") for item in value if isinstance(item, dict)))
    return set()


def missing(recorded: Any, ours: Any) -> set[str]:
    gone = paths(recorded) - paths(ours)
    return {path for path in gone if not any(re.fullmatch(p, path) for p in FIELDS)}


def test_every_recorded_call_is_answered_with_its_fields(app):
    ids: dict[str, str] = {}
    for name, call in task_app_calls().items():
        if name in ("rollout, inference server down", "rollout, env alias math"):
            continue  # below
        known = ids.get((call["body"] or {}).get("env_id", ""), "none")
        answer = ask(app, call, known)
        wanted = STATUS.get(name, (call["status"], ""))[0]
        assert answer.status_code == wanted, (name, answer.text[:300])
        if isinstance(call["response"], dict) and answer.status_code == call["status"]:
            assert not missing(call["response"], answer.json()), name
            if "env_id" in call["response"]:
                ids[call["response"]["env_id"]] = answer.json()["env_id"]


def test_a_model_that_is_away_ends_the_rollout_not_the_call(app):
    client, model = app
    call = task_app_calls()["rollout, inference server down"]
    model.default = "401"  # at once; the recorded one tried five times
    body = {**call["body"], "ops": ["agent", "env"]}
    body["policy"]["config"]["inference_url"] = f"http://127.0.0.1:{model.port}"
    answer = client.post("/rollout", headers=call["headers"], json=body)
    model.default = "ok:do+move_right"
    assert answer.status_code == 200
    assert not missing(call["response"], answer.json())
    assert answer.json()["trajectories"][0]["final"]["rollout_status"] == "partial_policy_error"


def test_math_is_not_played_as_crafter(app):
    answer = ask(app, task_app_calls()["rollout, env alias math"])
    assert answer.status_code == STATUS["rollout, env alias math"][0]
    assert "crafter" in answer.json()["detail"]["error"]["message"]


def test_all_actions_of_a_step_are_played_not_only_the_first(app):
    client, _ = app
    headers = {"X-API-Key": "envkey123"}
    made = client.post("/env/crafter/initialize", headers=headers, json={"seed": 3}).json()
    calls = [{"tool": "interact", "args": {"action": name}} for name in ("move_right", "do")]
    body = {"env_id": made["env_id"], "action": {"tool_calls": calls}}
    answer = client.post("/env/crafter/step", headers=headers, json=body).json()
    assert answer["step_idx"] == 2
    assert answer["observation"]["player_direction"] == [1, 0]


def test_rewards_of_steps_sum_up_to_the_return(app):
    client, _ = app
    body = {
        "run_id": "guide",
        "env": {
            "seed": 1,
            "config": {
                "difficulty": "easy",
                "observation": "map",
                "step_rewards": {"enabled": True},
            },
        },
        "policy": {"config": {"provider": "builtin", "model": "guide"}},
        "ops": ["agent", "env"] * 10,
    }
    answer = client.post("/rollout", headers={"X-API-Key": "envkey123"}, json=body).json()
    (trajectory,), metrics = answer["trajectories"], answer["metrics"]
    rewards = [step["reward"] for step in trajectory["steps"]]
    assert sum(rewards) == metrics["mean_return"] == metrics["outcome_score"] > 0
    status = trajectory["final"]["observation"]["achievements_status"]
    assert sum(status.values()) == metrics["outcome_score"]
    indicators = [sample["indicator"] for sample in trajectory["decision_samples"]]
    assert indicators == [int(reward > 0) for reward in rewards]
    assert sum(indicators) == metrics["details"]["stepwise"]["indicator_sum"]
