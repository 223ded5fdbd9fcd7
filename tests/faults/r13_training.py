"""One training killed many times, beside the same training left alone: `test_r13_...py` runs it.

    python -m tests.faults.r13_training FOLDER --method fft --kills 10 --seed 1

A process of its own, because it forks its attempts: torch is imported once, computed with in the
children only. Prints what differed; exit code 0 when nothing did.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

from engine.__main__ import main as run_engine
from engine.events import read_events
from engine.train.card import Card, write_final
from engine.train.checkpoints import hash_file, newest_checkpoint
from engine.train.sft import Trainer
from tests.engine.train.cast import lessons, tiny_model, tiny_tokenizer, write_jsonl
from tests.servers.waiting import wait_until

STEPS = 40
SAVING = "saving"  # a line for each checkpoint that begins to be written


def prepare(folder: Path) -> None:
    """The base and the data, made in a child of its own."""

    def make() -> None:
        tokenizer = tiny_tokenizer()
        card = Card("base", "", "", "", {}, {})
        write_final(tiny_model(tokenizer), tokenizer, folder / "base", card)
        write_jsonl(folder / "data.jsonl", lessons(120))

    assert os.waitpid(fork(make), 0)[1] == 0


def fork(work: Any) -> int:
    """The pid of a child that does `work` and ends."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = work() or 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def start(folder: Path, name: str, method: str, resume: dict[str, Any] | None) -> int:
    """An attempt in a directory of its own; what it does is written down as it happens."""
    directory = folder / name
    directory.mkdir()
    config = {
        "type": "sft",
        "job": {"model": "test/tiny", "data": "dataset:1"},
        "hyperparameters": {"n_epochs": 50, "batch_size": 8, "learning_rate": 5e-3,
                            "train_kind": method},
        "training": {"max_steps": STEPS, "log_steps": 3, "save_steps": 1,
                     "lora": {"r": 4, "dropout": 0.2},
                     "validation": {"eval_steps": 3, "save_best_model_at_end": True}},
    }  # fmt: skip
    data = folder / "data.jsonl"
    inputs = {
        "base": {"path": str(folder / "base"), "model_id": "test/tiny"},
        "data": {"path": str(data), "sha256": hash_file(data)},
    }
    raw = {"kind": "sft", "config": config, "inputs": inputs, "resume": resume}
    (directory / "config.json").write_text(json.dumps(raw))
    return fork(lambda: watched(directory))


def watched(directory: Path) -> int:
    """The engine as it is, its batches and the beginnings of its saves noted."""
    null = os.open(directory / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(null, 1)
    os.dup2(null, 2)
    step, save = Trainer.training_step, Trainer._save_checkpoint

    def training_step(self: Trainer, model: Any, inputs: Any, n: Any = None) -> Any:
        line = [self.state.global_step + 1, inputs["record"].tolist()]
        with (directory / "batches.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return step(self, model, inputs, n)

    def save_checkpoint(self: Trainer, model: Any, trial: Any) -> None:
        with (directory / SAVING).open("a") as file:
            file.write("x\n")
        save(self, model, trial)

    Trainer.training_step, Trainer._save_checkpoint = training_step, save_checkpoint
    return run_engine([str(directory)])


def kill_somewhere(pid: int, directory: Path, dice: random.Random) -> None:
    """SIGKILL: half of the time within a save, else at any moment of starting and training."""
    if dice.random() < 0.5:
        n, marks = dice.randint(1, 4), directory / SAVING

        def begun() -> bool:
            return (marks.exists() and marks.stat().st_size >= 2 * n) or ended(pid)

        wait_until(begun, f"save {n} of {directory.name}", 120)
        time.sleep(dice.uniform(0, 0.06))
    else:
        time.sleep(dice.uniform(0, 2.0))
    if not ended(pid):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def ended(pid: int) -> bool:
    """Whether a child is over; one that is is not waited for yet."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def told(directory: Path, type_: str) -> list[dict[str, Any]]:
    return [e.data for e, _ in read_events(directory / "events.jsonl") if e.type == type_]


def last_checkpoint(directories: list[Path]) -> dict[str, Any] | None:
    """What the worker hands to the next attempt: the newest announced checkpoint."""
    for directory in reversed(directories):
        for data in reversed(told(directory, "checkpoint")):
            path = directory / data["path"]
            if not data["final"] and path.is_dir():
                return {"path": str(path), "step": data["step"], "files": data["files"]}
    return None


def differences(alone: Path, attempts: list[Path]) -> list[str]:
    """In what the killed training was not the one left alone."""
    wrong = []
    losses = {m["step"]: m["values"] for m in told(alone, "metric")}
    batches = dict(read_batches(alone))
    for directory in attempts:
        for metric in told(directory, "metric"):
            for name in ("train.loss", "val.loss"):
                here, there = (v.get(name) for v in (metric["values"], losses[metric["step"]]))
                if here != there and abs((here or 0) - (there or 0)) > 1e-4:
                    wrong.append(f"{directory.name} step {metric['step']} {name}: {here} {there}")
        for step, records in read_batches(directory):
            if records != batches[step]:
                wrong.append(f"{directory.name} step {step}: another batch {records}")
        newest = newest_checkpoint(directory / "checkpoints")
        if newest is not None and not list(newest.glob("*.safetensors")):
            wrong.append(f"{newest}: torn")
    kept = {step: records for d in attempts for step, records in read_batches(d)}
    if kept != batches:
        wrong.append(f"steps {sorted(kept)} of {sorted(batches)}")
    weights = [next((d / "checkpoint").glob("*.safetensors")) for d in (alone, attempts[-1])]
    if hash_file(weights[0]) != hash_file(weights[1]):
        wrong.append("the weights at the end differ")
    return wrong


def read_batches(directory: Path) -> list[tuple[int, list[int]]]:
    path = directory / "batches.jsonl"
    lines = path.read_text().split("\n") if path.exists() else []
    return [tuple(json.loads(line)) for line in lines if line.endswith("]]")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--method", default="fft")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder, dice = given.folder, random.Random(given.seed)
    prepare(folder)
    assert os.waitpid(start(folder, "alone", given.method, None), 0)[1] == 0
    n_kills, training = 0, 0
    wrong: list[str] = []
    while n_kills < given.kills:
        attempts: list[Path] = []
        training += 1
        while not attempts or not told(attempts[-1], "result"):
            resume = last_checkpoint(attempts)
            attempts.append(folder / f"{training}-{len(attempts) + 1}")
            pid = start(folder, attempts[-1].name, given.method, resume)
            if n_kills < given.kills:
                kill_somewhere(pid, attempts[-1], dice)
                n_kills += 1
            else:
                os.waitpid(pid, 0)
        wrong += differences(folder / "alone", attempts)
        print(f"training {training}: {len(attempts)} attempts", flush=True)
    print("\n".join(wrong) or f"{n_kills} kills, nothing differs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
