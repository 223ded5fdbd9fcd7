"""No page has a serious finding of axe: light and dark, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page

from tests.servers.instance import TWO_STAGES, Instance
from tests.servers.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
AXE = (Path(axe_playwright_python.__path__[0]) / "axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FIND = """async (rules) => {
  const found = await axe.run(document, {runOnly: rules, resultTypes: ["violations"]});
  return found.violations.filter(({impact}) => ["serious", "critical"].includes(impact)).flatMap(
    ({id, nodes}) => nodes.map((node) => `${id}: ${node.target.join(" ")}`));
}"""
PAGES = (
    "/", "/runs/", "/live/", "/traces/", "/traces/import/", "/compare/", "/curves/", "/datasets/",
    "/datasets/new/", "/checkpoints/", "/checkpoints/import/", "/configs/", "/configs/new/",
    "/pipelines/", "/queue/",
    "/settings/", "/settings/password/", "/settings/keys/", "/settings/aliases/",
    "/settings/users/", "/settings/projects/", "/settings/storage/", "/settings/workers/",
    "/settings/audit/", "/settings/webhooks/", "/settings/providers/?preset=vllm",
    "/search/?q=guide", "/search/?q=nothing", "/runs/9999/",
)  # fmt: skip
LOGIN = "/login/"
MATH = """
type = "eval"
name = "problems"
provider = "builtin"
model = "guide"
task = "math"
seeds = "0..3"
[math]
family = "chain_sum"
"""
# What only a training makes, written down: a base, what reward made of it, and the run between.
TRAINED = """
from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint, CheckpointFile
from apps.runs.models import Run
from tests.games import make_run, make_trace, store_games
project = Project.objects.get()
score = {"n": 20, "n_episodes": 20, "unique": {"n": 20, "mean": 3.5, "low": 3.0, "high": 4.0}}
train, look = (make_run(project, kind, name=kind, model="small") for kind in ("rl", "eval"))
store_games(train, [make_trace(seed, repeat=i) for seed in (1, 2) for i in (0, 1)])
Run.objects.filter(pk=train.pk).update(state="succeeded", result={"train.reward": 1.5})
Run.objects.filter(pk=look.pk).update(state="succeeded", model="rl:small:job_1", result=score)
base = Checkpoint.objects.create(
    uid="ck_00000000ba5e", project=project, model_id="small", kind="base", size_bytes=9)
made = Checkpoint.objects.create(uid="ck_000000000001", project=project, kind="rl", base=base,
    run=train, model_id="rl:small:job_1", trained_seeds=[["crafter", "", [[1, 2]]]], size_bytes=9)
for row in (base, made):
    CheckpointFile.objects.create(
        checkpoint=row, path="config.json", sha256="0" * 64, size=1, storage_key="x")
print(train.pk)
"""


@pytest.fixture(scope="module")
def addresses(instance: Instance, played: dict[str, int]) -> list[str]:
    """Every page, with one of each thing that there is a page of."""
    math = _launch(instance, MATH)
    guide, random = played["guide"], played["random"]
    game, other = _first_trace(instance, guide), _first_trace(instance, random)
    branches = {"step": 2, "model": "guide", "n": 2}
    fork = int(instance.call("POST", f"/api/v1/traces/{other}/fork", branches)["id"])
    _wait(instance, fork)
    body = {"toml": TWO_STAGES, "name": "two.toml"}
    pipeline = int(instance.call("POST", "/api/v1/pipelines", body)["id"])
    dataset = instance.call(
        "POST", "/api/v1/datasets", {"name": "games", "filter": {"runs": [str(guide)]}}
    )
    config = instance.call("GET", "/api/v1/configs")["items"][0]["id"]
    rl = instance.manage("shell", "--no-imports", "-c", TRAINED).stdout.split()[-1]
    return [
        *PAGES,
        f"/runs/{guide}/", f"/runs/{fork}/", f"/runs/{math}/", f"/runs/{rl}/",
        "/checkpoints/ck_00000000ba5e/", "/checkpoints/ck_000000000001/",
        f"/traces/{game}/", f"/traces/{other}/", f"/pipelines/{pipeline}/",
        f"/traces/{_first_trace(instance, math)}/", f"/datasets/{dataset['id']}/",
        f"/configs/{config}/", f"/curves/?runs={guide},{random}",
        f"/compare/?runs={random},{guide}", f"/compare/games/?a={other}&b={game}",
    ]  # fmt: skip


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[1440, 390])
def logged_in(
    request: pytest.FixtureRequest, browser: Browser, instance: Instance, scheme: Any
) -> Iterator[Page]:
    """A logged-in page of that width and theme; the policy is off, since axe is a script."""
    context = browser.new_context(
        viewport={"width": request.param, "height": 900}, base_url=instance.url,
        color_scheme=scheme, reduced_motion="reduce", bypass_csp=True,
    )  # fmt: skip
    page = context.new_page()
    page.goto(LOGIN)
    page.fill("#id_username", instance.user)
    page.fill("#id_password", instance.password)
    page.click("button.primary")
    page.wait_for_url(f"{instance.url}/")
    yield page
    context.close()


def test_no_page_has_a_serious_finding_or_scrolls_sideways(
    logged_in: Page, addresses: list[str]
) -> None:
    found = {address: _findings(logged_in, address) for address in addresses}
    logged_in.context.clear_cookies()
    found[LOGIN] = _findings(logged_in, LOGIN)
    assert {address: faults for address, faults in found.items() if faults} == {}


def _findings(page: Page, address: str) -> list[str]:
    answer = page.goto(address, wait_until="load")
    if answer is None or answer.status >= 500:
        return [f"answers {answer.status if answer else 'nothing'}"]
    page.wait_for_timeout(150)  # curves and pictures are drawn behind the page
    page.evaluate(AXE)
    faults: list[str] = page.evaluate(FIND, RULES)
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [*faults, *([f"scrolls sideways by {wide} px"] if wide > 0 else [])]


def _launch(instance: Instance, toml: str) -> int:
    run = int(instance.call("POST", "/api/v1/runs", {"toml": toml, "launch": True})["id"])
    _wait(instance, run)
    return run


def _wait(instance: Instance, run: int) -> None:
    wait_until(
        lambda: instance.call("GET", f"/api/v1/runs/{run}")["state"] == "succeeded",
        f"run {run} has ended",
        120,
    )


def _first_trace(instance: Instance, run: int) -> int:
    return int(instance.call("GET", f"/api/v1/traces?run={run}&limit=1")["items"][0]["id"])
