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

import crafter

from bench.figures import Figures
from engine.tasks.crafter.store import WorldStore
from engine.tasks.crafter.task import CrafterGame, CrafterTask

N_ACTIONS = 17


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
    stock = _stock_rate(n_steps)
    figures.add("stock steps, rendered", stock, "steps/s")
    for observation in ("map", "compact", "synth"):
        rate = _our_rate(task, n_steps, observation, lambda game: game.text())
        bound = 6 if observation == "map" else None
        figures.add(f"steps with {observation} text", rate, "steps/s")
        figures.add(f"steps with {observation} text, to stock", rate / stock, "x", at_least=bound)
    rate = _our_rate(task, n_steps, "map", lambda game: (game.view(), game.state_hash()))
    figures.add("steps with view and hash", rate, "steps/s")
    figures.add("steps with view and hash, to stock", rate / stock, "x", at_least=6)


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


def _stock_rate(n_steps: int) -> float:
    chance = random.Random(0)
    spent, seed = 0.0, 0
    env = crafter.Env(seed=seed)
    env.reset()
    for _ in range(n_steps):
        action = chance.randrange(N_ACTIONS)
        start = time.perf_counter()
        _, _, done, _ = env.step(action)
        spent += time.perf_counter() - start
        if done:
            seed += 1
            env = crafter.Env(seed=seed)
            env.reset()
    return n_steps / spent


def _our_rate(
    task: CrafterTask, n_steps: int, observation: str, watch: Callable[[CrafterGame], object]
) -> float:
    chance = random.Random(0)
    spent, seed = 0.0, 0
    game = task.new_game(seed, {"observation": observation})
    for _ in range(n_steps):
        action = chance.randrange(N_ACTIONS)
        start = time.perf_counter()
        result = game.step(action)
        watch(game)
        spent += time.perf_counter() - start
        if result.done:
            seed += 1
            game = task.new_game(seed, {"observation": observation})
    return n_steps / spent


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
