"""How soon a trace of 1,000 turns stands on the screen, and its last step after the key End.

`python -m bench.replay [--full]`: a real instance in a temporary home. The teacher plays one game
of 1,000 turns (in a peaceful world, two actions a call: it lives that long there), which is stored
as a worker stores it. Then Chromium opens the trace's page with an empty cache, and again by a link
to its last step. Visit by visit a game of ten turns is opened too: what such a page takes at all.
Each figure is the median of several visits: Chromium draws in software and shares this machine's
cores with whatever else runs, which the CPU of the page's own thread does not feel.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from bench.figures import Figures
from bench.pages import prepare
from engine.rollout.player import play_episode
from engine.rollout.policies import ScriptedPolicy
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.tasks import get_task
from engine.traces.record import Trace
from tests.servers.instance import Instance

N_TURNS, FEW = 1000, 10
MAX_MS = 500
SEED = 510  # the teacher lives for 1,000 turns there
WORLD = {"difficulty": "peaceful"}
CHROMIUM = "/usr/bin/chromium"

# Runs before the page: `stands(step)` answers with the milliseconds since the navigation began, or
# since `from`, in the frame behind the one in which the step's picture and turn were there to see.
WATCH = """
window.stands = (step, from = 0) => new Promise((done) => {
  const seen = () => {
    const canvas = document.querySelector("[data-part=game]");
    const pane = document.querySelector("[data-part=transcript]");
    if (!canvas || canvas.step !== step || !pane) return false;
    const turn = step ? pane.querySelector(".turn.now") : pane.querySelector(".turn");
    if (!turn?.textContent.trim()) return false;
    const [box, frame] = [turn.getBoundingClientRect(), pane.getBoundingClientRect()];
    return box.height > 0 && box.top < frame.bottom && box.bottom > frame.top;
  };
  const told = () => done(performance.now() - from);
  const look = () => requestAnimationFrame(seen() ? told : look);
  look();
});
window.ready = () => new Promise((done) => {
  const told = () => done(performance.now());
  const isReady = () => document.querySelector("[data-ready]");
  const look = () => (isReady() ? told() : requestAnimationFrame(look));
  look();
});
window.firstPaint = () => new Promise((done) => {
  const name = "first-contentful-paint";
  const told = (list) => list.getEntriesByName(name).forEach((it) => done(it.startTime));
  new PerformanceObserver(told).observe({ type: "paint", buffered: true });
});
window.weighed = () => {
  const [page] = performance.getEntriesByType("navigation");
  const steps = performance.getEntriesByType("resource").find((it) => it.name.includes("/steps/"));
  const took = (it) => it.responseEnd - it.requestStart;
  return { page: page.decodedBodySize, server: took(page), steps: steps.decodedBodySize,
    steps_ms: took(steps) };
};
"""


def play(n_turns: int = N_TURNS) -> Trace:
    """A game of so many turns by the teacher, in the real world through the real player."""
    task = get_task("crafter")
    guide = task.scripted["guide"]

    def two_actions(messages: Any, turn_key: Any) -> Any:
        name, arguments = guide(messages, turn_key)
        return name, {**arguments, "actions": arguments["actions"][:2]}

    options = PlayerOptions(task_options=WORLD, max_turns=n_turns, policy="guide")
    policy = ScriptedPolicy("guide", two_actions)
    game = task.new_game(SEED, WORLD)
    trace = asyncio.run(play_episode(task, game, EpisodeSpec(SEED), policy, options))
    if len(trace.turns) != n_turns:
        raise RuntimeError(f"the game ended after {len(trace.turns)} turns; choose another SEED")
    return trace


def store(trace: Trace) -> int:
    """Store it as a worker does, in a run of its own; the trace's number."""
    from apps.accounts.models import Project
    from tests.games import make_run, store_games

    run = make_run(Project.objects.get(), model="", name="a long game")
    return store_games(run, [trace])[0].pk


def visit(browser: Browser, url: str, cookie: dict[str, str], trace: Trace) -> dict[str, float]:
    """Milliseconds and bytes of one visit with an empty cache, and of the key End."""
    last = len(trace.steps)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": k, "value": v, "url": url} for k, v in cookie.items()])
    context.add_init_script(WATCH)
    page = context.new_page()
    inside = context.new_cdp_session(page)
    inside.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url, wait_until="commit")
    found: dict[str, float] = {"stands": page.evaluate("stands(0)")}
    found["ready"] = page.evaluate("ready()")
    page.wait_for_load_state()
    found["first paint"] = page.evaluate("firstPaint()")
    found |= page.evaluate("weighed()")
    told = inside.send("Performance.getMetrics")["metrics"]
    found["cpu"] = next(it["value"] * 1000 for it in told if it["name"] == "TaskDuration")
    page.evaluate(
        "(last) => document.addEventListener('keydown', () => "
        "{ window.ended = stands(last, performance.now()); }, { capture: true, once: true })",
        last,
    )
    page.keyboard.press("End")
    found["end"] = page.evaluate("window.ended")
    page.goto(f"{url}?step={last}", wait_until="commit")
    found["deep"] = page.evaluate("(last) => stands(last)", last)
    context.close()
    return found


def main() -> int:
    full = "--full" in sys.argv
    figures = Figures("replay", full=full)
    trace = play()
    with tempfile.TemporaryDirectory(prefix="bench-replay-") as home:
        instance = Instance(Path(home), {})
        instance.start()
        try:
            cookie = prepare(instance)
            games = [(f"{instance.url}/traces/{store(it)}/", it) for it in (trace, play(FEW))]
            tell(figures, *_visits(games, cookie, 15 if full else 5))
        finally:
            instance.stop()
    return figures.finish()


def _visits(
    games: list[tuple[str, Trace]], cookie: dict[str, str], n: int
) -> list[list[dict[str, float]]]:
    """The visits of each game, in turns."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = [[visit(browser, url, cookie, it) for url, it in games] for _ in range(n + 1)]
        browser.close()
    return [list(visits) for visits in zip(*found[1:], strict=True)]  # the first is a warm-up


def tell(figures: Figures, visits: list[dict[str, float]], short: list[dict[str, float]]) -> None:
    """The median of each figure over the visits: most of them must keep the bound."""

    def middle(name: str, visits: list[dict[str, float]] = visits) -> float:
        return median(seen[name] for seen in visits)

    def add(words: str, name: str, at_most: float | None = None) -> None:
        figures.add(f"{words}, median of {len(visits)}", middle(name), "ms", at_most=at_most)

    figures.add("turns of the trace", N_TURNS, "")
    add("first contentful paint", "first paint")
    add("game drawn, transcript readable, cache empty", "stands", at_most=MAX_MS)
    add("steps there, keys work", "ready")
    add("a link to the last step, cache filled", "deep", at_most=MAX_MS)
    add("CPU of the page's thread", "cpu")
    figures.add(f"game drawn, a game of {FEW} turns", middle("stands", short), "ms")
    add("key End → last step and its turn", "end", at_most=200)
    add("server, the page", "server")
    add("server, the steps", "steps_ms")
    figures.add("bytes of the page", middle("page") / 1024, "KiB")
    figures.add("bytes of the steps", middle("steps") / 1024, "KiB")


if __name__ == "__main__":
    sys.exit(main())
