"""A trace file goes in through the browser and its games are traces like ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.v3_files import write_file

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def test_an_uploaded_file_becomes_a_run_with_its_traces(page: Page, tmp_path: Path) -> None:
    file = write_file(tmp_path / "games.db", 4)
    page.goto("/traces/")
    page.click("text=Import traces")
    page.set_input_files("#file", file)
    page.click("form[data-upload] button")
    page.wait_for_url("**/runs/*/")
    expect(page.locator("#run-status")).to_contain_text("4 sessions imported", timeout=60_000)
    page.goto("/traces/?achievement=place_table")
    page.click("tbody a >> nth=0")
    expect(page.locator("h1")).to_contain_text("achievements")
    page.click(".turn summary >> nth=0")
    expect(page.locator(".full").first).to_contain_text("You play Crafter")
