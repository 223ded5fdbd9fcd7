"""From a valid config to everything a run is made of: frozen values, inputs, shards, leaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from apps.accounts.errors import Refused
from apps.accounts.models import Project, User
from apps.checkpoints.queries import leaked_seeds
from apps.launch.services.cluster import check_fit
from apps.launch.services.forks import complete_fork
from apps.launch.services.generators import find_generator
from apps.launch.services.machine import code_version, this_machine
from apps.launch.services.names import Found, find_base, find_data, find_policy
from apps.launch.services.reading import observation_of
from apps.launch.services.task_apps import find_task_app, find_training_app
from apps.runs.models import Config, Need, Run
from apps.runs.services import InputPlan, ShardPlan, create_run
from engine.config import (
    BaseConfig,
    ForkConfig,
    Loaded,
    Play,
    PlayConfig,
    RlConfig,
    Section,
    SftConfig,
    resolve,
)
from engine.config.play_sections import is_math
from engine.tasks import canonical_name, world_of


@dataclass
class RunPlan:
    """What `create_run` is called with, but for whose run it is."""

    kind: str
    name: str
    resolved: dict[str, Any]
    shards: Sequence[ShardPlan]
    effects: list[dict[str, Any]]
    model: str = ""
    task: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    leaked_seeds: list[int] = field(default_factory=list)
    input_rows: list[InputPlan] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    progress_unit: str = "episodes"
    retry_budget: int = 0  # retried model calls of the whole run

    def add(self, role: str, found: Found) -> None:
        """Take in what a name stands for."""
        self.inputs[role] = found.inputs
        self.warnings += found.warnings
        self.input_rows += found.rows


def freeze(loaded: Loaded) -> RunPlan:
    """The plan of a config before its names are resolved: defaults, effects, tags."""
    config = loaded.config
    frozen = resolve(config, this_machine())
    return RunPlan(
        kind=loaded.kind,
        name=getattr(config, "name", ""),
        resolved=frozen.config,
        shards=[],
        effects=[effect.to_json() for effect in frozen.effects],
        tags=[f"{key}:{value}"[:60] for key, value in getattr(config, "tags", {}).items()],
    )


def plan_run(*, project: Project, user: User | None, loaded: Loaded, dry: bool = False) -> RunPlan:
    """Resolve every name of a config. A data file becomes a dataset, unless `dry`.

    Raises Refused(422) with what is missing and what there is.
    """
    original = None
    if isinstance(loaded.config, ForkConfig):
        loaded, original = complete_fork(project=project, loaded=loaded)
    config = loaded.config
    plan = freeze(loaded)
    if original is not None:
        plan.add("original", original)
    if isinstance(config, PlayConfig):
        _plan_play(plan, project, config)
    elif isinstance(config, SftConfig):
        _plan_sft(plan, config, partial(find_data, project, user, dry=dry), project)
    elif isinstance(config, RlConfig):
        _plan_rl(plan, project, config)
        plan.name = plan.name or config.model.label
    elif isinstance(config, BaseConfig):
        plan.model, plan.task = config.model, canonical_name(config.task)
        _train_shard(plan)
    else:
        raise _cannot_launch(loaded)
    plan.name = plan.name or plan.model or loaded.name
    return plan


def make_run(
    *,
    project: Project,
    user: User | None,
    plan: RunPlan,
    config: Config | None,
    parent: Run | None = None,
    priority: int = 5,
    name: str = "",
) -> Run:
    """The draft run of a plan. Every call makes a new one."""
    return create_run(
        project=project,
        user=user,
        kind=plan.kind,
        name=(name or plan.name)[:200],
        config=config,
        resolved=plan.resolved,
        inputs=plan.inputs,
        shards=plan.shards,
        effects=plan.effects,
        warnings=plan.warnings,
        leaked_seeds=plan.leaked_seeds,
        task=plan.task,
        model=plan.model,
        input_rows=plan.input_rows,
        parent=parent,
        tags=plan.tags,
        priority=priority,
        code_version=code_version(),
        progress_unit=plan.progress_unit,
        retry_budget=plan.retry_budget,
    )


def models_of(loaded: Loaded) -> list[str]:
    """The model ids that a config needs on this machine, stages' references left out."""
    config = loaded.config
    if isinstance(config, PlayConfig):
        names = [] if config.provider or config.model in ("random", "guide") else [config.model]
    elif isinstance(config, SftConfig):
        names = [config.job.model]
    elif isinstance(config, RlConfig):
        names = [config.plan().model]
    else:
        names = []
    return [name for name in names if not name.startswith("stage:")]


def split_episodes(play: Play) -> list[ShardPlan]:
    """The games of a run in `play.shards` parts of nearly the same size, each a run of seeds."""
    games = [{"seed": seed, "repeat": repeat} for seed, repeat in play.episodes]
    n_shards = min(play.shards, len(games))
    size, rest = divmod(len(games), n_shards)
    plans, start = [], 0
    for index in range(n_shards):
        end = start + size + (index < rest)
        plans.append(ShardPlan(Need.ROLLOUT, games[start:end]))
        start = end
    return plans


def _plan_play(plan: RunPlan, project: Project, config: PlayConfig) -> None:
    play = config.play()
    found = find_policy(project, play)
    plan.add("policy", found)
    task_app = find_task_app(project, play, found)
    if task_app is not None:
        plan.add("task_app", task_app)
    plan.model = play.model
    plan.task = plan.resolved["task"] = canonical_name(play.task)
    if task_app is None:
        _show_as_trained(plan, config, plan.resolved, found)
    plan.shards = split_episodes(play)
    plan.retry_budget = play.limits.retries
    if plan.kind == "eval" and found.checkpoint is not None:
        plan.leaked_seeds = leaked_seeds(
            found.checkpoint,
            task=plan.task,
            world_version=world_of(plan.task, plan.resolved),
            seeds=play.seeds,
        )
    if plan.leaked_seeds:
        plan.warnings.append(
            f"{plan.model} was trained on {len(plan.leaked_seeds)} of these worlds: "
            "this score says nothing about new ones."
        )


def _plan_sft(
    plan: RunPlan, config: SftConfig, data: Callable[[str, str], Found], project: Project
) -> None:
    wanted = config.plan()
    found = find_base(project, wanted.model)
    plan.add("base", found)
    plan.warnings += check_fit(config, found.checkpoint)
    plan.add("data", data(wanted.data, "data"))
    if wanted.validation_data:
        plan.add("validation", data(wanted.validation_data, "validation"))
    plan.model = wanted.model
    _train_shard(plan)


def _plan_rl(plan: RunPlan, project: Project, config: RlConfig) -> None:
    wanted = config.plan()
    task_app = find_training_app(project, wanted.task_app_url)
    if task_app is not None:
        plan.add("task_app", task_app)
    if not wanted.model:
        raise Refused(
            "no_model",
            "The config names no model to start from.",
            "Give model.base, or model.source = a checkpoint (ft:…, rl:…).",
            status=422,
            fields={"model": "missing"},
        )
    found = find_base(project, wanted.model)
    plan.add("base", found)
    generator = find_generator(project, wanted)
    if generator is not None:
        plan.add("vllm", generator)
    plan.warnings += check_fit(config, found.checkpoint)
    plan.model, plan.task = wanted.model, canonical_name(wanted.task)
    if task_app is None:
        _show_as_trained(plan, config.rollout, plan.resolved["rollout"], found)
    if found.checkpoint is not None:
        plan.leaked_seeds = leaked_seeds(
            found.checkpoint,
            task=plan.task,
            world_version=world_of(
                plan.task, {**wanted.evaluation_options, "math": wanted.evaluation_options}
            ),
            seeds=wanted.evaluation_seeds,
        )
    if plan.leaked_seeds:
        plan.warnings.append(
            f"{plan.model} was trained on {len(plan.leaked_seeds)} of evaluation.seeds: "
            "what is measured there says nothing about new worlds."
        )
    _train_shard(plan, "iterations")


def _show_as_trained(plan: RunPlan, given: Section, frozen: dict[str, Any], found: Found) -> None:
    """Where the config does not say how the game is shown: as the model was made to read it."""
    named = "observation" in given.model_fields_set
    if named or found.checkpoint is None or is_math(plan.task):
        return
    shown = observation_of(found.checkpoint)
    if shown and shown != frozen["observation"]:
        frozen["observation"] = shown
        plan.warnings.append(
            f"observation = {shown}: {found.checkpoint.model_id} was made to read that, and the "
            "config names none."
        )


def _train_shard(plan: RunPlan, unit: str = "steps") -> None:
    plan.shards = [ShardPlan(Need.TRAIN, total=0)]
    plan.progress_unit = unit


def _cannot_launch(loaded: Loaded) -> Refused:
    message = f"A config of kind {loaded.kind} is not launched as a run."
    return Refused("not_launchable", message, status=422)
