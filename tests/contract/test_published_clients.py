"""The published synth-ai 0.2.12 and 0.2.16, unpatched, against a live instance: they fine-tune to
the end, submit and follow a training from reward, and use the SDK.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthweb import credentials
from tests.contract.calls import JSONL
from tests.contract.clients import VERSIONS, Cli
from tests.servers import instance as instances
from tests.servers.instance import Instance
from tests.servers.openai_server import OpenAIServer
from tests.servers.task_app_server import TaskAppServer
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow
ENVIRONMENT_KEY = "environment-key-of-the-task-app"
BASE = {
    "type": "base", "model": "tests/tiny", "hidden_size": 32, "n_layers": 1, "n_heads": 2,
    "ffn_size": 64, "n_episodes": 2, "n_steps": 2, "batch_size": 4,
}  # fmt: skip
SFT = """
[algorithm]
type = "offline"
method = "sft"
variety = "fft"
[job]
model = "Qwen/Qwen3-4B"
[compute]
gpu_type = "H100"
gpu_count = 1
nodes = 1
[data]
validation_path = "{folder}/validation.jsonl"
[data.topology]
container_count = 1
[training]
mode = "full_finetune"
use_qlora = false
[training.validation]
enabled = true
evaluation_strategy = "steps"
eval_steps = 1
[hyperparameters]
n_epochs = 2
per_device_batch = 2
sequence_length = 128
learning_rate = 1e-3
warmup_ratio = 0.03
train_kind = "fft"
"""
RL = """
[algorithm]
type = "online"
method = "policy_gradient"
variety = "gspo"
[services]
task_url = "{task_url}"
[compute]
gpu_type = "H100"
gpu_count = 1
[topology]
type = "single_node_split"
gpus_for_vllm = 1
gpus_for_training = 1
[vllm]
tensor_parallel_size = 1
max_model_len = 2048
[model]
base = "Qwen/Qwen3-4B"
label = "crafter-rl"
trainer_mode = "full"
[rollout]
env_name = "crafter"
policy_name = "crafter-react"
max_turns = 2
episodes_per_batch = 4
max_concurrent_rollouts = 4
[rollout.policy_config]
max_tokens = 16
[evaluation]
instances = 1
every_n_iters = 10
seeds = [0]
[training]
num_epochs = 1
iterations_per_epoch = 2
max_turns = 2
batch_size = 2
group_size = 2
learning_rate = 5e-5
"""
EVAL = """
type = "eval"
model = "{model}"
seeds = "1..2"
max_turns = 2
max_tokens = 16
"""
FOLLOW = """
import asyncio, json, os
from synth_ai.learning.jobs import JobHandle
seen, points = [], []
handle = JobHandle(os.environ["BACKEND_BASE_URL"].removesuffix("/api"), os.environ["SYNTH_API_KEY"],
                   "{job}", strict=False)
end = asyncio.run(handle.poll_until_terminal(
    interval_seconds=1.0, max_seconds=60, on_event=seen.append, on_metric=points.append))
print("RESULT " + json.dumps({{"end": end, "types": [e["type"] for e in seen],
                              "names": sorted({{p["name"] for p in points}})}}))
"""
ENV_KEYS = """
import os
from synth_ai.learning.rl.env_keys import setup_environment_api_key
done = setup_environment_api_key(os.environ["BACKEND_BASE_URL"].removesuffix("/api"),
                                 os.environ["SYNTH_API_KEY"], token="{key}")
assert done["stored"], done
"""
TASK_APP = """
import asyncio, json, os
from synth_ai.task.client import TaskAppClient
from synth_ai.task.contracts import RolloutRequest

BODY = {{
    "run_id": "contract", "mode": "eval", "ops": ["agent", "env", "agent", "env"],
    "env": {{"env_name": "crafter", "seed": 3, "config": {{"difficulty": "easy"}}}},
    "policy": {{"policy_name": "crafter-react", "config": {{
        "model": "any", "inference_url": "{model_api}", "api_key": "k", "max_llm_calls": 2}}}},
}}

async def main():
    url, key = os.environ["TASK_APP_URL"], os.environ["ENVIRONMENT_API_KEY"]
    async with TaskAppClient(url, key) as app:
        assert (await app.health())["healthy"] is True
        assert (await app.info())["service"]
        await app.task_info()
        infos = await app.task_info([3, 4])
        made = await app.env.initialize("CrafterClassic", {{"seed": 3, "world_config": "easy"}})
        call = {{"tool": "interact_many", "args": {{"actions": ["do", "noop"]}}}}
        step = await app.env.step("CrafterClassic", {{
            "env_id": made["env_id"], "action": {{"tool_calls": [call]}}}})
        await app.env.terminate("CrafterClassic", {{"env_id": made["env_id"]}})
        fields = RolloutRequest.model_fields
        asked = RolloutRequest.model_validate({{k: v for k, v in BODY.items() if k in fields}})
        played = await app.rollout(asked)
        print("RESULT " + json.dumps({{
            "infos": len(infos), "task": infos[0].model_dump()["task"]["id"],
            "step_idx": step["step_idx"],
            "run_id": played.run_id, "turns": len(played.trajectories[0].steps)}}))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def app() -> Iterator[TaskAppServer]:
    with TaskAppServer(key=ENVIRONMENT_KEY) as server:
        yield server


@pytest.fixture(scope="module")
def model_api() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def live(
    tmp_path_factory: pytest.TempPathFactory, app: TaskAppServer, model_api: OpenAIServer
) -> Iterator[Instance]:
    """An instance with a tiny model that stands for Qwen/Qwen3-4B by the operator's word."""
    extra = {
        "SYNTHWEB_MODEL_ALIASES": "Qwen/Qwen3-4B=tests/tiny",
        "SYNTHWEB_ALLOW_HOSTS": f"127.0.0.1:{app.port},127.0.0.1:{model_api.port}",
        "TASK_APP_PORT": str(instances.free_port()),
    }
    with instances.run(tmp_path_factory.mktemp("contract"), extra) as started:
        run = started.call("POST", "/api/v1/runs", {"config": BASE, "name": "tiny"})["id"]
        wait_until(lambda: started.state_of(run) == "succeeded", "the tiny model", 120)
        yield started


@pytest.fixture(params=VERSIONS)
def cli(request: pytest.FixtureRequest, live: Instance, app: TaskAppServer, tmp_path: Path) -> Cli:
    known = credentials.read(live.home)
    names = ("SYNTH_API_KEY", "BACKEND_BASE_URL")
    variables = {name: known[name] for name in names}
    variables |= {"TASK_APP_URL": app.url, "ENVIRONMENT_API_KEY": ENVIRONMENT_KEY}
    (tmp_path / "ds.jsonl").write_bytes(JSONL)
    (tmp_path / "validation.jsonl").write_bytes(JSONL)
    (tmp_path / "sft.toml").write_text(SFT.format(folder=tmp_path))
    (tmp_path / "rl.toml").write_text(RL.format(task_url=app.url))
    return Cli(request.param, tmp_path, variables)


def job_in(printed: str) -> str:
    return re.findall(r"job_[0-9a-f]{16}", printed)[0]


def play(live: Instance, model: str) -> dict[str, Any]:
    """The run of a short eval of a model by TOML, played to its end; no game is broken."""
    run = live.call("POST", "/api/v1/runs", {"toml": EVAL.format(model=model)})["id"]
    wait_until(lambda: live.state_of(run) not in ("queued", "running"), "the eval", 120)
    games = live.call("GET", f"/api/v1/traces?run={run}")["items"]
    assert [(game["model"], game["broken"]) for game in games] == [(model, False)] * 2
    ended: dict[str, Any] = live.call("GET", f"/api/v1/runs/{run}")
    assert ended["state"] == "succeeded", ended["error"]
    return ended


def test_a_fine_tuning_ends_with_a_model_that_evals_accept(cli: Cli, live: Instance):
    printed = cli.train("sft", "sft.toml", "--dataset", "ds.jsonl")
    assert "Final status: succeeded" in printed, printed
    job = live.call("GET", f"/api/learning/jobs/{job_in(printed)}")
    model = job["fine_tuned_model"]
    assert re.fullmatch(r"ft:Qwen/Qwen3-4B:job_[0-9a-f]{16}", model)
    assert job["base_model_resolved"] == "tests/tiny"
    run = live.call("GET", f"/api/v1/runs/{job['run']}")
    assert (run["kind"], run["state"]) == ("sft", "succeeded")
    config = {"type": "eval", "model": model, "seeds": [1], "max_steps": 5}
    made = live.call("POST", "/api/v1/runs", {"config": config, "launch": False})
    assert made["model"] == model

    told = json.loads(cli.script(FOLLOW.format(job=job["id"])).partition("RESULT ")[2])
    assert told["end"]["fine_tuned_model"] == model
    assert told["end"]["status"] == "succeeded"
    assert "sft.completed" in told["types"]
    assert {"train.loss", "val.loss"} <= set(told["names"])


def test_a_training_from_reward_ends_with_a_model_that_a_toml_evaluates(cli: Cli, live: Instance):
    known = credentials.read(live.home)
    cli.set_variables({name: known[name] for name in ("TASK_APP_URL", "ENVIRONMENT_API_KEY")})
    printed = cli.train("rl", "rl.toml")
    assert "Verification OK" in printed
    assert "Task app healthy" in printed
    assert "Final status: succeeded" in printed, printed
    job = live.call("GET", f"/api/rl/jobs/{job_in(printed)}")
    model = job["fine_tuned_model"]
    assert re.fullmatch(r"rl:Qwen/Qwen3-4B:job_[0-9a-f]{16}", model)
    run = live.call("GET", f"/api/v1/runs/{job['run']}")
    assert (run["kind"], run["state"], run["progress"]["done"]) == ("rl", "succeeded", 2)
    assert run["resolved"]["rollout"]["observation"] == "compact"  # what tests/tiny reads
    assert play(live, model)["resolved"]["observation"] == "compact"

    told = json.loads(cli.script(FOLLOW.format(job=job["id"])).partition("RESULT ")[2])
    assert (told["end"]["status"], told["end"]["fine_tuned_model"]) == ("succeeded", model)
    assert "rl.job.completed" in told["types"]
    assert {"train.reward", "eval.reward", "train.loss"} <= set(told["names"])


def test_a_training_through_another_task_app_fails_with_the_reason(cli: Cli, live: Instance):
    cli.script(ENV_KEYS.format(key=ENVIRONMENT_KEY))
    printed = cli.train("rl", "rl.toml")
    job = live.call("GET", f"/api/rl/jobs/{job_in(printed)}")
    assert f"Final status: {job['status']}" in printed, printed
    assert (job["status"], job["fine_tuned_model"]) == ("failed", None)
    assert cli.variables["TASK_APP_URL"] in job["error"]


def test_the_clients_of_task_apps_play_on_ours(cli: Cli, live: Instance, model_api: OpenAIServer):
    known = credentials.read(live.home)
    cli.set_variables({name: known[name] for name in ("TASK_APP_URL", "ENVIRONMENT_API_KEY")})
    code = TASK_APP.format(model_api=f"http://127.0.0.1:{model_api.port}")
    told = json.loads(cli.script(code).partition("RESULT ")[2])
    assert (told["infos"], told["step_idx"], told["run_id"]) == (2, 2, "contract")
    assert told["turns"] == 2
    assert "crafter" in told["task"]
