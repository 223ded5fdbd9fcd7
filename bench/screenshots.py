"""Screenshots of every page, light and dark, at 1440, 1024 and 390 px, of a running instance.

`python -m bench.screenshots` reads the address and password from `credentials.env` in
SYNTHWEB_HOME (or takes --url --user --password) and writes PNGs to --out, outside the checkout by
default. Also says which pages scroll sideways and which of them wrote errors to the console.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

SIZES = {"desk": (1440, 900), "tablet": (1024, 768), "phone": (390, 844)}
THEMES = ("light", "dark")
PAGES = {
    "home": "/",
    "runs": "/runs/",
    "live": "/live/",
    "traces": "/traces/",
    "traces-import": "/traces/import/",
    "curves": "/curves/",
    "search": "/search/?q=guide",
    "search-nothing": "/search/?q=nothing+is+called+so",
    "compare": "/compare/",
    "datasets": "/datasets/",
    "dataset-new": "/datasets/new/",
    "checkpoints": "/checkpoints/",
    "checkpoints-import": "/checkpoints/import/",
    "configs": "/configs/",
    "config-new": "/configs/new/",
    "pipelines": "/pipelines/",
    "queue": "/queue/",
    "settings": "/settings/",
    "settings-password": "/settings/password/",
    "settings-keys": "/settings/keys/",
    "settings-providers": "/settings/providers/",
    "provider-new": "/settings/providers/?preset=groq#new-provider",
    "settings-aliases": "/settings/aliases/",
    "settings-users": "/settings/users/",
    "settings-projects": "/settings/projects/",
    "settings-storage": "/settings/storage/",
    "settings-workers": "/settings/workers/",
    "settings-webhooks": "/settings/webhooks/",
    "settings-audit": "/settings/audit/",
    "missing": "/runs/999999999/",
}
# Pages of single things: the first link of a list that matches.
DETAILS = {
    "run": ("/runs/", 'a[href^="/runs/"]:has(.title)'),
    "run-training": ("/runs/?kind=sft", 'a[href^="/runs/"]:has(.title)'),
    "run-rl": ("/runs/?kind=rl", 'a[href^="/runs/"]:has(.title)'),
    "run-fork": ("/runs/?kind=fork", 'a[href^="/runs/"]:has(.title)'),
    "trace": ("/traces/?order=-n_achievements", 'a[href^="/traces/"]:has(.title)'),
    "trace-math": ("/traces/?task=math", 'a[href^="/traces/"]:has(.title)'),
    "run-math": ("/runs/?q=math&kind=eval", 'a[href^="/runs/"]:has(.title)'),
    "dataset": ("/datasets/", 'a[href^="/datasets/"]:has(.title)'),
    "checkpoint": ("/checkpoints/", 'a[href^="/checkpoints/"]:has(.title)'),
    "config": ("/configs/", 'a[href^="/configs/"]:has(.title)'),
    "pipeline": ("/pipelines/", 'a[href^="/pipelines/"]:has(.title)'),
}


def main() -> int:
    arguments = _arguments()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox"]
        )
        addresses = _addresses(browser, arguments)
        faults = [
            fault
            for size in SIZES
            for theme in THEMES
            for fault in _shoot(browser, arguments, addresses, size, theme, out)
        ]
        browser.close()
    for fault in faults:
        print(fault)
    print(f"{len(addresses) * len(SIZES) * len(THEMES)} pictures in {out}, {len(faults)} faults")
    return 1 if faults else 0


def _arguments() -> argparse.Namespace:
    home = Path(os.environ.get("SYNTHWEB_HOME", "var"))
    known = read_credentials(home / "credentials.env")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=known.get("SYNTHWEB_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--user", default=known.get("SYNTHWEB_USER", ""))
    parser.add_argument("--password", default=known.get("SYNTHWEB_PASSWORD", ""))
    parser.add_argument("--out", default=f"{tempfile.gettempdir()}/synthweb-screenshots")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--only", default="", help="names of pages, with commas between")
    return parser.parse_args()


def read_credentials(path: Path) -> dict[str, str]:
    """Address, user, password and keys of an instance, from its `credentials.env`; {} without."""
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("'\"") for key, _, value in pairs}


def _addresses(browser: Browser, arguments: argparse.Namespace) -> dict[str, str]:
    """Name → path of every page that this instance has something for."""
    page = _log_in(browser, arguments, "desk", "light")
    found = dict(PAGES)

    def first(name: str, listing: str, link: str) -> None:
        page.goto(arguments.url + listing)
        node = page.locator(link).first
        if node.count():
            found[name] = str(node.get_attribute("href"))

    for name, (listing, link) in DETAILS.items():
        first(name, listing, link)
    trained = [found[name].split("/")[2] for name in ("run-training", "run-rl") if name in found]
    if trained:
        found["curves-of-runs"] = f"/curves/?runs={','.join(trained)}"
    page.goto(f"{arguments.url}/compare/")
    if page.locator("#b").count():
        runs = [page.locator(side).input_value() for side in ("#b", "#a")]
        found["compare-two"] = f"/compare/?runs={','.join(runs)}"
        first("compare-games", found["compare-two"], 'a[href^="/compare/games/"]')
    page.context.close()
    wanted = set(filter(None, arguments.only.split(",")))
    return {name: path for name, path in found.items() if not wanted or name in wanted}


def _log_in(browser: Browser, arguments: argparse.Namespace, size: str, theme: str) -> Page:
    width, height = SIZES[size]
    scheme: Any = theme
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(f"{arguments.url}/login/")
    page.fill("#id_username", arguments.user)
    page.fill("#id_password", arguments.password)
    page.click("button.primary")
    page.wait_for_url(lambda address: "/login/" not in address)
    return page


def _shoot(
    browser: Browser,
    arguments: argparse.Namespace,
    addresses: dict[str, str],
    size: str,
    theme: str,
    out: Path,
) -> list[str]:
    """Pictures of all pages in one size and theme; returns what was wrong, in words."""
    page = _log_in(browser, arguments, size, theme)
    faults: list[str] = []
    where = {"name": ""}
    page.on(
        "console",
        lambda line: (
            faults.append(f"{where['name']} {size}: console {line.text[:200]}")
            if line.type == "error" and where["name"] != "missing"
            else None
        ),
    )
    page.on("pageerror", lambda err: faults.append(f"{where['name']} {size}: script {err}"))
    for name, path in addresses.items():
        where["name"] = name
        page.goto(arguments.url + path, wait_until="load")
        page.wait_for_timeout(700)  # drawings and curves arrive behind the page
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            faults.append(f"{name} {size}: scrolls sideways by {wide} px")
        page.screenshot(path=str(out / f"{name}-{size}-{theme}.png"), full_page=True)
    page.context.close()
    return faults


if __name__ == "__main__":
    sys.exit(main())
