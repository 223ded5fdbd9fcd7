"""What the browser gets: pinned vendor files, a small page, pictures that fit the game's layout."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from PIL import Image

from apps.web.templatetags.show import ICONS
from engine.tasks.crafter.rules import ACHIEVEMENTS
from engine.tasks.crafter.views import MATERIALS, SIZE_BYTES, THINGS

STATIC = Path(__file__).parents[2] / "static"
TEMPLATES = STATIC.parent / "templates"
BUDGET = 300_000


def test_vendored_files_are_the_ones_that_the_table_names() -> None:
    rows = re.findall(
        r"\| (\S+) \| .* \| ([0-9a-f]{64}) \|", (STATIC / "vendor/README.md").read_text()
    )
    assert len(rows) == 4
    for name, sha256 in rows:
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == sha256, name


def test_all_scripts_and_styles_fit_the_page_budget() -> None:
    files = [*STATIC.rglob("*.js"), *STATIC.rglob("*.css")]
    assert sum(path.stat().st_size for path in files) <= BUDGET


def test_the_texture_sheet_has_a_column_for_every_nibble() -> None:
    sheet = Image.open(STATIC / "crafter/tiles.png").convert("RGBA")
    assert sheet.size == (15 * 16, 2 * 16)
    assert len(MATERIALS) == 13
    assert len(THINGS) == 15
    for row, names in enumerate((MATERIALS, THINGS)):
        for column, name in enumerate(names):
            tile = sheet.crop((column * 16, row * 16, column * 16 + 16, row * 16 + 16))
            assert bool(tile.getbbox()) == bool(name or row == 0), (row, name)


def test_the_script_reads_the_layout_that_the_engine_writes() -> None:
    script = (STATIC / "js/sprites.js").read_text()
    assert f"VIEW_BYTES = {SIZE_BYTES};" in script


def test_every_achievement_has_a_texture_in_page_and_script() -> None:
    css = (STATIC / "css/icons.css").read_text()
    script = (STATIC / "js/icons.js").read_text()
    assert set(ICONS) == set(ACHIEVEMENTS)
    for name, texture in ICONS.items():
        assert f".t-{texture} {{" in css
        assert f'{name}: "{texture}"' in script


def test_no_template_holds_script_or_style_of_its_own() -> None:
    inline = re.compile(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)", re.I)
    for path in TEMPLATES.rglob("*.html"):
        assert not inline.search(path.read_text()), path


def test_no_template_marks_text_as_safe() -> None:
    for path in TEMPLATES.rglob("*.html"):
        assert "|safe" not in path.read_text(), path
        assert "autoescape off" not in path.read_text(), path
