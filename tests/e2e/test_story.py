"""The story of somebody who has never seen it: from a button to the data behind a lucky game.

Nothing is typed into the address: whatever is needed next stands on the page as a link or button.
"""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SOON = 60_000  # ms; two busy cores
DEMO = 480_000  # ms; it says three minutes, on two cores of its own


def test_a_newcomer_runs_the_loop_forks_the_first_table_and_takes_the_data_home(page: Page) -> None:
    tour = page.locator(".tour .step")
    tour.get_by_role("link", name="Press Demo below").click()
    page.click("button[value=demo]")
    page.wait_for_url(re.compile(r"/pipelines/\d+/"))
    tuned = page.locator(".step.succeeded").get_by_role("link", name="sft", exact=True)
    expect(tuned).to_be_visible(timeout=DEMO)
    tuned.click()

    page.get_by_role("link", name="The first game that unlocked place table").click()
    page.wait_for_selector("[data-replay][data-ready=yes]")
    expect(page.locator("[data-part=gain]")).to_contain_text("place table")
    page.keyboard.press("ArrowLeft")  # to the moment before
    _fork_with_the_base(page, n=2)

    page.locator(".answer").get_by_role("link").click()
    expect(page.locator("#model-id")).to_contain_text("ft:")
    page.locator(".graph a", has_text="good games of the").click()
    expect(page.locator(".answer")).to_contain_text("from")
    with page.expect_download() as download:
        page.get_by_role("link", name="trl JSONL").click()
    lines = download.value.path().read_text().splitlines()
    told = str(page.locator(".answer strong").inner_text())
    assert len(lines) == int(re.sub(r"\D", "", told)) > 100
    assert json.loads(lines[0])["messages"][-1]["tool_calls"]

    page.get_by_role("link", name="Home").first.click()
    expect(tour.locator(".good")).to_have_count(3)
    page.get_by_role("button", name="Close for good").click()
    expect(tour).to_have_count(0)


def _fork_with_the_base(page: Page, n: int) -> None:
    """Let the model's base go on from the step that is shown, and wait for its branches."""
    chosen = page.locator("#fork-model option", has_text="its base").get_attribute("value")
    page.select_option("#fork-model", chosen)
    page.fill("#fork-n", str(n))
    page.get_by_role("button", name="Fork here").click()
    expect(page.locator("#forks .branches a")).to_have_count(n, timeout=SOON)
    expect(page.locator("#forks .answer")).to_contain_text(f"on average over {n} branches")
