"""Does it learn? Base, imitation, reward from both, and a control, on worlds that none has seen.

    python -m bench.learn            # quick: one training, 4 iterations of reward, 24 worlds
    python -m bench.learn --full     # three trainings, 45 iterations, 100 worlds; docs/learn.json,
                                    # which bench.learn_page makes readable
    python -m bench.learn --full --budget 450    # stop after so many seconds, to go on later
    python -m bench.learn --full --training 1    # only this one, beside others elsewhere

Every cell (a training seed and an arm) is a run directory of `python -m engine` below
SYNTHWEB_HOME/learn; a cell that is done is not done again, one that was stopped goes on from its
checkpoint. Lengths are iterations and steps, not minutes: a busy machine changes no score.

| arm | starts from | learns from |
|---|---|---|
| base | – | – |
| sft | base | the guide's good games |
| rl_base, rl_sft | base, sft | reward |
| control | sft | the same rewards dealt out to the wrong games |
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench.figures import HOME, ROOT, Figures
from bench.learn_report import BASE_OF, Cells, report, trainings_of
from bench.sft_curve import good_records
from bench.trl_speed import add_speed
from engine.config import load_json, load_toml
from engine.config.rl_plan import RlPlan
from engine.events import read_events
from engine.lease import Cancellation
from engine.rollout.views import LiveViews
from engine.train.policy import load_policy
from engine.train.rl_play import Player
from engine.train.samplers import OwnSampler

FIRST_WORLD = 20_000  # held out; games to imitate from 300000, reward from 1000000 on


class Size(NamedTuple):
    trainings: int
    worlds: int
    games: int  # of the guide
    sft_steps: int
    iterations: int
    episodes: int  # of an iteration


QUICK = Size(1, 24, 60, 120, 4, 32)
FULL = Size(3, 100, 450, 450, 45, 64)


class OutOfTimeError(Exception):
    """The budget of this call is spent; the next one goes on."""


class Bench:
    """All cells below one folder."""

    def __init__(self, size: Size, folder: Path, budget_s: float) -> None:
        self.size, self.folder = size, folder
        self.ends = time.monotonic() + budget_s
        folder.mkdir(parents=True, exist_ok=True)

    def cell(self, seed: int, arm: str) -> dict[str, Any]:
        """The figures of a cell, measured now or earlier."""
        done = self.folder / f"{seed}-{arm}.json"
        if not done.exists():
            checkpoint = self.train(seed, arm)
            print(f"training {seed}, {arm}: playing {self.size.worlds} worlds", flush=True)
            found = {**self.play(checkpoint), **self._cost(seed, arm)}
            staged = done.with_suffix(".part")
            staged.write_text(json.dumps(found))
            staged.replace(done)
        figures: dict[str, Any] = json.loads(done.read_text())
        return figures

    def train(self, seed: int, arm: str) -> Path:
        """The checkpoint of an arm. Raises OutOfTimeError."""
        directory = self.folder / f"{seed}-{arm}"
        checkpoint = directory / "checkpoint"
        if checkpoint.is_dir():
            return checkpoint
        base = self.train(seed, BASE_OF[arm]) if BASE_OF[arm] else None
        directory.mkdir(exist_ok=True)
        raw = {**self._job(seed, arm, base), "resume": _newest(directory)}
        (directory / "config.json").write_text(json.dumps(raw))
        print(f"training {seed}, {arm}", flush=True)
        with (directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine", str(directory)], stderr=log, cwd=ROOT
            )
            try:
                code = process.wait(timeout=max(1.0, self.ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)
                raise OutOfTimeError from None
        if code:
            raise SystemExit(f"{directory}: the training ended with {code}; see its log")
        return checkpoint

    def _job(self, seed: int, arm: str, base: Path | None) -> dict[str, Any]:
        """config.json of an arm's run."""
        inputs: dict[str, Any] = {}
        if base is not None:
            inputs["base"] = {"path": str(base), "model_id": f"bench/{BASE_OF[arm]}"}
        if arm == "base":
            return {"kind": "base", "config": {"type": "base", "seed": seed}, "inputs": {}}
        if arm == "sft":
            config = _shipped("crafter_sft_small.toml")
            config["job"]["data"] = "dataset:1"
            config["training"] = {"max_steps": self.size.sft_steps, "seed": seed}
            inputs["data"] = {"path": str(self._games())}
            return {"kind": "sft", "config": config, "inputs": inputs}
        config = self.rl_config(seed)
        config["loss"]["shuffled"] = arm == "control"
        return {"kind": "rl", "config": config, "inputs": inputs}

    def rl_config(self, seed: int) -> dict[str, Any]:
        """configs/rl_small.toml, by iterations instead of minutes, worlds of its own each seed."""
        config = _shipped("rl_small.toml")
        config["rollout"] |= {
            "episodes_per_batch": self.size.episodes,
            "seed_start": 1_000_000 * (seed + 1),
        }
        del config["training"]["max_seconds"]
        config["training"] |= {"iterations_per_epoch": self.size.iterations, "seed": seed}
        return config

    def _games(self) -> Path:
        """The guide's good games, as records to imitate."""
        path = self.folder / "guide.jsonl"
        if not path.exists():
            records = good_records(self.size.games, least=10)
            staged = path.with_suffix(".part")
            staged.write_text("".join(json.dumps(record) + "\n" for record in records))
            staged.replace(path)
        return path

    def play(self, checkpoint: Path) -> dict[str, Any]:
        """Scores on the held-out worlds at temperature 1 and greedy, with the rates at 1."""
        config: Any = load_json(self.rl_config(0)).config
        worlds = tuple(range(FIRST_WORLD, FIRST_WORLD + self.size.worlds))
        plan: RlPlan = dataclasses.replace(config.plan(), evaluation_seeds=worlds)
        policy = load_policy(checkpoint, "full", plan.lora, None)
        policy.model.eval()
        figures: dict[str, Any] = {}
        for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            asked = dataclasses.replace(plan, temperature=temperature)
            views = LiveViews(lambda _: None, "")
            player = Player(asked, OwnSampler(policy), views, Cancellation())
            played = [trace.summary for trace in player.evaluate().traces]
            figures[name] = [summary.n_achievements for summary in played]
            figures["rates"] = {
                goal: fmean(goal in summary.achievements for summary in played)
                for goal in player.task.achievements
            }
        return figures

    def _cost(self, seed: int, arm: str) -> dict[str, Any]:
        """Seconds and tokens of the training, over all its pieces."""
        events = read_events(self.folder / f"{seed}-{arm}" / "events.jsonl")
        values = [event.data["values"] for event, _ in events if event.type == "result"]
        last = values[-1] if values else {}
        return {"seconds": last.get("train_seconds", 0), "tokens": last.get("tokens", 0)}

    def done(self) -> dict[tuple[int, str], dict[str, Any]]:
        """The cells that stand already."""
        keys = [(seed, arm) for seed in range(self.size.trainings) for arm in BASE_OF]
        found = {key: self.folder / f"{key[0]}-{key[1]}.json" for key in keys}
        return {key: json.loads(path.read_text()) for key, path in found.items() if path.exists()}

    def rewards(self, seed: int, arm: str) -> list[float]:
        """Mean reward of each iteration; empty for what does not learn from reward."""
        found: dict[int, float] = {}  # an iteration that was made again counts once
        for event, _ in read_events(self.folder / f"{seed}-{arm}" / "events.jsonl"):
            if event.type == "metric" and "train.reward" in event.data["values"]:
                found[event.data["step"]] = event.data["values"]["train.reward"]
        return [found[step] for step in sorted(found)]


def _shipped(name: str) -> dict[str, Any]:
    text = (ROOT / "configs" / name).read_text()
    data: dict[str, Any] = load_toml(text, name=name).data
    return data


def _newest(directory: Path) -> dict[str, Any] | None:
    """The newest checkpoint that an earlier piece of this training announced."""
    events = [e.data for e, _ in read_events(directory / "events.jsonl") if e.type == "checkpoint"]
    for data in reversed(events):
        path = directory / data["path"]
        if not data["final"] and path.is_dir():
            return {"path": str(path), "step": data["step"], "files": data["files"]}
    return None


def read_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--budget", type=float, default=1e9, help="seconds; then stop, to go on")
    parser.add_argument("--partial", action="store_true", help="report the cells that are done")
    parser.add_argument("--training", type=int, help="make the cells of this one only")
    parser.add_argument("--again", action="store_true", help="throw away the cells that are done")
    return parser.parse_args(arguments)


def main() -> int:
    """Measure what is missing, then report."""
    given = read_arguments()
    size = FULL if given.full else QUICK
    folder = HOME / "learn" / ("full" if given.full else "quick")
    if given.again:
        shutil.rmtree(folder, ignore_errors=True)
    bench = Bench(size, folder, given.budget)
    if given.partial:
        return publish(bench, bench.done(), full=given.full)
    cells = {}
    try:
        for seed in range(size.trainings) if given.training is None else [given.training]:
            for arm in BASE_OF:
                cells[seed, arm] = bench.cell(seed, arm)
                if time.monotonic() > bench.ends:
                    raise OutOfTimeError
    except OutOfTimeError:
        total = size.trainings * len(BASE_OF)
        print(f"{len(cells)} of {total} cells are done; the same command goes on.")
        return 2
    if given.training is not None:
        return 0  # without the argument, the report of all
    return publish(bench, cells, full=given.full)


def publish(bench: Bench, cells: Cells, *, full: bool) -> int:
    """Print the table, write the JSON; 1 when a bound was missed."""
    figures = Figures("learn", full=full)
    found = {**report(cells, figures), "size": bench.size._asdict()}
    found["curves"] = {
        arm: [bench.rewards(seed, arm) for seed in trainings_of(cells, arm)] for arm in BASE_OF
    }
    found["speed"] = add_speed(bench.train(0, "sft"), bench.rl_config(0), figures)
    out = ROOT / "docs" / "learn.json" if full else bench.folder / "learn.json"
    out.write_text(json.dumps(found, indent=1) + "\n")
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())
