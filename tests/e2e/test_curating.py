"""Curating with the keyboard: a label on the row under the cursor, a view kept and forgotten."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_game_is_labelled_by_keys_and_a_filter_is_kept(
    page: Page, played: dict[str, int]
) -> None:
    page.goto(f"/traces/?run={played['guide']}")
    count = page.locator("[data-count]")
    expect(count).to_have_text("Tick games to")
    for key in ("j", "j", "l"):
        page.keyboard.press(key)
    expect(count).to_have_text("1 game ticked")
    page.keyboard.type("nice")
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-row]").nth(1)).to_contain_text("nice")
    page.check("[data-all]")
    expect(count).to_have_text("6 games ticked")
    page.select_option("#ended", "max_steps")
    page.wait_for_url("**ended=max_steps**")
    page.fill("#view-name", "long games")
    page.click("text=Save view")
    expect(page.locator(".saved .tag.on")).to_contain_text("long games")
    page.click('[aria-label="Forget the view long games"]')
    expect(page.locator(".saved .tag")).to_have_count(0)
