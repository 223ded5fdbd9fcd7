"""What clients send, as far as it is understood; both versions of `synth-ai` send more, which is
left alone.

A body that does not fit raises pydantic's ValidationError, which becomes 422 with its fields.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

AGENT_OPS = frozenset(("agent", "policy", "model"))
ENV_OPS = frozenset(("env", "environment", "step"))
_Id = Field(min_length=1, max_length=200)
_Seed = Field(ge=0, lt=2**63)


class Body(BaseModel):
    """Keys that nobody here reads are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class PolicyConfig(Body):
    model: str = Field("", max_length=300)
    provider: str = Field("", max_length=100)
    inference_url: str = Field("", max_length=2000)
    api_key: str = Field("", max_length=1000)
    temperature: float = Field(1.0, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(512, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    max_llm_calls: int = Field(10, ge=1)
    thinking_mode: str | None = None
    thinking_budget: int | None = Field(None, ge=0)
    use_tools: bool = True
    step_rewards: dict[str, Any] | None = None

    @field_validator(
        "model", "provider", "inference_url", "api_key", "temperature", "top_p", "max_tokens",
        "max_llm_calls", "use_tools", mode="before",
    )  # fmt: skip
    @classmethod
    def _null_is_default(cls, value: Any, info: Any) -> Any:
        """Clients send null for what they leave open."""
        return cls.model_fields[info.field_name].default if value is None else value


class PolicySpec(Body):
    policy_id: str | None = Field(None, max_length=200)
    policy_name: str | None = Field(None, max_length=200)
    config: PolicyConfig = PolicyConfig()


class EnvSpec(Body):
    env_id: str | None = Field(None, max_length=200)
    env_name: str | None = Field(None, max_length=200)
    seed: int = Field(0, ge=0, lt=2**63)
    config: dict[str, Any] = {}

    @field_validator("seed", "config", mode="before")
    @classmethod
    def _null_is_default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value


class Record(Body):
    trajectories: bool = True
    logprobs: bool = False
    value: bool = False
    return_trace: bool = False
    trace_format: Literal["compact", "full", "structured"] = "compact"


class Safety(Body):
    max_ops: int = Field(100_000, ge=1)
    max_time_s: float = Field(3600.0, gt=0)


class RolloutBody(Body):
    run_id: str = _Id
    env: EnvSpec
    policy: PolicySpec
    ops: list[str | dict[str, Any]]
    record: Record = Record()
    on_done: Literal["reset", "terminate"] = "reset"
    safety: Safety = Safety()
    training_session_id: str | None = Field(None, max_length=200)
    synth_base_url: str | None = Field(None, max_length=2000)
    mode: str | None = Field(None, max_length=20)

    def n_turns(self) -> int:
        """How many pairs of agent and env `ops` asks for. Raises ValueError for another order."""
        wanted = "agent"
        for index, op in enumerate(self.ops):
            name = op.get("type", op.get("op")) if isinstance(op, dict) else op
            kind = "agent" if name in AGENT_OPS else "env" if name in ENV_OPS else ""
            if not kind:
                raise ValueError(f"ops[{index}] {str(name)[:60]!r} is unknown: agent or env")
            if kind != wanted:
                raise ValueError(f"ops[{index}] is {kind}: agent and env take turns, agent first")
            wanted = "env" if kind == "agent" else "agent"
        turns = len(self.ops) // 2
        if not turns:
            raise ValueError("ops asks for nothing: agent, env, agent, env, …")
        return min(turns, self.safety.max_ops // 2 or 1, self.policy.config.max_llm_calls)


class RunBody(Body):
    run_id: str = _Id


class InitializeBody(Body):
    seed: int | None = Field(None, ge=0, lt=2**63)
    env_name: str | None = Field(None, max_length=200)
    world_config: dict[str, Any] | str | None = None
    config: dict[str, Any] | str | None = None
    initial_state: None = None

    def options(self) -> dict[str, Any]:
        """config, then world_config, which may be the name of a difficulty."""
        merged: dict[str, Any] = {}
        for part in (self.config, self.world_config):
            merged |= {"difficulty": part} if isinstance(part, str) else part or {}
        return merged


class StepBody(Body):
    env_id: str = _Id
    action: Any = None
    tool_calls: Any = None


class EnvBody(Body):
    env_id: str = _Id
    seed: int | None = Field(None, ge=0, lt=2**63)


class RestoreBody(Body):
    snapshot_id: str = _Id


class BranchBody(Body):
    env_id: str | None = Field(None, max_length=200)
    env_ids: list[str] | None = Field(None, max_length=100)
    policy_ids: list[str] | None = Field(None, max_length=100)
    num_children: int = Field(1, ge=1, le=100)
