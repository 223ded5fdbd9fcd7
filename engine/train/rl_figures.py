"""What an iteration of reinforcement learning says about itself, as figures with fixed names.

Lives here: metrics of the games and of the training. What they mean together: `diagnostics.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev

from engine.rollout.scores import achievement_rates, bootstrap_mean
from engine.traces.record import BROKEN, Trace
from engine.train.rl_play import Parts


def game_figures(
    traces: Sequence[Trace], parts: Sequence[Sequence[Parts]], achievements: Sequence[str]
) -> dict[str, float]:
    """Of one iteration's games; parts: of each game, one a turn. Broken games are not scored."""
    played = [t for t in traces if t.summary.ended not in BROKEN]
    rewards = [
        sum(part.total for part in of_game)
        for trace, of_game in zip(traces, parts, strict=True)
        if trace.summary.ended not in BROKEN
    ]
    mean = bootstrap_mean(rewards)
    turns = [turn for trace in traces for turn in trace.turns]
    values = {
        "train.reward": mean.mean,
        "train.reward_low": mean.low,
        "train.reward_high": mean.high,
        "train.reward_std": pstdev(rewards) if rewards else 0.0,
        "reward.mean": mean.mean,  # a curve and its band, beside the parts of the reward
        "reward.low": mean.low,
        "reward.high": mean.high,
        "episodes.turns": _mean([len(t.turns) for t in played]),
        "episodes.steps": _mean([len(t.steps) for t in played]),
        "episodes.broken": len(traces) - len(played),
        "episodes.repeated_calls": _repeated(traces),
        "calls.failed": sum(bool(turn.error_code) for turn in turns) / max(len(turns), 1),
        "tokens.prompt": _mean([turn.prompt_tokens for turn in turns]),
        "tokens.completion": _mean([turn.completion_tokens for turn in turns]),
        **_reward_parts(parts),
    }
    if achievements:
        rates = achievement_rates([t.summary.achievements for t in played], achievements)
        values["episodes.achievements"] = _mean([t.summary.n_achievements for t in played])
        values |= {f"achievement.{name}": rate.rate for name, rate in rates.items()}
    return values


def evaluation_figures(traces: Sequence[Trace]) -> dict[str, float]:
    """Of the games on held-out worlds."""
    played = [t.summary for t in traces if t.summary.ended not in BROKEN]
    mean = bootstrap_mean([summary.outcome_reward for summary in played])
    return {"eval.reward": mean.mean, "eval.reward_low": mean.low, "eval.reward_high": mean.high}


def time_figures(
    *,
    wall_s: float,
    generate_s: float,
    train_s: float,
    sync_s: float,
    n_tokens: int,
    n_trained: int,
) -> dict[str, float]:
    """Where an iteration's time went. sync_s: handing the weights to a server; 0 where they are
    trained and sampled from in one place. `time.environment` is what generation did not hide."""
    return {
        "time.generate": generate_s,
        "time.environment": max(0.0, wall_s - generate_s),
        "time.train": train_s,
        "time.sync": sync_s,
        "train.tokens_per_second": n_trained / train_s if train_s else 0.0,
        "generate.tokens_per_second": n_tokens / generate_s if generate_s else 0.0,
    }


def _reward_parts(parts: Sequence[Sequence[Parts]]) -> dict[str, float]:
    """Mean of a game, by where the reward comes from."""
    n_games = max(len(parts), 1)
    return {
        f"reward.{name}": sum(getattr(p, name) for game in parts for p in game) / n_games
        for name in Parts._fields
    }


def _repeated(traces: Sequence[Trace]) -> float:
    """Share of calls that say the same as the one before in the same game, and gained nothing."""
    n_calls = n_same = 0
    for trace in traces:
        for before, turn in zip(trace.turns, trace.turns[1:], strict=False):
            n_calls += 1
            n_same += turn.actions == before.actions and not turn.unlocked
    return n_same / max(n_calls, 1)


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0
