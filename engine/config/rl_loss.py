"""How an `rl` run turns rewards into steps of the optimiser: credit, clipping, KL."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.config.section import Section


class RlLoss(Section):
    """From rewards to the loss. GRPO weighs single tokens, GSPO whole answers."""

    credit: Literal["turn", "episode"] = "turn"
    """turn: a decision is judged by what was rewarded from it on, compared with its group at the
    same turn; episode: every decision of a game is judged by the whole game."""
    gamma: float = Field(0.9, ge=0, le=1)
    """What a reward one turn later is worth (credit = turn)."""
    normalise: Literal["std", "none"] = "std"
    """std divides advantages by their deviation (GRPO), none leaves them (Dr. GRPO)."""
    clip_low: float | None = Field(None, gt=0, lt=1)
    """How far an answer may get less likely in one batch; 0.2 for grpo, 0.0003 for gspo."""
    clip_high: float | None = Field(None, gt=0)
    """How far it may get more likely; 0.28 for grpo, 0.0004 for gspo."""
    kl_beta: float = Field(0.0, ge=0)
    """Weight of the distance to the model that the training began with."""
    updates: int = Field(1, ge=1, le=100)
    """Rounds over each batch of games; the later ones are off-policy, weighed by their ratio."""
    shuffled: bool = False
    """A control experiment: the rewards of an iteration are dealt out to other games of it at
    random, so that nothing should be learned."""
    mask_truncated: bool = True
    """Leave out answers cut off at max_tokens and games that broke or ran into a limit."""
