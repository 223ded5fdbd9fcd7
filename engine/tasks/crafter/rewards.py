"""Rewards beside the game's own: per decision (one tool call), per event, per episode.

A pure module: it sees names of achievements, never a world. Names and keys are those of synth-ai's
configs. A decision's `new` are the achievements unlocked by it for the first time in the episode,
`achieved` all that it did, repeats of earlier ones included (absent: the same as `new`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.errors import ConfigError
from engine.tasks.crafter.rules import ACHIEVEMENTS

MODES = ("decision_stepwise", "off", "env_sparse")
STRATEGIES: dict[str, str] = {
    "consistent": "consistent",
    "simple": "consistent",
    "per_achievement": "per_achievement",
    "complex": "per_achievement",
    "achievement_weighted": "per_achievement",
}
EventKind = Literal["unique", "absolute"]


def achievement_name(name: str) -> str:
    """The canonical name; `craft_wood_pickaxe` is `make_wood_pickaxe`. Raises ConfigError."""
    canonical = f"make_{name[6:]}" if name.startswith("craft_") else name
    if canonical in ACHIEVEMENTS:
        return canonical
    raise ConfigError(f"achievement {name!r} is unknown; known: {', '.join(ACHIEVEMENTS)}")


@dataclass(frozen=True, slots=True)
class StepRewards:
    """How a decision is rewarded. Build it with `read_step_rewards`.

    consistent: `indicator_lambda` if the decision unlocked anything.
    per_achievement: `indicator_lambda` times the weights (default 1) of what it achieved, each
    achievement at most `k_limits` times an episode (default 1; 0 or less: no limit).
    env_sparse: the game's own reward. off, or not enabled: 0.
    `step_beta` is what each decision is worth by itself, in a training (engine/train/rl_play.py).
    """

    enabled: bool = True
    mode: str = "decision_stepwise"
    strategy: str = "consistent"
    indicator_lambda: float = 1.0
    step_beta: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    k_limits: Mapping[str, int] = field(default_factory=dict)


def read_step_rewards(options: Mapping[str, Any]) -> StepRewards:
    """A config's `step_rewards` section; `beta` is taken for `step_beta`.

    Raises ConfigError for unknown keys, modes, strategies or achievements.
    """
    given = {("step_beta" if key == "beta" else key): value for key, value in options.items()}
    known = StepRewards.__dataclass_fields__
    for key in given:
        if key not in known:
            raise ConfigError(f"step_rewards has no key {key!r}; known: {', '.join(known)}")
    mode = given.get("mode") or "decision_stepwise"
    if mode not in MODES:
        raise ConfigError(f"step_rewards.mode {mode!r} is unknown; known: {', '.join(MODES)}")
    strategy = given.get("strategy") or "consistent"
    if strategy not in STRATEGIES:
        names = ", ".join(STRATEGIES)
        raise ConfigError(f"step_rewards.strategy {strategy!r} is unknown; known: {names}")
    return StepRewards(
        enabled=bool(given.get("enabled", True)),
        mode=mode,
        strategy=STRATEGIES[strategy],
        indicator_lambda=float(given.get("indicator_lambda", 1.0)),
        step_beta=float(given.get("step_beta", 0.0)),
        weights={achievement_name(k): float(v) for k, v in (given.get("weights") or {}).items()},
        k_limits={achievement_name(k): int(v) for k, v in (given.get("k_limits") or {}).items()},
    )


class DecisionRewarder:
    """Rewards the decisions of one episode in order, and keeps the record that Synth expects."""

    def __init__(self, rules: StepRewards) -> None:
        self.rules = rules
        self.samples: list[dict[str, Any]] = []
        self._paid: Counter[str] = Counter()
        self._n_new = 0

    def decision(
        self,
        new: Sequence[str],
        env_reward: float = 0.0,
        achieved: Sequence[str] | None = None,
        actions: Sequence[str] = (),
    ) -> float:
        """The reward of the next decision."""
        rules, components = self.rules, dict[str, float]()
        self._n_new += len(new)
        if not rules.enabled or rules.mode == "off":
            amount = 0.0
        elif rules.mode == "env_sparse":
            amount = env_reward
        elif rules.strategy == "consistent":
            amount = rules.indicator_lambda if new else 0.0
        else:
            components = self._components(new if achieved is None else achieved)
            amount = sum(components.values())
        sample: dict[str, Any] = {
            "decision_index": len(self.samples),
            "indicator": int(bool(new)),
            "r_i": amount,
            "base": env_reward,
            "strategy": rules.strategy,
            "actions": list(actions),
        }
        if components:
            sample["components"] = components
        self.samples.append(sample)
        return amount

    def _components(self, achieved: Iterable[str]) -> dict[str, float]:
        components: dict[str, float] = {}
        for name in achieved:
            limit = self.rules.k_limits.get(name, 1)
            if limit > 0 and self._paid[name] >= limit:
                continue
            self._paid[name] += 1
            weight = self.rules.weights.get(name, 1.0)
            components[name] = components.get(name, 0.0) + self.rules.indicator_lambda * weight
        return components

    def details(self) -> dict[str, Any]:
        """`details.stepwise` of a rollout's metrics."""
        rules = self.rules
        return {
            "indicator_sum": sum(sample["indicator"] for sample in self.samples),
            "reward_sum": sum(sample["r_i"] for sample in self.samples),
            "new_achievements_total": self._n_new,
            "mode": rules.mode if rules.enabled else "off",
            "strategy": rules.strategy,
            "indicator_lambda": rules.indicator_lambda,
            "step_beta": rules.step_beta,
            "weights": dict(rules.weights),
            "k_limits": dict(rules.k_limits),
        }


def event_reward(kind: EventKind, new: Sequence[str], achieved: Sequence[str]) -> float:
    """Of one event: `unique` counts first unlocks of the episode, `absolute` what it achieved."""
    return float(len(new) if kind == "unique" else len(set(achieved)))


def outcome_reward(unlocked: Iterable[str]) -> float:
    """Of an episode: how many different achievements."""
    return float(len(set(unlocked)))
