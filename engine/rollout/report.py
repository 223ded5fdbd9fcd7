"""What a shard found out, in figures: of the running shard for its curves, of all for its result.

Lives here: summaries -> figures. Not here: the statistics (`scores.py`).
Broken episodes (`BROKEN`) are counted by their ending and never scored.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from engine.rollout.scores import (
    achievement_rates,
    as_dict,
    bootstrap_mean,
    crafter_score,
    success_rate,
)
from engine.traces.record import BROKEN, EpisodeSummary


class Tally:
    """Collects the summaries of one shard as its episodes end."""

    def __init__(self, achievements: Sequence[str]) -> None:
        self.achievements = achievements
        self.summaries: list[EpisodeSummary] = []
        self._started = time.monotonic()
        self._sums: Counter[str] = Counter()

    def add(self, summary: EpisodeSummary) -> None:
        """Count one ended episode."""
        self.summaries.append(summary)
        scored = summary.ended not in BROKEN
        self._sums["scored"] += scored
        self._sums["broken"] += not scored
        self._sums["calls"] += summary.n_turns
        self._sums["failed_calls"] += summary.n_failed_calls
        self._sums["prompt_tokens"] += summary.prompt_tokens
        self._sums["completion_tokens"] += summary.completion_tokens
        self._sums["steps"] += summary.n_steps
        self._sums["step_reward"] += summary.step_reward  # type: ignore[assignment]
        if scored:
            self._sums["achievements"] += summary.n_achievements
            self._sums["return"] += summary.episode_return  # type: ignore[assignment]
            self._sums["outcome"] += summary.outcome_reward  # type: ignore[assignment]

    def curve(self) -> dict[str, float]:
        """Running means for the curves; every name at every point, so that they line up."""
        sums, n = self._sums, max(1, self._sums["scored"])
        seconds = max(1e-6, time.monotonic() - self._started)
        score = (
            {"episodes.achievements": sums["achievements"] / n}
            if self.achievements
            else {"episodes.accuracy": sums["outcome"] / n}
        )
        return {
            **score,
            "episodes.return": sums["return"] / n,
            "episodes.broken": sums["broken"],
            "calls.failed": sums["failed_calls"],
            "calls.per_second": sums["calls"] / seconds,
            "steps.per_second": sums["steps"] / seconds,
        }

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens so far."""
        return self._sums["prompt_tokens"] + self._sums["completion_tokens"]

    def result(self) -> dict[str, Any]:
        """All figures of the shard, JSON-ready."""
        scored = [row for row in self.summaries if row.ended not in BROKEN]
        seconds = time.monotonic() - self._started
        return {
            "episodes": len(self.summaries),
            "scored": len(scored),
            "endings": dict(Counter(row.ended for row in self.summaries)),
            **self._score(scored),
            "return": as_dict(bootstrap_mean([row.episode_return for row in scored])),
            "outcome": as_dict(bootstrap_mean([row.outcome_reward for row in scored])),
            "calls": self._sums["calls"],
            "failed_calls": self._sums["failed_calls"],
            "step_reward": self._sums["step_reward"],
            "steps": self._sums["steps"],
            "prompt_tokens": self._sums["prompt_tokens"],
            "completion_tokens": self._sums["completion_tokens"],
            "cost_usd": sum(row.cost_usd for row in self.summaries),
            "seconds": round(seconds, 3),
        }

    def _score(self, scored: Sequence[EpisodeSummary]) -> dict[str, Any]:
        """Achievements where the task has some, else the share of solved episodes."""
        if not self.achievements:
            solved = sum(row.outcome_reward >= 1 for row in scored)
            answers = Counter(row.ending or row.ended for row in scored)
            rate = as_dict(success_rate(solved, len(scored)))
            return {"accuracy": rate, "answers": dict(answers)}
        rates = achievement_rates([row.achievements for row in scored], self.achievements)
        return {
            "achievements": as_dict(bootstrap_mean([row.n_achievements for row in scored])),
            "crafter_score": crafter_score(rate.rate for rate in rates.values()),
            "per_achievement": {name: as_dict(rate) for name, rate in rates.items()},
        }
