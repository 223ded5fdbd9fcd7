"""From a pipeline's sections to stages that can run: files put in, order found, mistakes named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.config.guards import walk
from engine.config.kinds import check_kind, find_kind
from engine.config.mistakes import ConfigErrors, Mistake, Path, dotted, nearest
from engine.config.pipeline import STAGE_REFERENCE, PipelineConfig, StageSection
from engine.config.section import read_seeds

Source = Callable[
    [str], dict[str, Any]
]  # file name → its parsed data; raises ConfigErrors, OSError
_RUNNABLE = ("eval", "rollout", "sft", "rl", "base", "dataset", "noop")
# kind → where `model` and `dataset` of a stage go
_MODEL_KEY: dict[str, Path] = {
    "eval": ("model",),
    "rollout": ("model",),
    "sft": ("job", "model"),
    "rl": ("model", "source"),
}
_PLAYS = ("eval", "rollout")


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage, ready: its kind, its whole config (before defaults), the stages it waits for."""

    name: str
    kind: str
    data: dict[str, Any]
    needs: tuple[str, ...]


def plan_stages(config: PipelineConfig, source: Source) -> list[StagePlan]:
    """The stages in an order in which each comes after what it needs.

    Raises ConfigErrors with every mistake; their keys are relative to the pipeline.
    """
    mistakes: list[Mistake] = []
    plans: dict[str, StagePlan] = {}
    for name, stage in config.stages.items():
        plan = _plan_stage(name, stage, source, mistakes)
        if plan is not None:
            plans[name] = plan
    for plan in plans.values():
        mistakes += _unknown_needs(plan, config)
    if not mistakes:
        mistakes += _check_roles(config, plans)
    ordered = [] if mistakes else _order(plans, mistakes)
    if not mistakes:
        mistakes += _check_table(config, plans)
        mistakes += [] if config.allow_leaked_seeds else _check_seeds(plans)
    if mistakes:
        raise ConfigErrors("", mistakes)
    return ordered


def _plan_stage(
    name: str, stage: StageSection, source: Source, mistakes: list[Mistake]
) -> StagePlan | None:
    here: Path = ("stages", name)
    try:
        data = source(stage.config) if isinstance(stage.config, str) else dict(stage.config)
        kind = find_kind(data)
    except ConfigErrors as error:
        mistakes += [
            Mistake(
                dotted((*here, "config")), mistake.sentence(error.name), hint=mistake.hint and ""
            )
            for mistake in error.mistakes
        ]
        return None
    if kind not in _RUNNABLE:
        mistakes.append(Mistake(dotted((*here, "config")), f"a {kind} cannot be a stage."))
        return None
    overrides, misplaced = _overrides(kind, stage)
    mistakes += [
        Mistake(dotted((*here, key)), f"a stage of kind {kind} takes no {key}.")
        for key in misplaced
    ]
    merged = _merge(data, overrides)
    mistakes += _stage_mistakes(here, stage, kind, merged)
    references = [
        m[1]
        for _, value in walk(merged)
        if isinstance(value, str) and (m := STAGE_REFERENCE.fullmatch(value))
    ]
    needs = tuple(dict.fromkeys([*references, *stage.after]))
    return StagePlan(name, kind, merged, needs)


def _overrides(kind: str, stage: StageSection) -> tuple[dict[str, Any], list[str]]:
    """What the stage changes in its config, and the stage keys that its kind cannot take."""
    changes, misplaced = dict(stage.set), []
    if stage.model is not None:
        if kind in _MODEL_KEY:
            changes = _merge(changes, _nest(_MODEL_KEY[kind], stage.model))
            if kind == "rl":
                changes["model"]["base"] = ""  # what the config itself would start from
            if kind in _PLAYS and STAGE_REFERENCE.fullmatch(stage.model):
                changes = {"provider": "", **changes}
        else:
            misplaced.append("model")
    if stage.dataset is not None:
        if kind == "sft":
            changes = _merge(changes, {"job": {"data": stage.dataset}})
        else:
            misplaced.append("dataset")
    if stage.runs is not None:
        if kind == "dataset":
            changes["runs"] = list(stage.runs)
        else:
            misplaced.append("runs")
    return changes, misplaced


def _stage_mistakes(
    here: Path, stage: StageSection, kind: str, data: dict[str, Any]
) -> list[Mistake]:
    """Mistakes of a stage's merged config, each under the key of the pipeline that causes it."""
    _, found = check_kind(kind, data)
    result = []
    for path, mistake in found:
        if _has(stage.set, path):
            key: Path = (*here, "set", *path)
        elif isinstance(stage.config, str):
            result.append(Mistake(dotted((*here, "config")), mistake.sentence(stage.config)))
            continue
        else:
            key = (*here, "config", *path)
        result.append(
            Mistake(dotted(key), mistake.message, hint=mistake.hint, nearest=mistake.nearest)
        )
    return result


def _unknown_needs(plan: StagePlan, config: PipelineConfig) -> list[Mistake]:
    mistakes = []
    for need in plan.needs:
        if need in config.stages and need != plan.name:
            continue
        close = nearest(need, [name for name in config.stages if name != plan.name])
        wish = f", did you mean stage:{close}?" if close else "."
        why = "needs itself." if need == plan.name else f"there is no stage {need[:60]!r}{wish}"
        mistakes.append(Mistake(f"stages.{plan.name}", why, nearest=close))
    return mistakes


def _check_roles(config: PipelineConfig, plans: dict[str, StagePlan]) -> list[Mistake]:
    """A model comes from a training, a dataset from a dataset stage, games from a run that plays.
    A model comes from a training, a dataset from a dataset stage, games from a run that plays."""
    wanted = {"model": ("sft", "rl", "base"), "data": ("dataset",), "runs": ("eval", "rollout")}
    mistakes = []
    for plan in plans.values():
        for path, value in walk(plan.data):
            match = STAGE_REFERENCE.fullmatch(value) if isinstance(value, str) else None
            if match is None:
                continue
            words = [str(part) for part in path]
            role = "runs" if "runs" in words else "data" if "data" in words[-1:] else "model"
            if plans[match[1]].kind not in wanted[role]:
                kinds = " or ".join(wanted[role])
                message = f"stage {match[1]} is of kind {plans[match[1]].kind}; needed is {kinds}."
                mistakes.append(Mistake(f"stages.{plan.name}", message))
    return mistakes


def _order(plans: dict[str, StagePlan], mistakes: list[Mistake]) -> list[StagePlan]:
    """Stages after their needs, otherwise as written."""
    done: dict[str, StagePlan] = {}
    left = dict(plans)
    while left:
        ready = [plan for plan in left.values() if all(need in done for need in plan.needs)]
        if not ready:
            circle = ", ".join(left)
            mistakes.append(Mistake("stages", f"these wait for each other in a circle: {circle}."))
            return []
        done[ready[0].name] = left.pop(ready[0].name)
    return list(done.values())


def _check_table(config: PipelineConfig, plans: dict[str, StagePlan]) -> list[Mistake]:
    if config.table is None:
        return []
    mistakes = []
    for row in config.table.rows:
        if row not in plans:
            close = nearest(row, list(plans))
            wish = f", did you mean {close}?" if close else "."
            mistakes.append(
                Mistake("table.rows", f"there is no stage {row[:60]!r}{wish}", nearest=close)
            )
        elif plans[row].kind != "eval":
            mistakes.append(Mistake("table.rows", f"stage {row} is no eval but {plans[row].kind}."))
    return mistakes


def _check_seeds(plans: dict[str, StagePlan]) -> list[Mistake]:
    """No eval on worlds that the model, or what it was made of, was trained on."""
    mistakes = []
    for plan in plans.values():
        if plan.kind != "eval":
            continue
        seen = _ancestors(plan, plans)
        trained = {
            seed for name in seen if plans[name].kind == "rollout" for seed in _seeds(plans[name])
        }
        leaked = sorted(trained.intersection(_seeds(plan)))
        if leaked:
            message = (
                f"would be scored on {len(leaked)} worlds that its model is trained on "
                f"(first: seed {leaked[0]}); give the eval other seeds."
            )
            mistakes.append(Mistake(f"stages.{plan.name}", message))
    return mistakes


def _ancestors(plan: StagePlan, plans: Mapping[str, StagePlan]) -> set[str]:
    found: set[str] = set()
    todo = list(plan.needs)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += plans[name].needs
    return found


def _seeds(plan: StagePlan) -> tuple[int, ...]:
    if "seeds" in plan.data:
        return read_seeds(plan.data["seeds"])
    start = plan.data.get("seed_start", 1)
    return tuple(range(start, start + plan.data.get("num_episodes", 0)))


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `under`, tables deep, everything else replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _nest(path: Path, value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {str(part): value}
    return dict(value)


def _has(data: Any, path: Path) -> bool:
    for part in path:
        if not isinstance(data, Mapping) or part not in data:
            return False
        data = data[part]
    return True
