"""Rollouts against a local model API of known latency: `python -m bench.rollout [--full]`.

8 episodes of 10 turns through the very job that a worker runs (worlds, player, client, views, trace
files), against an OpenAI-compatible server in a process of its own that answers after 0 or 50 ms.
With 0 ms every world is one that was never seen (55 ms of terrain each). With 50 ms and for the CPU
time a call they are worlds that were played before, as the seeds of an eval are: terrain is no part
of a model call. CPU time is that of this process, so the server's is not in it.

The latency bound is what a bare client needs for the same calls in the same pattern, measured just
before (8 connections, each call after the answer of the one before, no game): it holds the delays
of server and machine, which no client can avoid. On a busy machine look at the best round: load
that comes and goes between the two measurements shows up in their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.figures import Figures
from engine.errors import StorageError
from engine.events import read_events
from engine.jobs.job import open_job
from engine.jobs.rollout import run
from engine.lease import Cancellation
from engine.traces.codec import decode_trace
from engine.traces.record import BROKEN

ROOT = Path(__file__).resolve().parent.parent
N_EPISODES, N_TURNS = 8, 10
ACTIONS = "move_left+move_up+do+noop"  # a turn as a player's: four actions


class Measured(NamedTuple):
    wall_s: float
    cpu_s: float
    n_calls: int
    n_lost: int
    latency_ms: float  # mean time in the model API, as the traces have it


@contextmanager
def model_server(latency_ms: float) -> Iterator[int]:
    """A model API in a process of its own; yields its port."""
    command = [sys.executable, "-m", "tests.servers.openai_server", "--latency-ms", str(latency_ms)]
    server = subprocess.Popen(
        [*command, "--default", f"ok:{ACTIONS}"], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()


def play(port: int, first_seed: int, n_episodes: int) -> Measured:
    """Run the job in this process, on a fresh run directory and unseen worlds."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        write_config(directory, port, first_seed, n_episodes)
        job = open_job(directory, Cancellation())
        started, cpu = time.monotonic(), time.process_time()
        values = run(job)
        measured_wall, measured_cpu = time.monotonic() - started, time.process_time() - cpu
        whole, latencies = check_traces(directory)
        return Measured(
            measured_wall,
            measured_cpu,
            int(values["calls"]),
            n_episodes - whole,
            sum(latencies) / max(1, len(latencies)),
        )


def write_config(directory: Path, port: int, first_seed: int, n_episodes: int) -> None:
    config = {
        "type": "eval",
        "provider": "bench",
        "model": "bench",
        "seeds": list(range(first_seed, first_seed + n_episodes)),
        "max_turns": N_TURNS,
        "concurrency": N_EPISODES,
    }
    base_url = f"http://127.0.0.1:{port}/v1"
    policy = {"kind": "openai", "name": "bench", "base_url": base_url, "model": "bench"}
    text = json.dumps({"kind": "eval", "config": config, "inputs": {"policy": policy}})
    (directory / "config.json").write_text(text)


def check_traces(directory: Path) -> tuple[int, list[float]]:
    """(episodes announced whose trace is there and whole, ms of every model call)."""
    whole, latencies = 0, []
    for event, _ in read_events(directory / "events.jsonl"):
        if event.type != "episode":
            continue
        try:
            trace = decode_trace((directory / event.data["payload"]["path"]).read_bytes())
        except (OSError, StorageError):
            continue
        whole += bool(trace.turns) and trace.summary.ended not in BROKEN
        latencies += [turn.model_ms for turn in trace.turns]
    return whole, latencies


def bare_wall_s(port: int, n_connections: int, n_calls: int) -> float:
    """The same calls by a client that does nothing else: raw sockets, a fixed request."""

    async def caller(request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(n_calls):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    async def all_callers(request: bytes) -> float:
        started = time.monotonic()
        await asyncio.gather(*(caller(request) for _ in range(n_connections)))
        return time.monotonic() - started

    message: dict[str, Any] = {"role": "user", "content": "x" * 2000}
    body = json.dumps({"model": "bench", "messages": [message]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return asyncio.run(all_callers(head.encode() + body))


def whole_process_s(port: int, first_seed: int) -> float:
    """`python -m engine` from its start to its end: interpreter, imports and JIT cache included."""
    with tempfile.TemporaryDirectory() as folder:
        write_config(Path(folder), port, first_seed, N_EPISODES)
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "engine", folder], cwd=ROOT, check=True, capture_output=True
        )
        return time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="five rounds and longer shards")
    full = parser.parse_args().full
    rounds = 9 if full else 5
    figures = Figures("rollout", full=full)
    with tempfile.TemporaryDirectory() as home:
        os.environ["SYNTHWEB_HOME"] = home
        with model_server(0) as fast, model_server(50) as slow:
            play(fast, 1, N_EPISODES)  # loads what numba has compiled, makes these worlds known
            zero = [play(fast, 1000 + 100 * i, N_EPISODES) for i in range(rounds)]
            known = [play(fast, 1, N_EPISODES) for _ in range(rounds)]
            fifty, bounds = [], []
            for _ in range(rounds):
                bounds.append(bare_wall_s(slow, N_EPISODES, N_TURNS))
                fifty.append(play(slow, 1, N_EPISODES))
            process_s = whole_process_s(fast, 9000)
    report(figures, zero, known, fifty, bounds)
    figures.add("python -m engine, whole process, unseen worlds", process_s, "s")
    return figures.finish()


def report(
    figures: Figures,
    zero: list[Measured],
    known: list[Measured],
    fifty: list[Measured],
    bounds: list[float],
) -> None:
    """Add the figures with their budgets."""
    ratios = [run.wall_s / bound for run, bound in zip(fifty, bounds, strict=True)]
    cpu_ms = [1000 * run.cpu_s / run.n_calls for run in known]
    lost = sum(run.n_lost for run in (*zero, *known, *fifty))
    walls = [run.wall_s for run in zero]
    figures.add("0 ms model, 8 x 10 turns, unseen worlds, worst", max(walls), "s", at_most=1.3)
    figures.add("0 ms model, 8 x 10 turns, unseen worlds, median", median(walls), "s")
    figures.add("0 ms model, known worlds, median", median(r.wall_s for r in known), "s")
    figures.add("50 ms model, known worlds, median", median(r.wall_s for r in fifty), "s")
    figures.add("50 ms model, latency bound, median", median(bounds), "s")
    figures.add("50 ms model, wall / latency bound, median", median(ratios), "x")
    figures.add("50 ms model, wall / latency bound, best", min(ratios), "x", at_most=1.05)
    figures.add("CPU of our code a call, median", median(cpu_ms), "ms", at_most=2)
    figures.add("traces lost", lost, "", at_most=0)


if __name__ == "__main__":
    sys.exit(main())
