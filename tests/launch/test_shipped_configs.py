"""Every TOML in configs/ is of the kind that it names and of no other, and can be launched."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.errors import Refused
from apps.accounts.queries import Actor
from apps.datasets.models import Dataset
from apps.launch import services
from apps.launch.models import Pipeline
from apps.launch.services.plans import plan_run
from apps.providers.services import create_provider, set_alias
from apps.runs.models import Config, Run
from engine.config import ConfigErrors, load_toml
from engine.config.kinds import KINDS, check_kind
from engine.jobs.job import open_job
from engine.jobs.rollout import run as play_run
from engine.lease import Cancellation
from engine.tasks import get_task
from engine.traces.codec import decode_trace
from tests.launch.conftest import make_checkpoint
from tests.servers.openai_server import OpenAIServer

FOLDER = Path(__file__).parents[2] / "configs"
FT, FFT, RL = "ft:synthweb/math-small:job_1", "fft:Qwen/Qwen3-4B:job_1", "rl:Qwen/Qwen3-1.7B:job_1"
GROQ = "inference_url={groq}"
DATA = "job.data=dataset:{data}"
SOURCE = f"model.source={FT}"
# file -> (kind, what a launch has to say beside it)
SHIPPED: dict[str, tuple[str, tuple[str, ...]]] = {
    "crafter_base": ("base", ()),
    "crafter_collect": ("rollout", ()),
    "crafter_eval_base": ("eval", ()),
    "crafter_eval_guide": ("eval", ()),
    "crafter_eval_random": ("eval", ()),
    "crafter_fft": ("sft", (DATA,)),
    "crafter_fft_4b": ("sft", (DATA,)),
    "crafter_lora": ("sft", (DATA,)),
    "crafter_qlora": ("sft", (DATA,)),
    "crafter_sft_small": ("sft", (DATA,)),
    "eval_base_qwen": ("eval", ()),
    "eval_fft_qwen4b": ("eval", (f"model={FFT}",)),
    "eval_groq_qwen32b": ("eval", (GROQ,)),
    "eval_math_ft": ("eval", (f"model={FT}",)),
    "eval_modal_qwen4b": ("eval", ()),
    "eval_rl_qwen": ("eval", (f"model={RL}",)),
    "eval_stepwise_complex": ("eval", (GROQ,)),
    "eval_stepwise_consistent": ("eval", (GROQ,)),
    "eval_stepwise_per_achievement": ("eval", (GROQ,)),
    "eval_stepwise_simple": ("eval", (GROQ,)),
    "loop_demo": ("pipeline", ()),
    "loop_gpu": ("pipeline", ()),
    "loop_math": ("pipeline", ()),
    "loop_small": ("pipeline", ()),
    "math_base": ("base", ()),
    "math_collect": ("rollout", ()),
    "math_eval_base": ("eval", ()),
    "math_eval_guide": ("eval", ()),
    "math_eval_random": ("eval", ()),
    "math_sft_small": ("sft", (DATA,)),
    "rl_from_base_qwen": ("rl", ()),
    "rl_from_base_qwen17": ("rl", ()),
    "rl_from_base_qwen4b": ("rl", ()),
    "rl_from_ft": ("rl", (SOURCE,)),
    "rl_from_ft_qwen": ("rl", (SOURCE,)),
    "rl_math_from_ft": ("rl", (SOURCE,)),
    "rl_small": ("rl", ()),
}
STEPWISE = [name for name in SHIPPED if name.startswith("eval_stepwise")]


@pytest.fixture
def groq() -> Iterator[OpenAIServer]:
    """A stand-in for Groq that plays as the guide does."""
    guide = get_task("crafter").scripted["guide"]

    def choose(body: dict[str, Any]) -> str:
        call = guide(body["messages"], (1, 0, 0))
        return "ok:" + "+".join(call.arguments["actions"])

    with OpenAIServer() as server:
        server.choose = choose
        yield server


@pytest.fixture
def machine(actor: Actor, starter: object, groq: OpenAIServer, settings) -> dict[str, Any]:
    """A laptop with the small models, aliases for the large ones, a provider and a dataset."""
    settings.ALLOW_HOSTS = [f"127.0.0.1:{groq.port}"]
    make_checkpoint(actor.project, "synthweb/math-small", kind="base")
    for model in (FT, FFT, RL):
        make_checkpoint(actor.project, model, kind="sft")
    set_alias(actor=actor, requested="Qwen/Qwen3-4B", resolved="synthweb/crafter-small")
    set_alias(actor=actor, requested="Qwen/Qwen3-1.7B", resolved="synthweb/math-small")
    create_provider(actor=actor, name="groq", base_url=groq.base_url, key="gsk_0123456789abcdef")
    data = Dataset.objects.create(
        project=actor.project, name="d", version=1, sha256="0" * 64, n_records=3, size_bytes=3
    )
    return {"groq": groq.base_url.removesuffix("/v1"), "data": data.pk}


def shipped(actor: Actor, name: str) -> Config:
    text = (FOLDER / f"{name}.toml").read_text()
    return services.import_config(actor=actor, text=text, name=f"{name}.toml", folder=FOLDER)


def test_the_list_names_every_file() -> None:
    assert sorted(SHIPPED) == sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_is_of_its_kind_and_of_no_other(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text()
    loaded = load_toml(text, read_file=lambda file: (FOLDER / file).read_text())
    kind = SHIPPED[name][0]
    assert loaded.kind == kind
    accepting = [other for other in KINDS if check_kind(other, tomllib.loads(text))[0]]
    assert accepting == [kind]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_is_launched(actor: Actor, machine: dict[str, Any], name: str) -> None:
    config = shipped(actor, name)
    sets = [word.format(**machine) for word in SHIPPED[name][1]]
    made = services.launch(actor=actor, config=config, sets=sets)
    assert isinstance(made, Run if SHIPPED[name][0] != "pipeline" else Pipeline)
    assert made.state in ("queued", "running")


@pytest.mark.parametrize("name", ["eval_fft_qwen4b", "eval_rl_qwen", "eval_math_ft", "rl_from_ft"])
def test_one_that_needs_a_model_says_so(actor: Actor, machine: dict[str, Any], name: str) -> None:
    with pytest.raises(Refused, match=r"There is no model|names no model"):
        services.launch(actor=actor, config=shipped(actor, name))


def test_rubric_and_judge_are_kept_and_reported(actor: Actor, machine: dict[str, Any]) -> None:
    plan = plan_run(
        project=actor.project,
        user=actor.user,
        loaded=services.load_stored(shipped(actor, "rl_from_base_qwen4b")),
    )
    reasons = {effect["key"]: effect["reason"] for effect in plan.effects}
    assert "not from a judge" in reasons["rubric"]
    assert "not from a judge" in reasons["judge"]


def test_a_secret_in_policy_headers_is_refused_and_points_to_providers() -> None:
    text = (FOLDER / "eval_base_qwen.toml").read_text()
    text += '[policy.headers]\nAuthorization = "Bearer sk-0123456789abcdef"\n'
    with pytest.raises(ConfigErrors, match="secret") as caught:
        load_toml(text)
    assert "add a provider in Settings" in str(caught.value)


@pytest.mark.parametrize("name", STEPWISE)
def test_step_rewards_reach_the_player_the_trace_and_the_result(
    actor: Actor, machine: dict[str, Any], groq: OpenAIServer, tmp_path: Path, name: str
) -> None:
    plan = played_plan(actor, name, machine)
    (tmp_path / "config.json").write_text(json.dumps(plan))
    values = play_run(open_job(tmp_path, Cancellation()))
    traces = [decode_trace(path.read_bytes()) for path in tmp_path.glob("traces/*")]
    turns = [turn for trace in traces for turn in trace.turns]
    weighed = name.endswith(("complex", "per_achievement"))
    weights = {"collect_sapling": 0.1, "make_wood_pickaxe": 0.3}
    for turn in turns:
        worth = sum(weights.get(n, 1.0) for n in turn.unlocked) if weighed else bool(turn.unlocked)
        assert turn.step_reward == pytest.approx(float(worth))
    assert any(turn.unlocked for turn in turns)
    assert values["step_reward"] == pytest.approx(sum(turn.step_reward for turn in turns))


def played_plan(actor: Actor, name: str, machine: dict[str, Any]) -> dict[str, Any]:
    """The run directory's config of two games, with what the stand-in's guide can read."""
    sets = [GROQ.format(**machine), "num_episodes=2", "observation=compact"]
    config = services.with_sets(actor=actor, config=shipped(actor, name), sets=sets)
    plan = plan_run(project=actor.project, user=actor.user, loaded=services.load_stored(config))
    policy = {**plan.inputs["policy"], "key_env": ""}
    return {"kind": "eval", "config": plan.resolved, "inputs": {"policy": policy}}
