"""Signs that a training from reward goes wrong, with the figures that show it.

Nobody has a usable alarm for reward hacking or collapse (UX research: their own proposers say so),
so nothing here stops a run: each finding is said once, when it begins, with its evidence. They look
at the last WINDOW iterations against the first; those of EARLY need no comparison and look at once,
since a short training has no first iterations to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

WINDOW = 5
KEPT = (
    "train.reward", "train.reward_std", "train.entropy", "train.kl", "train.clip_fraction",
    "groups.dead_share", "tokens.completion", "calls.failed", "episodes.repeated_calls",
    "reward.event", "reward.step", "reward.bonus",
)  # fmt: skip

History = dict[str, list[float]]
Check = Callable[[Mapping[str, Sequence[float]]], str]


class Diagnostics:
    """Watches the figures of one training; `history` (JSON) is kept in its checkpoints."""

    def __init__(self, history: History | None = None) -> None:
        self.history: History = {name: list((history or {}).get(name, [])) for name in KEPT}
        self._said: set[Check] = set()
        if self._length():
            self._said = set(self._found())

    def look(self, values: Mapping[str, float]) -> list[str]:
        """Take in one iteration's figures; the findings that are new with it."""
        for name in KEPT:
            if name in values:
                self.history[name].append(values[name])
        found = self._found()
        new = [words for check, words in found.items() if check not in self._said]
        self._said = set(found)
        return new

    def _found(self) -> dict[Check, str]:
        checks = CHECKS if self._length() > WINDOW else EARLY
        return {check: words for check in checks if (words := check(self.history))}

    def _length(self) -> int:
        return len(self.history["train.reward"])


def _first(history: Mapping[str, Sequence[float]], name: str) -> float:
    return fmean(history[name][:WINDOW]) if history[name] else 0.0


def _last(history: Mapping[str, Sequence[float]], name: str) -> float:
    return fmean(history[name][-WINDOW:]) if history[name] else 0.0


def _longer_answers(history: Mapping[str, Sequence[float]]) -> str:
    first, last = _first(history, "tokens.completion"), _last(history, "tokens.completion")
    if first and not 0.5 <= last / first <= 2.0:
        return f"the length of answers drifts: {first:.1f} tokens at first, {last:.1f} now."
    return ""


def _entropy_collapse(history: Mapping[str, Sequence[float]]) -> str:
    first, last = _first(history, "train.entropy"), _last(history, "train.entropy")
    if first and last < 0.1 * first:
        return f"the policy hardly varies any more: entropy {first:.3f} at first, {last:.3f} now."
    return ""


def _same_rewards(history: Mapping[str, Sequence[float]]) -> str:
    first, last = _first(history, "train.reward_std"), _last(history, "train.reward_std")
    if first and last < 0.2 * first:
        return f"games hardly differ in reward: deviation {first:.2f} at first, {last:.2f} now."
    return ""


def _nothing_learned(history: Mapping[str, Sequence[float]]) -> str:
    if min(history["groups.dead_share"], default=0.0) < 1.0:
        return ""
    words = "nothing was learned so far: all games of a group were rewarded alike."
    failed = _last(history, "calls.failed")
    if failed > 0.5:
        words += (
            f" {failed:.0%} of the tool calls fail: the model does not know their form. Fine-tune "
            "it on good games first, and show it the game as it was made to read it (observation)."
        )
    return words


def _dead_groups(history: Mapping[str, Sequence[float]]) -> str:
    share = _last(history, "groups.dead_share")
    if share > 0.5 and not _nothing_learned(history):
        return f"{share:.0%} of the groups teach nothing: all their games were rewarded alike."
    return ""


def _failed_calls(history: Mapping[str, Sequence[float]]) -> str:
    first, last = _first(history, "calls.failed"), _last(history, "calls.failed")
    if last > 0.1 and last > 2 * first:
        return f"{last:.0%} of the tool calls fail, {first:.0%} at first."
    return ""


def _repeated_calls(history: Mapping[str, Sequence[float]]) -> str:
    first = _first(history, "episodes.repeated_calls")
    last = _last(history, "episodes.repeated_calls")
    if last > 0.5 and last > 1.5 * first:
        return f"{last:.0%} of the calls repeat the one before for nothing, {first:.0%} at first."
    return ""


def _one_part(history: Mapping[str, Sequence[float]]) -> str:
    parts = {n: abs(_last(history, f"reward.{n}")) for n in ("event", "step", "bonus")}
    name, largest = max(parts.items(), key=lambda item: item[1])
    paid = [value for value in parts.values() if value]
    if name != "event" and len(paid) > 1 and largest > 0.9 * sum(paid):
        return f"{largest / sum(paid):.0%} of the reward is {name}: is that what should be learned?"
    return ""


def _large_steps(history: Mapping[str, Sequence[float]]) -> str:
    share = _last(history, "train.clip_fraction")
    if share > 0.3:
        return f"{share:.0%} of the tokens are clipped: learning_rate or loss.updates is too high."
    return ""


EARLY: tuple[Check, ...] = (_nothing_learned,)
CHECKS: tuple[Check, ...] = (
    *EARLY,
    _longer_answers,
    _entropy_collapse,
    _same_rewards,
    _dead_groups,
    _failed_calls,
    _repeated_calls,
    _one_part,
    _large_steps,
)
