"""A browser at a whole instance: Chromium, logged in, and a few real games to look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.servers.instance import Instance
from tests.servers.waiting import wait_until

CHROMIUM = "/usr/bin/chromium"
CONFIG = """
type = "eval"
name = "{name}"
provider = "builtin"
model = "{name}"
seeds = "500..505"
max_turns = 20
max_steps = 60
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, instance: Instance) -> Iterator[Page]:
    """A logged-in page; a script error or a refused resource fails its test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=instance.url)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda err: faults.append(str(err)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.goto("/login/")
    page.fill("#id_username", instance.user)
    page.fill("#id_password", instance.password)
    page.click("button.primary")
    page.wait_for_url(f"{instance.url}/")
    yield page
    context.close()
    assert not faults


@pytest.fixture(scope="module")
def played(instance: Instance) -> dict[str, int]:
    """Runs of both built-in players on the same six worlds, finished: name → run."""
    runs = {}
    for name in ("random", "guide"):
        body = {"toml": CONFIG.format(name=name), "launch": True}
        runs[name] = int(instance.call("POST", "/api/v1/runs", body)["id"])
    for name, run in runs.items():
        wait_until(
            lambda run=run: instance.call("GET", f"/api/v1/runs/{run}")["state"] == "succeeded",
            f"the {name} run has ended",
            120,
        )
    return runs
