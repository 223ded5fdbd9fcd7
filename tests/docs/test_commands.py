"""Every command, make target, flag and config that README.md and docs/ name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A command ends with its line, its code span or the command after it.
MANAGE = re.compile(r"manage\.py ([a-z]\w*)([^\n`;&|#]*)")
MAKE = re.compile(r"(?:^|`|&& |; )make ([a-z]\w*)", re.MULTILINE)
CONFIG = re.compile(r"configs/[\w.-]+\.toml")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_management_commands_and_their_flags_exist(page: Path) -> None:
    known = get_commands()
    for name, rest in MANAGE.findall(page.read_text()):
        assert name in known, f"{page.name} names manage.py {name}"
        app = known[name]
        command = load_command_class(app, name) if isinstance(app, str) else app
        flags = command.create_parser("manage.py", name)._option_string_actions
        for flag in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert flag in flags, f"{page.name} gives manage.py {name} the flag {flag}"


@every_page
def test_make_targets_exist(page: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in MAKE.findall(page.read_text()):
        assert name in targets, f"{page.name} names make {name}"


@every_page
def test_configs_exist(page: Path) -> None:
    for name in CONFIG.findall(page.read_text()):
        assert (ROOT / name).is_file(), f"{page.name} names {name}"


def test_the_patterns_find_the_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert {"up", "loop", "bench"} <= set(MAKE.findall(text))
    assert ("import_config", " configs/crafter_eval_guide.toml --launch") in MANAGE.findall(text)
