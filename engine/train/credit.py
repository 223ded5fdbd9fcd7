"""From the rewards of games to how much better each decision was than its group's.

A group is several games on one world; what they had in common cancels out. Pure numbers: no model.
Sources: GRPO, arXiv:2402.03300; without the deviation (Dr. GRPO) arXiv:2503.20783; groups without
any difference teach nothing and are dropped (DAPO, arXiv:2503.14476).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import NamedTuple

EPSILON = 1e-6  # below it, advantages are no signal

Rewards = list[float]  # one number a turn of a game


class Credit(NamedTuple):
    """advantages[group][game][turn]; a dropped group has an empty list and counts as dead."""

    advantages: list[list[Rewards]]
    n_dead: int


def assign(
    groups: Sequence[Sequence[Rewards]], *, credit: str, gamma: float, normalise: str
) -> Credit:
    """Advantages of every turn.

    groups[group][game][turn]: rewards. credit: "episode" gives each turn of a game the game's sum
    minus the group's mean, "turn" its own discounted return-to-go minus the group's mean at that
    turn. normalise: "std" divides by the deviation (of the group, or for turns of all groups).
    """
    if credit == "episode":
        advantages = [_of_episodes(group, normalise) for group in groups]
    else:
        advantages = [_of_turns(group, gamma) for group in groups]
    dead = [all(abs(a) < EPSILON for game in group for a in game) for group in advantages]
    kept = [[] if gone else group for group, gone in zip(advantages, dead, strict=True)]
    if credit == "turn" and normalise == "std":
        kept = _scaled(kept)
    return Credit(kept, sum(dead))


def shuffled(groups: Sequence[Sequence[Rewards]], seed: int) -> list[list[Rewards]]:
    """The same rewards dealt out to other games at random, each as long as the game it goes to."""
    rewards = [game for group in groups for game in group]
    random.Random(seed).shuffle(rewards)
    dealt = iter(rewards)
    return [[(next(dealt) + [0.0] * len(game))[: len(game)] for game in group] for group in groups]


def returns_to_go(rewards: Rewards, gamma: float) -> Rewards:
    """G_t = r_t + gamma * G_{t+1}."""
    total, result = 0.0, []
    for reward in reversed(rewards):
        total = reward + gamma * total
        result.append(total)
    return result[::-1]


def _of_episodes(group: Sequence[Rewards], normalise: str) -> list[Rewards]:
    totals = [sum(game) for game in group]
    mean, scale = fmean(totals), pstdev(totals) if normalise == "std" else 1.0
    scale = scale if scale > EPSILON else 1.0
    return [[(total - mean) / scale] * len(game) for total, game in zip(totals, group, strict=True)]


def _of_turns(group: Sequence[Rewards], gamma: float) -> list[Rewards]:
    """A game that is over counts as 0 at the turns that others still play."""
    returns = [returns_to_go(game, gamma) for game in group]
    longest = max((len(game) for game in returns), default=0)
    means = [
        fmean(game[turn] if turn < len(game) else 0.0 for game in returns)
        for turn in range(longest)
    ]
    return [[value - means[turn] for turn, value in enumerate(game)] for game in returns]


def _scaled(groups: list[list[Rewards]]) -> list[list[Rewards]]:
    values = [a for group in groups for game in group for a in game]
    scale = pstdev(values) if len(values) > 1 else 1.0
    scale = scale if scale > EPSILON else 1.0
    return [[[a / scale for a in game] for game in group] for group in groups]
