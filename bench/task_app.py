"""Our task app beside the published one: `python -m bench.task_app [--full]`.

8 rollouts of 10 turns at once against a local model that answers at once, to our own application
and to synth-ai 0.2.12's, each in a process of its own. Measured are the seconds until all eight
have answered, and the traces that are in each one's database afterwards. The peer is installed
into an environment of its own below `$SYNTHWEB_HOME/cache`; where that fails its part is skipped,
loudly.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from bench.figures import HOME, ROOT, Figures
from tests.servers.instance import free_port
from tests.servers.openai_server import OpenAIServer

KEY = {"X-API-Key": "bench-environment-key"}
N_ROLLOUTS, N_TURNS, ROUNDS = 8, 10, 3
START_S, ANSWER_S, INSTALL_S = 120, 240, 300
PEER = "synth-ai==0.2.12"
# The peer and what its task app imports, pinned (1.2 GB): not all that the package depends on,
# and without a resolver, which takes pip more than five minutes.
PINNED = Path(__file__).with_name("task_app_peer.txt")
PEER_MAIN = """
import sys, uvicorn
from examples.warming_up_to_rl.task_app.grpo_crafter_task_app import fastapi_app
uvicorn.run(fastapi_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="ask the peer three times too")
    options = parser.parse_args()
    figures = Figures("task_app", full=options.full)
    with OpenAIServer() as model, tempfile.TemporaryDirectory() as folder:
        model.default = "ok:do+move_right+move_down+do+move_left"
        ours_s = measure_ours(Path(folder), model, figures)
        peer_s = measure_peer(Path(folder), model, figures, ROUNDS if options.full else 1)
    if peer_s is not None:
        figures.add("times as fast as the peer", peer_s / ours_s, "x", at_least=50)
    return figures.finish()


def measure_ours(folder: Path, model: OpenAIServer, figures: Figures) -> float:
    """Median seconds of eight rollouts at our task app; no trace may be missing."""
    traces, port = folder / "ours.db", free_port()
    command = [
        *(sys.executable, "-m", "engine.http", "--task", "crafter", "--port", str(port)),
        *("--trace-db", str(traces)),
    ]
    environment = {
        "ENVIRONMENT_API_KEY": KEY["X-API-Key"],
        "SYNTHWEB_HOME": str(folder),
        "SYNTHWEB_ALLOW_HOSTS": f"127.0.0.1:{model.port}",
        "PYTHONPATH": str(ROOT),
    }
    with served(command, environment, port, folder) as base:
        times = [play(base, model) for _ in range(ROUNDS + 1)][1:]
    lost = N_ROLLOUTS * (ROUNDS + 1) - count_traces([traces])
    figures.add("8 rollouts of 10 turns, ours", median(times), "s", at_most=2)
    figures.add("traces lost, ours", lost, "", at_most=0)
    return median(times)


def measure_peer(folder: Path, model: OpenAIServer, figures: Figures, rounds: int) -> float | None:
    """The same at the peer; None where it cannot be had."""
    python = install_peer()
    if python is None:
        return None
    home, port = folder / "peer", free_port()
    home.mkdir()
    environment = {
        "ENVIRONMENT_API_KEY": KEY["X-API-Key"],
        "TASKAPP_TRACING_ENABLED": "1",
        "SQLD_DB_PATH": str(home / "traces"),
        "HOME": str(home),
    }
    command = [str(python), "-c", PEER_MAIN, str(port)]
    try:
        with served(command, environment, port, home) as base:
            times = [play(base, model) for _ in range(rounds)]
    except (OSError, httpx.HTTPError) as err:
        print(f"SKIPPED: the peer's task app does not play here: {err}")
        return None
    kept = count_traces([path for path in home.rglob("*") if path.is_file()])
    figures.add("8 rollouts of 10 turns, peer", median(times), "s")
    figures.add("traces lost, peer", N_ROLLOUTS * rounds - kept, "")
    return median(times)


def play(base: str, model: OpenAIServer) -> float:
    """Seconds until eight rollouts that began together have answered. Raises httpx.HTTPError."""
    bodies = [
        {
            "run_id": f"bench-{index}",
            "env": {"env_name": "crafter", "seed": index, "config": {"difficulty": "easy"}},
            "policy": {
                "policy_name": "crafter-react",
                "config": {"model": "m", "inference_url": f"http://127.0.0.1:{model.port}"},
            },
            "ops": ["agent", "env"] * N_TURNS,
            "record": {"return_trace": True, "trace_format": "compact"},
        }
        for index in range(N_ROLLOUTS)
    ]

    def ask(body: dict[str, Any]) -> None:
        answer = httpx.post(f"{base}/rollout", json=body, headers=KEY, timeout=ANSWER_S)
        answer.raise_for_status()

    began = time.perf_counter()
    with ThreadPoolExecutor(N_ROLLOUTS) as pool:
        list(pool.map(ask, bodies))
    return time.perf_counter() - began


@contextmanager
def served(
    command: list[str], environment: Mapping[str, str], port: int, folder: Path
) -> Iterator[str]:
    """A task app in a process of its own, in `folder`. Raises OSError when it does not start."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    log = folder / "task_app.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env={**kept, **environment}, stdout=out, stderr=out
        )
    base, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while True:
            try:
                httpx.get(f"{base}/", timeout=5)
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise OSError(log.read_text(errors="replace")[-500:]) from None
                time.sleep(0.1)
        yield base
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def count_traces(paths: list[Path]) -> int:
    """Sessions in those of the files that are tracing v3."""
    total = 0
    for path in paths:
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                total += db.execute("SELECT COUNT(*) FROM session_traces").fetchone()[0]
        except sqlite3.Error:
            continue
    return total


def install_peer() -> Path | None:
    """The Python of an environment with the peer; made once. None, loudly, where it fails."""
    home = HOME / "cache" / "bench-synth-ai-0.2.12"
    python, done = home / "bin" / "python", home / "complete"
    if done.exists():
        return python
    print(f"installing {PEER} into {home} …", flush=True)
    venv.create(home, with_pip=True, symlinks=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", str(PINNED)]
    try:
        ended = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        print(f"SKIPPED: {PEER} was not installed within {INSTALL_S} s")
        return None
    if ended.returncode:
        print(f"SKIPPED: {PEER} cannot be installed: {_errors(ended.stderr)}")
        return None
    done.touch()
    return python


def _errors(said: str) -> str:
    """What pip says went wrong, without its warnings."""
    lines = [line for line in said.splitlines() if line.startswith("ERROR")]
    return "\n".join(lines)[:500] or said.strip()[-300:]


if __name__ == "__main__":
    sys.exit(main())
