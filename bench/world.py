"""The world against stock crafter, side by side in one run.

    python -m bench.world [--full]

Stock is the installed crafter 1.8.3 as it is: its `step` renders a picture, as ours makes a text.
Both play the same random actions on the same seeds; dead games are started again outside the clock.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import crafter

from bench.figures import Figures
from engine.tasks.crafter.store import WorldStore
from engine.tasks.crafter.task import CrafterGame, CrafterTask

N_ACTIONS = 17
BLOCK = 50


def main() -> int:
    full = "--full" in sys.argv
    n_steps, n_seeds = (4000, 40) if full else (1000, 12)
    figures = Figures("world", full=full)
    with tempfile.TemporaryDirectory() as folder:
        task = CrafterTask(WorldStore(Path(folder)))
        task.new_game(10**6, {})  # numba compiles once an installation
        _measure_steps(figures, task, n_steps)
        _measure_resets(figures, Path(folder), n_seeds)
    return figures.finish()


def _measure_steps(figures: Figures, task: CrafterTask, n_steps: int) -> None:
    """All contenders in turn, in blocks of 50 steps: another program's load hits them alike."""
    stock = _Contender(_stock_env, _step_stock)
    ours = {
        f"{observation} text": _Contender(
            lambda seed, o=observation: task.new_game(seed, {"observation": o}), _step_and_text
        )
        for observation in ("map", "compact", "synth")
    }
    ours["view and hash"] = _Contender(lambda seed: task.new_game(seed, {}), _step_and_view)
    for _ in range(n_steps // BLOCK):
        for contender in (stock, *ours.values()):
            contender.play(BLOCK)
    figures.add("stock steps, rendered", stock.rate, "steps/s")
    for name, contender in ours.items():
        bound = None if name == "compact text" else 6
        figures.add(f"steps with {name}", contender.rate, "steps/s")
        figures.add(
            f"steps with {name}, to stock", contender.rate / stock.rate, "x", at_least=bound
        )


class _Contender:
    """One kind of game playing random actions; only its steps are on the clock."""

    def __init__(self, start: Callable[[int], Any], step: Callable[[Any, int], bool]) -> None:
        self.start, self.step = start, step
        self.chance = random.Random(0)
        self.seed, self.n_steps, self.spent_s = 0, 0, 0.0
        self.game = start(0)

    @property
    def rate(self) -> float:
        return self.n_steps / self.spent_s

    def play(self, n_steps: int) -> None:
        for _ in range(n_steps):
            action = self.chance.randrange(N_ACTIONS)
            begin = time.perf_counter()
            done = self.step(self.game, action)
            self.spent_s += time.perf_counter() - begin
            self.n_steps += 1
            if done:
                self.seed += 1
                self.game = self.start(self.seed)


def _stock_env(seed: int) -> Any:
    env = crafter.Env(seed=seed)
    env.reset()
    return env


def _step_stock(env: Any, action: int) -> bool:
    return bool(env.step(action)[2])


def _step_and_text(game: CrafterGame, action: int) -> bool:
    done = game.step(action).done
    game.text()
    return done


def _step_and_view(game: CrafterGame, action: int) -> bool:
    done = game.step(action).done
    game.view()
    game.state_hash()
    return done


def _measure_resets(figures: Figures, folder: Path, n_seeds: int) -> None:
    seeds = range(5_000_000, 5_000_000 + n_seeds)
    unseen = _times(seeds, lambda seed: WorldStore(None).fresh(seed, "normal"))
    writer = CrafterTask(WorldStore(folder))
    for seed in seeds:
        writer.new_game(seed, {})
    reader = CrafterTask(WorldStore(folder))
    disk = _times(seeds, lambda seed: reader.new_game(seed, {}))
    memory = _times(seeds, lambda seed: reader.new_game(seed, {}))
    stock = _times(seeds[:4], lambda seed: crafter.Env(seed=seed).reset())
    figures.add("reset of an unseen seed", median(unseen), "ms", at_most=100)
    figures.add("reset of a seed on disk", median(disk), "ms", at_most=5)
    figures.add("reset of a seed in memory", median(memory), "ms", at_most=5)
    figures.add("reset of stock", median(stock), "ms")


def _times(seeds: Iterable[int], reset: Callable[[int], object]) -> list[float]:
    """Milliseconds of each reset."""
    times = []
    for seed in seeds:
        start = time.perf_counter()
        reset(seed)
        times.append(1000 * (time.perf_counter() - start))
    return times


if __name__ == "__main__":
    sys.exit(main())
