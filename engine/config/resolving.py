"""The frozen form of a config: all defaults filled in, and what has no effect on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from engine.config.flat import plays_math
from engine.config.kinds import section_of
from engine.config.mistakes import dotted
from engine.config.play import PlayConfig
from engine.config.play_sections import MathSection
from engine.config.rl import RlConfig
from engine.config.rl_plan import fill_rl
from engine.config.section import Section, write_seeds
from engine.config.sft import SftConfig

_CALL_KEYS = (
    "temperature", "top_p", "max_tokens", "thinking_mode", "thinking_budget", "use_tools",
    "inference_url", "policy_name",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """What a config is resolved for: the GPUs and CPU cores of the machine that will run it."""

    gpu_count: int = 0
    gpu_names: tuple[str, ...] = ()
    cpu_count: int = 2
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """A key that was given and changes nothing here, with the reason; it is kept all the same."""

    key: str
    value: Any
    reason: str

    def sentence(self) -> str:
        return f"{self.key} = {self.value!r} has no effect on this machine: {self.reason}."

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Resolved:
    """`config` is JSON-ready and complete; `load_json(config)` gives the same config again."""

    kind: str
    config: dict[str, Any]
    effects: list[Effect]


def resolve(config: Section, machine: Machine) -> Resolved:
    """Fill in every default and say which given keys change nothing on `machine`."""
    data = config.model_dump(mode="json", exclude_none=True)
    if isinstance(config, PlayConfig):
        data = _fill_play(data, config)
    if isinstance(config, SftConfig):
        data = _fill_sft(data, config)
    if isinstance(config, RlConfig):
        data = fill_rl(data, config)
    effects = list(_marked(config, machine, ()))
    if isinstance(config, PlayConfig):
        effects += [*_of_builtin(config), *_of_math(config)]
    if isinstance(config, SftConfig):
        effects += _of_adapters(config)
        if config.training.cpu_processes > 1:  # these share weights as GPUs do
            effects = [e for e in effects if e.key != "hyperparameters.parallelism.fsdp"]
    if isinstance(config, RlConfig) and config.vllm.url:  # GPUs elsewhere get the weights
        effects = [e for e in effects if not e.key.startswith("training.weight_sync")]
    return Resolved(str(data["type"]), data, effects)


def _fill_play(data: dict[str, Any], config: PlayConfig) -> dict[str, Any]:
    """Say at the top level what is played, wherever it was written and whatever the default is."""
    play = config.play()
    flat = {
        key: getattr(play, key)
        for key in (
            *("task", "model", "policy_name", "max_turns", "max_steps", "temperature", "top_p"),
            *("max_tokens", "use_tools"),
        )
    }
    flat |= {key: play.options[key] for key in ("difficulty", "split") if key in play.options}
    if plays_math(config):
        flat["math"] = {key: play.options[key] for key in MathSection.model_fields}
    kept = {k: v for k, v in data.items() if k not in ("num_episodes", "seed_start")}
    return {
        **kept,
        **flat,
        "seeds": write_seeds(play.seeds),
        "step_rewards": play.step_rewards.model_dump(mode="json"),
    }


def _fill_sft(data: dict[str, Any], config: SftConfig) -> dict[str, Any]:
    plan = config.plan()
    numbers = {
        **data["hyperparameters"],
        "per_device_batch": plan.batch_size,
        "gradient_accumulation_steps": plan.gradient_accumulation_steps,
        "train_kind": "fft" if plan.method == "full" else plan.method,
    }
    return {**data, "hyperparameters": numbers}


def _marked(section: Section, machine: Machine, path: tuple[str, ...]) -> Iterator[Effect]:
    """Effects of the fields that are marked with gpu_only or not_used and were given."""
    for name, field in type(section).model_fields.items():
        if name not in section.model_fields_set:
            continue
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _marked(value, machine, (*path, name))
            continue
        if section_of(field.annotation) and isinstance(value, dict):
            for key, inner in value.items():
                yield from _marked(inner, machine, (*path, name, key))
            continue
        extra = field.json_schema_extra
        effect = extra.get("effect") if isinstance(extra, dict) else None
        if effect == "gpu" and machine.gpu_count:
            continue
        if effect and value not in (None, {}, []):
            cores = f"it has no GPU, its {machine.cpu_count} CPU cores do the work"
            reason = cores if effect == "gpu" else str(effect)
            yield Effect(dotted((*path, name)), value, reason)


def _of_builtin(config: PlayConfig) -> list[Effect]:
    if not is_builtin(config):
        return []
    reason = f"the built-in policy {config.model} makes no model call"
    given = {key: getattr(config, key) for key in _CALL_KEYS}
    return [Effect(key, value, reason) for key, value in given.items() if value is not None]


def _of_math(config: PlayConfig) -> list[Effect]:
    if not plays_math(config) or "observation" not in config.model_fields_set:
        return []
    return [Effect("observation", config.observation, "a problem is read as it is")]


def _of_adapters(config: SftConfig) -> list[Effect]:
    if config.plan().method != "full" or "lora" not in config.training.model_fields_set:
        return []
    return [Effect("training.lora", "a table", "all weights are trained, there is no adapter")]


def is_builtin(config: PlayConfig) -> bool:
    """Whether the policy is one of ours that needs no model."""
    return config.provider == "builtin" or (
        not config.provider and config.model in ("random", "guide")
    )
