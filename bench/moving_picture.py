"""The moving picture of the README: `python -m bench.moving_picture [--out docs/images/live.gif]`.

Lets the newest model of a running instance (address and password from `credentials.env` in
SYNTHWEB_HOME) play and records the live wall meanwhile. Nothing in it is drawn by hand.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from bench.screenshots import read_credentials

N_FRAMES, FRAME_MS = 20, 300
SIZE, WIDTH = {"width": 1240, "height": 620}, 760
CONFIG = """
type = "rollout"
name = "a model plays"
model = "{model}"
observation = "compact"
max_tokens = 48
seeds = "700000..700047"
max_steps = 400
max_turns = 400
concurrency = 12
"""


def main() -> int:
    home = Path(os.environ.get("SYNTHWEB_HOME", "var"))
    known = read_credentials(home / "credentials.env")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/live.gif"))
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE, base_url=known["SYNTHWEB_URL"])
        frames = _record(page, known)
        browser.close()
    first, *rest = frames
    first.save(arguments.out, save_all=True, append_images=rest, duration=FRAME_MS, loop=0)
    print(f"{arguments.out}: {len(frames)} frames, {arguments.out.stat().st_size / 1024:.0f} KiB")
    return 0


def _record(page: Page, known: dict[str, str]) -> list[Image.Image]:
    page.goto("/login/")
    page.fill("#id_username", known["SYNTHWEB_USER"])
    page.fill("#id_password", known["SYNTHWEB_PASSWORD"])
    page.click("button.primary")
    page.goto("/live/")
    headers = {"X-API-Key": known["SYNTH_API_KEY"]}
    models = page.request.get("/api/v1/checkpoints", headers=headers).json()["items"]
    body = {"toml": CONFIG.format(model=models[0]["model_id"]), "launch": True}
    answer = page.request.post("/api/v1/runs", data=body, headers=headers)
    assert answer.ok, answer.text()
    page.locator("[data-game]").first.wait_for(timeout=120_000)
    frames = []
    for _ in range(N_FRAMES):
        page.wait_for_timeout(FRAME_MS)
        frames.append(_frame(page.screenshot()))
    return frames


def _frame(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    height = round(picture.height * WIDTH / picture.width)
    small = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
    return small.quantize(colors=64, dither=Image.Dither.NONE)


if __name__ == "__main__":
    sys.exit(main())
