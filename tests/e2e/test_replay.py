"""A game on the screen: replayed with keys, at a step, turn by turn, forked, and while it plays."""

from __future__ import annotations

import re
from base64 import b64encode

import pytest
from playwright.sync_api import Page, expect

from engine.tasks import get_task
from tests.servers.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SOON = 60_000  # ms; two busy cores
BATCH = """
from django.db import transaction
from apps.runs.ingest.views import merge_views
from apps.runs.models import Run
from engine.events import Event
run = Run.objects.get(pk={run})
with transaction.atomic():
    merge_views(run.pk, run.shards.get().pk, [Event(1, 0.0, "view", {data})])
"""
LONG_GAME = """
type = "rollout"
provider = "builtin"
model = "guide"
seeds = [500]
max_turns = 130
"""


def _open_best_trace(page: Page, run: int) -> None:
    page.goto(f"/traces/?run={run}&order=-n_achievements")
    page.locator("#trace-rows td a").first.click()
    page.wait_for_selector("[data-replay][data-ready=yes]")


def _picture(page: Page) -> str:
    return str(page.eval_on_selector("[data-part=game]", "node => node.toDataURL()"))


def test_a_game_is_replayed_with_the_keyboard(page: Page, played: dict[str, int]) -> None:
    _open_best_trace(page, played["guide"])
    where = page.locator("[data-part=where]")
    expect(where).to_contain_text("step 0 of")
    first = _picture(page)
    page.keyboard.press("ArrowRight")
    expect(where).to_contain_text("step 1 of")
    expect(page.locator(".act.now")).to_have_count(1)
    assert _picture(page) != first
    page.keyboard.press("]")
    expect(page.locator("[data-part=gain]")).to_contain_text("unlocked")
    page.keyboard.press("End")
    expect(page).to_have_url(re.compile(r"step=\d+"))
    page.keyboard.press("Home")
    page.keyboard.press(".")
    expect(page.locator("[data-part=speed]")).to_have_value("2")
    page.keyboard.press("Space")
    expect(where).to_contain_text(re.compile(r"step [2-9]"))


def test_a_game_is_forked_where_it_stands_and_its_branches_appear_beside_it(
    page: Page, played: dict[str, int]
) -> None:
    page.goto(f"/traces/?run={played['random']}")
    page.locator("#trace-rows td a").first.click()
    expect(page.locator("[data-replay][data-ready]")).to_be_visible(timeout=SOON)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#fork-step")).to_have_value("3")
    page.keyboard.press("f")
    page.locator("#fork-model").select_option("guide")
    page.fill("#fork-n", "3")
    page.get_by_role("button", name="Fork here").click()
    expect(page.locator("#forks .branches a")).to_have_count(3, timeout=SOON)
    expect(page.locator("#forks")).to_contain_text("guide", timeout=SOON)
    page.locator("#forks .branches a").first.click()
    expect(page.get_by_text("a branch of")).to_be_visible()


def test_a_step_in_the_address_opens_that_moment(page: Page, played: dict[str, int]) -> None:
    _open_best_trace(page, played["guide"])
    page.goto(page.url.split("?")[0] + "?step=7")
    expect(page.locator("[data-part=where]")).to_contain_text("step 7 of")


def test_far_turns_of_a_long_game_come_when_the_replay_goes_there(page: Page, instance) -> None:
    run = instance.call("POST", "/api/v1/runs", {"toml": LONG_GAME, "launch": True})["id"]
    wait_until(lambda: instance.state_of(run) == "succeeded", "a long game", 120)
    _open_best_trace(page, run)
    turns, now = page.locator(".turn"), page.locator(".turn.now")
    expect(turns).to_have_count(50)
    page.keyboard.press("End")
    expect(now).to_have_id("turn-129")
    expect(now).to_be_in_viewport()
    page.locator(".transcript").evaluate("node => (node.scrollTop = 6000)")
    expect(page.locator("#turn-60")).to_be_in_viewport()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(now).to_have_id("turn-0")
    expect(now).to_be_in_viewport()


def test_the_transcript_of_a_running_game_grows_with_its_steps(page: Page, instance) -> None:
    run = instance.start_noop(n_steps=3000, step_s=0.1)
    wait_until(lambda: instance.state_of(run) == "running", "the run has a worker", 60)
    game = get_task("crafter").new_game(500, {})
    views = [b64encode(game.view()).decode()]

    def tell(first_step: int, turns: list[list[object]], views: list[str]) -> None:
        key = ["crafter", game.world_version, 500, 0, 0]
        call = turns[-1][1] if turns else ""
        data = {"key": key, "seed": 500, "model": "m", "first_step": first_step, "views": views,
                "rewards": [0] * len(views), "unlocks": [["wake_up", 2]] if turns else [],
                "n_turns": 3 if turns else 0, "call": call, "turns": turns}  # fmt: skip
        instance.manage("shell", "--no-imports", "-c", BATCH.format(run=run, data=data))

    tell(0, [], views[:1])
    page.goto("/live/")
    page.locator("[data-game]").click()
    page.wait_for_selector("[data-replay][data-ready=yes]")
    for action in ("noop", "move_left", "do"):
        game.step(action)
        views.append(b64encode(game.view()).decode())
    tell(1, [[0, "noop", 1, 1], [1, "(no_call)", 2, 0], [2, "move_left, do", 2, 2]], views[1:])
    expect(page.locator(".turn.now .act.now")).to_have_text("do", timeout=SOON)
    expect(page.locator("[data-part=unlocked]")).to_have_text("wake up")
    page.locator(".act", has_text="move_left").click()
    expect(page.locator("[data-part=where]")).to_have_text("step 2 of 3")
    expect(page.locator(".turn.wrong")).to_have_text("Turn 1(no_call)")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".turn.now .act.now")).to_have_text("noop")
    instance.call("POST", f"/api/v1/runs/{run}/cancel")


def test_a_turn_shows_what_the_model_saw(page: Page, played: dict[str, int]) -> None:
    _open_best_trace(page, played["guide"])
    page.locator(".turn details summary").first.click()
    expect(page.locator(".turn .message.user").first).to_contain_text("grass")
