"""What the cells of `bench.learn` say: scores of each arm, paired differences, rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from bench.figures import Figures
from engine.rollout.scores import PairedDifference, bootstrap_mean, paired_difference

BASE_OF = {"base": "", "sft": "base", "rl_base": "base", "rl_sft": "sft", "control": "sft"}
PAIRS = (("base", "sft"), ("base", "rl_base"), ("sft", "rl_sft"), ("sft", "control"))
Cells = Mapping[tuple[int, str], dict[str, Any]]


def trainings_of(cells: Cells, *arms: str) -> list[int]:
    """The trainings that have a cell of every one of these arms."""
    return [seed for seed in range(len(cells)) if all((seed, arm) in cells for arm in arms)]


def mean_scores(cells: Cells, arm: str, how: str, seeds: Sequence[int]) -> list[float]:
    """One score a world: the mean over these trainings."""
    return [fmean(world) for world in zip(*(cells[s, arm][how] for s in seeds), strict=True)]


def compare(cells: Cells, first: str, second: str, how: str) -> PairedDifference:
    """Paired by world and training."""
    seeds = trainings_of(cells, first, second)
    return paired_difference(
        mean_scores(cells, first, how, seeds), mean_scores(cells, second, how, seeds)
    )


def report(cells: Cells, figures: Figures) -> dict[str, Any]:
    """Fill the table; what is written to docs/learn.json."""
    arms: dict[str, Any] = {}
    for arm in filter(lambda arm: trainings_of(cells, arm), BASE_OF):
        scores = {
            how: bootstrap_mean(mean_scores(cells, arm, how, trainings_of(cells, arm)))
            for how in ("sampled", "greedy")
        }
        runs = [cell for (_, name), cell in cells.items() if name == arm]
        arms[arm] = {
            **{how: mean._asdict() for how, mean in scores.items()},
            "trainings": [fmean(run["sampled"]) for run in runs],
            "rates": {goal: fmean(r["rates"][goal] for r in runs) for goal in runs[0]["rates"]},
            "seconds": fmean(run["seconds"] for run in runs),
            "tokens": fmean(run["tokens"] for run in runs),
        }
        figures.add(f"{arm}: achievements, T=1", scores["sampled"].mean, "")
        figures.add(f"{arm}: achievements, greedy", scores["greedy"].mean, "")
        figures.add(f"{arm}: minutes of training", arms[arm]["seconds"] / 60, "min")
    pairs = {
        f"{b} - {a}": compare(cells, a, b, "sampled") for a, b in PAIRS if trainings_of(cells, a, b)
    }
    for name, pair in pairs.items():
        # The control must not gain; a quick training is too short to prove the others.
        proves = figures.full and not name.startswith("control")
        figures.add(f"{name}, T=1, paired", pair.difference, "")
        figures.add(f"{name}: lower end of 95 %", pair.low, "", at_least=0 if proves else None)
    if "control - sft" in pairs:
        gain = pairs["control - sft"].low > 0
        figures.add("control - sft: is it a gain?", float(gain), "", at_most=0)
    return {"arms": arms, "pairs": {name: pair._asdict() for name, pair in pairs.items()}}
