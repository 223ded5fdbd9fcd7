"""The live wall with 64 games in one page: frames, delay, and what it costs the worker.

`python -m bench.wall [--full]`: a real instance in a temporary home. 64 games are played first and
recorded; then their steps come again at the speed of a fast model, through the engine's own
publisher into events.jsonl, the worker's own ingest into the database, the stream, and the wall in
Chromium, in a window so high that every game is seen. A picture's delay counts from its step in
the engine to the canvas. Chromium draws in software and shares this machine's cores.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Page, ViewportSize, sync_playwright

from bench.figures import Figures
from bench.pages import prepare
from engine.events import EventWriter, ViewData
from engine.rollout.views import LiveViews
from engine.tasks.crafter.rules import ACTIONS
from engine.tasks.crafter.task import CrafterTask
from engine.traces.record import EpisodeKey, Step, Turn
from tests.servers.instance import Instance
from tests.servers.waiting import wait_until

N_GAMES = 64
STEPS_A_TURN, TURN_S = 2, 0.25  # eight steps a second and game: a model that answers at once
WINDOW: ViewportSize = {"width": 1920, "height": 2600}
CHROMIUM = "/usr/bin/chromium"

# Each frame of the screen: which canvas shows another step than before, and when.
WATCH = """async (ms) => {
  const drawn = [], shown = new Map(), began = performance.now();
  let frames = 0;
  const look = (now, end) => {
    frames += 1;
    for (const canvas of document.querySelectorAll("[data-game] canvas")) {
      if (canvas.step === undefined || shown.get(canvas) === canvas.step) continue;
      shown.set(canvas, canvas.step);
      drawn.push([Number(canvas.ariaLabel.split(" ").at(-1)), canvas.step, Date.now() / 1000]);
    }
    if (now - began > ms) end();
    else requestAnimationFrame((next) => look(next, end));
  };
  await new Promise((end) => requestAnimationFrame((now) => look(now, end)));
  return { frames, drawn, took: performance.now() - began, games: shown.size };
}"""


class Game(NamedTuple):
    """A recorded game: the fresh world's view, then a step each."""

    key: EpisodeKey
    first: bytes
    steps: list[Step]


def record(n_steps: int) -> list[Game]:
    """Really played games of at least so many steps, by chance."""
    task, chance = CrafterTask(), random.Random(0)
    games: list[Game] = []
    seed = 800_000
    while len(games) < N_GAMES:
        seed += 1
        game = task.new_game(seed, {})
        key = EpisodeKey("crafter", game.world_version, seed, 0, 0)
        found = Game(key, game.view(), [])
        while len(found.steps) < n_steps:
            action = chance.choice(ACTIONS)
            result = game.step(action)
            found.steps.append(Step(0, action, result.reward, game.view(), "", result.unlocked))
            if result.done:
                break
        if len(found.steps) == n_steps:
            games.append(found)
    return games


def publish(directory: Path, games: list[Game]) -> None:
    """Be the engine: play the record in its time; when each step was, and the CPU, go to a file."""
    writer = EventWriter(directory)
    played: dict[str, float] = {}

    def emit(data: ViewData) -> None:
        writer.write("view", data)

    views = LiveViews(emit, "recorded")

    async def play(game: Game, delay_s: float) -> None:
        views.begin(game.key, game.first, ())
        await asyncio.sleep(delay_s)
        began = time.monotonic()
        for i in range(0, len(game.steps), STEPS_A_TURN):
            steps = game.steps[i : i + STEPS_A_TURN]
            turn = Turn(i // STEPS_A_TURN, [], "", [], [step.action for step in steps])
            views.turn(game.key, turn, steps)
            for n in range(i, i + len(steps)):
                played[f"{game.key.seed} {n + 1}"] = time.time()
            due = began + (i // STEPS_A_TURN + 1) * TURN_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def all_of_them() -> None:
        sending = asyncio.create_task(views.run())
        await asyncio.gather(*(play(game, i * TURN_S / N_GAMES) for i, game in enumerate(games)))
        sending.cancel()

    began = time.process_time()
    asyncio.run(all_of_them())
    told = {"cpu_s": time.process_time() - began, "played": played}
    (directory / "published.json").write_text(json.dumps(told))


def work(home: Path, directory: Path) -> None:
    """Be the worker: hold a shard, ingest what the engine tells until `published.json` stands."""
    os.environ |= {"SYNTHWEB_HOME": str(home), "DJANGO_SETTINGS_MODULE": "synthweb.settings"}
    import django

    django.setup()
    from apps.runs.ingest import Source, ingest_ready
    from apps.runs.models import ShardState
    from apps.runs.services import check_lease, finish_shard, renew_lease
    from apps.worker.keeper import LeaseKeeper
    from apps.worker.supervise import pause_s

    claim = _claim()
    source = Source(claim.attempt_id, directory)
    (directory / "ready").touch()
    wait_until(source.path.exists, "the first event", 120)
    began, cpu = time.monotonic(), time.process_time()
    with LeaseKeeper(lambda: renew_lease(claim), lambda: check_lease(claim)):
        while not (directory / "published.json").exists():
            spent = time.thread_time()
            n_events = ingest_ready(source, claim)
            time.sleep(pause_s(n_events, time.thread_time() - spent))
        share = (time.process_time() - cpu) / (time.monotonic() - began)
        finish_shard(claim, ShardState.CANCELLED)
    (directory / "worked.json").write_text(json.dumps(share))


def _claim() -> Any:
    """A run of our own, taken before the instance's worker hears of it."""
    from django.db import transaction

    from apps.accounts.models import Project
    from apps.runs.services import ShardPlan, claim_shard, create_run, queue_run

    with transaction.atomic():
        run = create_run(
            project=Project.objects.get(), user=None, kind="rollout", name="wall", config=None,
            resolved={}, inputs={}, shards=[ShardPlan(total=N_GAMES)],
        )  # fmt: skip
        queue_run(run=run)
        claim = claim_shard(worker="bench", need="rollout")
    assert claim is not None
    return claim


def watch(page: Page, directory: Path, games: list[Game], seconds: float) -> dict[str, Any]:
    """What the page drew in the middle of the record."""
    spawn = multiprocessing.get_context("spawn")
    engine = spawn.Process(target=publish, args=(directory, games))
    engine.start()
    page.locator("[data-game]").nth(N_GAMES - 1).wait_for(timeout=60_000)
    page.wait_for_timeout(2000)
    seen: dict[str, Any] = page.evaluate(WATCH, seconds * 1000)
    engine.join()
    return seen


def main() -> int:
    full = "--full" in sys.argv
    seconds = 40 if full else 12
    games = record(round((seconds + 10) * STEPS_A_TURN / TURN_S))
    figures = Figures("wall", full=full)
    with tempfile.TemporaryDirectory() as home:
        directory = Path(home) / "stream"
        directory.mkdir()
        instance = Instance(Path(home), {})
        instance.start()
        try:
            cookie = prepare(instance)
            worker = multiprocessing.get_context("spawn").Process(
                target=work, args=(Path(home), directory)
            )
            worker.start()
            wait_until((directory / "ready").exists, "the worker", 60)
            seen = _in_chromium(instance.url, cookie, directory, games, seconds)
            worker.join()
        finally:
            instance.stop()
        tell(figures, directory, seen)
    return figures.finish()


def _in_chromium(
    url: str, cookie: dict[str, str], directory: Path, games: list[Game], seconds: float
) -> dict[str, Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport=WINDOW)
        context.add_cookies([{"name": k, "value": v, "url": url} for k, v in cookie.items()])
        page = context.new_page()
        page.goto(f"{url}/live/")
        seen = watch(page, directory, games, seconds)
        browser.close()
    return seen


def tell(figures: Figures, directory: Path, seen: dict[str, Any]) -> None:
    """The figures of one replay."""
    published = json.loads((directory / "published.json").read_text())
    played = published["played"]
    delays = [at - played[f"{seed} {step}"] for seed, step, at in seen["drawn"]]
    took_s = seen["took"] / 1000
    whole_s = max(played.values()) - min(played.values())
    worked = json.loads((directory / "worked.json").read_text())
    figures.add("games drawn in one page", seen["games"], "", at_least=N_GAMES)
    figures.add("frames a second of the page", seen["frames"] / took_s, "1/s", at_least=20)
    figures.add("pictures drawn, all games", len(delays) / took_s, "1/s")
    figures.add("step → canvas, median", 1000 * statistics.median(delays), "ms")
    figures.add("step → canvas, p95", 1000 * quantile95(delays), "ms", at_most=1000)
    figures.add("worker, of a core", 100 * worked, "%", at_most=5)
    figures.add("engine's publisher, of a core", 100 * published["cpu_s"] / whole_s, "%")


def quantile95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


if __name__ == "__main__":
    sys.exit(main())
