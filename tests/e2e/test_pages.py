"""What a person does: start a run, watch it, compare, curate, write a config."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import CONFIG
from tests.servers.instance import Instance
from tests.servers.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SOON = 60_000  # ms; two busy cores


def test_a_wrong_password_says_so_and_keeps_the_user(browser, instance) -> None:
    page = browser.new_page(base_url=instance.url)
    page.goto("/runs/")
    page.fill("#id_username", "nobody")
    page.fill("#id_password", "wrong")
    page.click("button.primary")
    expect(page.get_by_role("alert")).to_contain_text("do not match")
    expect(page.locator("#id_username")).to_have_value("nobody")
    page.close()


def test_a_run_started_from_home_is_seen_live_without_a_reload(page: Page) -> None:
    page.click("button[value=random]")
    page.wait_for_url(re.compile(r"/runs/\d+/"))
    page.evaluate("window.same = true")
    expect(page.locator("[data-game]").first).to_be_attached(timeout=SOON)
    expect(page.locator("#run-episodes .tile").first).to_be_visible(timeout=SOON)
    expect(page.locator("figure.curve").first).to_be_visible(timeout=SOON)
    expect(page.locator("#run-status .state").first).to_have_text("succeeded", timeout=SOON)
    assert page.evaluate("window.same"), "the page was loaded again"


def test_the_order_of_the_wall_stands_in_the_address(page: Page) -> None:
    page.goto("/live/")
    page.select_option("#sort", "danger")
    expect(page).to_have_url(re.compile("sort=danger"))
    page.reload()
    expect(page.locator("#sort")).to_have_value("danger")


def test_the_palette_finds_a_run_and_goes_to_a_page(page: Page, played: dict[str, int]) -> None:
    page.goto("/live/")
    page.keyboard.press("Control+k")
    page.keyboard.type("guide")
    expect(page.locator("#palette a").first).to_contain_text("guide", timeout=SOON)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/runs/\d+/"))
    page.keyboard.press("Control+k")
    page.keyboard.type("checkp")
    page.locator("#palette button", has_text="Checkpoints").click()
    page.wait_for_url(re.compile("/checkpoints/"))


def test_two_runs_are_compared_world_by_world(page: Page, played: dict[str, int]) -> None:
    page.goto("/runs/?kind=eval")
    for name in ("random", "guide"):
        page.check(f"#run-{played[name]} input[type=checkbox]")
    page.locator("[data-compare]").click()
    expect(page.locator(".verdict")).to_contain_text(re.compile("better|worse"))
    worlds = page.locator("section[aria-label] table tbody tr")
    expect(worlds).to_have_count(6)
    expect(page.get_by_role("heading", name="What was set differently")).to_be_visible()
    worlds.first.get_by_role("link").last.click()
    expect(page.locator("[data-duel][data-ready]")).to_be_visible(timeout=SOON)
    page.keyboard.press("ArrowRight")
    for side in page.locator("[data-side]").all():
        expect(side.locator('[data-part="where"]')).to_contain_text("step 1 of")


def test_a_dataset_is_made_of_the_games_that_the_preview_shows(
    page: Page, played: dict[str, int]
) -> None:
    page.goto(f"/datasets/new/?runs={played['guide']}")
    expect(page.locator("#preview h2")).to_contain_text("from 6 games")
    page.fill("#ds-name", "from the teacher")
    page.click("text=Create dataset")
    page.wait_for_url(re.compile(r"/datasets/\d+/$"))
    expect(page.locator(".answer")).to_contain_text("6 games")
    with page.expect_download() as download:
        page.click("text=trl JSONL")
    assert '"messages"' in download.value.path().read_text()
    page.click("text=Fine-tune on this")
    expect(page.locator("#text")).to_have_value(re.compile(r'data = "dataset:\d+"'))


def test_form_and_toml_follow_each_other_and_mistakes_stand_at_their_line(page: Page) -> None:
    page.goto("/configs/new/")
    page.fill("#f-max_turns", "7")
    page.locator("#f-max_turns").blur()
    expect(page.locator("#text")).to_have_value(re.compile(r"max_turns = 7 "))
    page.fill("#text", 'type = "eval"\nmodel = "random"\nmax_turn = 9\n')
    expect(page.locator("#mistakes")).to_contain_text("line 3")
    expect(page.locator("#mistakes")).to_contain_text("max_turns")
    page.fill("#text", 'type = "eval"\nmodel = "random"\nseeds = [1]\nmax_turns = 9\n')
    expect(page.locator("#f-max_turns")).to_have_value("9")
    expect(page.locator("#mistakes")).to_have_count(0)


def test_pages_fit_a_phone_in_both_themes(browser, instance, played: dict[str, int]) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(
            viewport={"width": 390, "height": 800}, color_scheme=scheme, base_url=instance.url
        )
        page = context.new_page()
        page.goto("/login/")
        page.fill("#id_username", instance.user)
        page.fill("#id_password", instance.password)
        page.click("button.primary")
        for path in (
            "/",
            "/runs/",
            f"/runs/{played['guide']}/",
            "/traces/",
            "/live/",
            "/settings/",
            "/settings/users/",
            "/settings/audit/",
        ):
            page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} px too wide"
        context.close()


def test_pages_read_without_javascript(browser, instance, played: dict[str, int]) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=instance.url)
    page = context.new_page()
    page.goto("/login/")
    page.fill("#id_username", instance.user)
    page.fill("#id_password", instance.password)
    page.click("button.primary")
    page.goto(f"/runs/{played['guide']}/")
    expect(page.locator("body")).to_contain_text("collect wood")
    page.goto("/traces/")
    page.locator("#trace-rows td a").first.click()
    expect(page.locator(".turn").first).to_contain_text("Turn 0")
    context.close()


def test_a_hidden_page_lets_go_of_its_stream_and_catches_up_without_gap_or_double(
    page: Page, instance
) -> None:
    page.goto("/")
    page.click("button[value=random]")
    page.wait_for_url(re.compile(r"/runs/\d+/"))
    run = page.url.rstrip("/").rpartition("/")[2]
    _hide(page, True)
    wait_until(
        lambda: instance.call("GET", f"/api/v1/runs/{run}")["state"] == "succeeded",
        "the run has ended unseen",
        120,
    )
    _hide(page, False)
    expect(page.locator("#run-status .state").first).to_have_text("succeeded", timeout=SOON)
    expect(page.locator(".log")).to_contain_text("running → succeeded", timeout=SOON)
    lines = page.locator(".log li.state").all_inner_texts()
    told = [line.lstrip("0123456789:").strip() for line in lines]
    assert told == ["draft → queued", "queued → running", "running → succeeded"]


def test_twenty_tabs_share_one_stream_and_all_of_them_are_told(
    browser: Browser, instance: Instance
) -> None:
    context = browser.new_context(base_url=instance.url)
    tabs = [context.new_page() for _ in range(20)]
    streams: list[str] = []
    for tab in tabs:
        tab.on("request", lambda r: streams.append(r.url) if "/stream/" in r.url else None)
    _log_in(tabs[0], instance)
    for tab in tabs:
        tab.goto("/runs/")
    body = {"toml": CONFIG.format(name="random"), "launch": True}
    run = int(instance.call("POST", "/api/v1/runs", body)["id"])
    for tab in tabs:
        expect(tab.locator(f'a[href="/runs/{run}/"]').first).to_be_visible(timeout=SOON)
    tabs[0].close()  # the others go on without the one that read for them
    tabs[3].goto(f"/runs/{run}/")
    expect(tabs[3].locator("#run-status .state").first).to_have_text("succeeded", timeout=60_000)
    expect(tabs[3].locator(".log")).to_contain_text("running → succeeded", timeout=SOON)
    assert len(streams) < 12
    context.close()


def _log_in(page: Page, instance: Instance) -> None:
    page.goto("/login/")
    page.fill("#id_username", instance.user)
    page.fill("#id_password", instance.password)
    page.click("button.primary")
    page.wait_for_url(f"{instance.url}/")


def _hide(page: Page, hidden: bool) -> None:
    """Tell the page that its tab went away or came back, as the browser does."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
