"""The `rl` config: learn from reward. Synth's keys as they are (Crafter's and Math's examples)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from engine.config.hardware import Compute
from engine.config.play_sections import EnvConfig, Family, Observation, PolicySection
from engine.config.rl_generation import Reference, RlTopology, Vllm, WeightSync
from engine.config.rl_loss import RlLoss
from engine.config.rl_plan import RlPlan, make_plan
from engine.config.section import Section, Table, Tag, gpu_only, not_used
from engine.config.sft import Lora
from engine.config.vllm_command import why_not

JUDGED = "rewards come from the task app, not from a judge"


class RlAlgorithm(Section):
    """Which method learns from reward."""

    type: Literal["online"] = "online"
    """online: plays and learns in turns."""
    method: Literal["policy_gradient"] = "policy_gradient"
    """policy_gradient."""
    variety: Literal["gspo", "grpo"] = "gspo"
    """gspo weighs whole answers, grpo single tokens."""


class Services(Section):
    """The services that the training talks to."""

    task_url: str | None = Field(None, max_length=500)
    """The task app; without one, or with a placeholder, games are played on this machine."""
    answer_port: int | None = Field(None, ge=1, le=65_535)
    """Port of this machine at which a task app asks the model that learns; without one, any."""
    judge_url: str | None = not_used(None, JUDGED, max_length=500)
    """Synth's judge."""


class RlModel(Section):
    """Where the training starts: a base model or a checkpoint."""

    base: str | None = Field(None, max_length=300)
    """A base model, such as synthweb/crafter-small or Qwen/Qwen3-4B."""
    source: str | None = Field(None, max_length=300)
    """A checkpoint to go on from: ft:…, rl:… or stage:NAME."""
    label: str = Field("", max_length=200)
    """What lists call the result."""
    trainer_mode: Literal["full", "lora", "qlora"] | None = None
    """All weights, or adapters."""


class RlRollout(Section):
    """How the games are played that are learned from."""

    env_name: str = "crafter"
    """The task app."""
    policy_name: str = "crafter-react"
    """Which prompt the player uses."""
    env_config: EnvConfig = EnvConfig()
    """The environment's part."""
    policy_config: PolicySection = PolicySection()
    """The policy's part."""
    observation: Observation = "map"
    """How the game is shown: map, compact (for small models), or synth; where none is given, what
    the model was made to read, else map."""
    seed_start: int = Field(1_000_000, ge=0, lt=2**31)
    """First training world; every group takes the next one that is not in evaluation.seeds."""
    max_turns: int = Field(10, ge=1, le=1000)
    """Model calls in an episode before it is cut off and scored as it stands."""
    episodes_per_batch: int = Field(64, ge=1, le=100_000)
    """Episodes that are played before the model learns from them."""
    max_concurrent_rollouts: int = Field(8, ge=1, le=1024)
    """Episodes that are played at the same time."""
    batches_per_step: int = Field(1, ge=1, le=1000)
    """Batches of episodes in one learning step."""
    stored_per_group: int = Field(1, ge=1, le=1000)
    """How many games of each group are kept as traces; all of them show what it learned from."""
    ops: list[str] | None = not_used(None, "a turn is always one model call and its actions")
    """Synth's order of agent and env."""
    task_app_origin_rewards_only: bool | None = not_used(None, JUDGED)
    """Use no rewards but the task app's."""


class RlEvaluation(Section):
    """Games in between that are only measured."""

    instances: int | None = Field(None, ge=1, le=100_000)
    """How many of the seeds are played."""
    every_n_iters: int = Field(10, ge=1)
    """Iterations between two evaluations."""
    seeds: list[int] = Field([], max_length=100_000)
    """The worlds; never those of training."""


class RlTraining(Section):
    """The numbers of the training."""

    num_epochs: int = Field(1, ge=1, le=1000)
    """Rounds over all iterations."""
    iterations_per_epoch: int = Field(10, ge=1, le=1_000_000)
    """Iterations (play, then learn) in a round."""
    max_turns: int | None = Field(None, ge=1, le=1000)
    """The same as rollout.max_turns; 0.2.16 of Synth's client demands it."""
    ops: list[str] | None = not_used(None, "a turn is always one model call and its actions")
    """Synth's order of agent and env."""
    batch_size: int = Field(16, ge=1, le=100_000)
    """Turns that are trained on at once."""
    group_size: int = Field(4, ge=2, le=100_000)
    """Episodes on one seed that are compared with each other."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Batches whose gradients make one optimiser step."""
    max_accumulated_minibatch: int | None = Field(None, ge=1)
    """Most of those batches; fewer turns in one optimiser step than asked for."""
    learning_rate: float = Field(5e-5, gt=0, le=1)
    """How far one step goes at most."""
    warmup_iterations: int = Field(0, ge=0)
    """Iterations in which the learning rate rises to that."""
    final_rate: float = Field(1.0, ge=0, le=1)
    """Share of the learning rate that is left at the end; it falls evenly towards it."""
    log_interval: int = Field(1, ge=1)
    """Iterations between two points of the curves."""
    weight_sync_interval: int | None = gpu_only(None, ge=1)
    """Iterations between two hand-overs of the weights."""
    step_rewards_enabled: bool = False
    """Whether single decisions are rewarded."""
    step_rewards_mode: Literal["decision_stepwise", "off", "env_sparse"] = "decision_stepwise"
    """decision_stepwise rewards each decision, env_sparse only what the game itself rewards."""
    step_rewards_strategy: Literal[
        "consistent", "simple", "per_achievement", "complex", "achievement_weighted"
    ] = "consistent"
    """How decisions are rewarded; see [step_rewards] of an eval."""
    step_rewards_beta: float = 0.0
    """What each decision is worth by itself."""
    step_rewards_indicator_lambda: float = 1.0
    """What a decision with a new achievement is worth."""
    event_rewards_kind: Literal["unique", "absolute"] = "unique"
    """unique rewards an achievement once an episode, absolute every time."""
    reward_positive: float = 1.0
    """Math: a correct answer."""
    reward_negative_no_tool: float = -1.0
    """Math: no tool call."""
    reward_negative_no_answer: float = -0.5
    """Math: an empty answer."""
    weight_sync: WeightSync = WeightSync()
    """How the generator gets the trained weights."""
    max_seconds: float | None = Field(None, gt=0)
    """Stop after this much time and keep what was learned."""
    seed: int = Field(0, ge=0, lt=2**31)
    """All randomness of the training."""
    save_seconds: float = Field(60.0, ge=0)
    """Time between two checkpoints that a killed training goes on from; 0: each iteration."""
    lockstep: bool = False
    """Answer all games of a batch together, turn by turn: slower, and repeatable bit by bit."""


class RlData(Section):
    """Which problems (math)."""

    family: Family = "chain_sum"
    """Their generator, or local (the operator's file of problems)."""
    split: Literal["train", "validation", "test"] = "train"
    """The part of the problems that is trained on."""
    seed_start: int = Field(0, ge=0)
    """The first problem."""
    episodes_per_iteration: int | None = Field(None, ge=1)
    """Episodes that are played before the model learns from them."""
    evaluation_split: Literal["train", "validation", "test"] = "validation"
    """The part of the problems that is only measured."""
    evaluation_episodes: int | None = Field(None, ge=0)
    """How many of those."""


class RlConfig(Section):
    """Learn from reward: play groups of games on one seed, strengthen what did better."""

    type: Literal["rl"] = "rl"
    """rl."""
    name: str = Field("", max_length=200)
    """What lists call the run."""
    algorithm: RlAlgorithm = RlAlgorithm()
    """Which method."""
    services: Services = Services()
    """The services that the training talks to."""
    compute: Compute = Compute()
    """The cluster that Synth is asked for."""
    topology: RlTopology = RlTopology()
    """How Synth splits its GPUs."""
    vllm: Vllm = Vllm()
    """The generator on GPUs."""
    reference: Reference = Reference()
    """Synth's server for the reference model."""
    model: RlModel
    """Where the training starts."""
    lora: Lora | None = None
    """Adapters, where adapters are trained."""
    policy: PolicySection = PolicySection()
    """How the model is asked (math)."""
    rollout: RlRollout = RlRollout()
    """How the games are played."""
    evaluation: RlEvaluation = RlEvaluation()
    """Games in between that are only measured."""
    data: RlData = RlData()
    """Which problems (math)."""
    training: RlTraining = RlTraining()
    """The numbers of the training."""
    loss: RlLoss = RlLoss()
    """From rewards to the loss."""
    rubric: Table = not_used({}, JUDGED)
    """Synth's rubric."""
    judge: Table = not_used({}, JUDGED)
    """Synth's judge."""
    tags: dict[str, Tag] = {}
    """Words for finding the run again."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.base and self.model.source:
            raise ValueError("give either model.base or model.source, not both.")
        plan = make_plan(self)
        if plan.episodes % plan.group_size:
            raise ValueError(
                f"{plan.episodes} episodes an iteration are no whole groups of {plan.group_size}."
            )
        if plan.generation.url and (reason := why_not(plan)):
            raise ValueError(f"vllm.url: vLLM cannot generate for this training: {reason}.")
        return self

    def plan(self) -> RlPlan:
        """The flat view: one answer to each question."""
        return make_plan(self)
