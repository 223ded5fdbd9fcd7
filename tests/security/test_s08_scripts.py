"""S8: scripts make nodes of data, templates escape it, and nothing can be told to do otherwise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from synthweb.bootstrap import ROOT

SCRIPTS = sorted(p for p in (ROOT / "static" / "js").rglob("*.js"))
MARKUP = re.compile(
    r"\.(?:inner|outer)HTML\s*\+?=|insertAdjacentHTML|document\.write|DOMParser|createContextual"
    r"|srcdoc|\beval\s*\(|new\s+Function|set(?:Timeout|Interval)\s*\(\s*[\"'`]|setHTML"
    r"|javascript:|setAttribute\(\s*[\"'`](?:on|src|href|style)"
)
LEAVES = re.compile(r"(?<!this)\.(?:href|src|action|location)\s*=(?!=)\s*(.+)")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_make_nodes_of_data_and_never_markup(script: Path):
    text = script.read_text()
    assert MARKUP.findall(text) == []
    for target in LEAVES.findall(text):
        called = re.match(r"(\w+)\(", target)
        made = re.findall(rf"function {called[1]}\(.*?\n}}", text, re.S) if called else []
        ends = [end for body in made for end in re.findall(r"return (.+)", body)] or [target]
        ours = all(re.match(r"""["'`]/[^/\\$]""", end) for end in ends)
        assert ours, f"{script.name}: {target}: an address begins with a path of ours"


def test_templates_never_switch_escaping_off():
    off = re.compile(r"\|\s*safe\b|safeseq|autoescape\s+off|<script(?![^>]*\bsrc=)|\bon\w+=[\"']")
    for template in (ROOT / "templates").rglob("*.html"):
        assert off.findall(template.read_text()) == [], template
    for module in [*(ROOT / "apps").rglob("*.py"), *(ROOT / "synthweb").rglob("*.py")]:
        assert "mark_safe" not in module.read_text(), module


def test_values_in_attributes_are_always_quoted():
    """Escaping saves an attribute only inside quotes."""
    bare = re.compile(r"=\s*\{\{")
    for template in (ROOT / "templates").rglob("*.html"):
        inside = re.findall(r"<[a-z][^<>]*>", template.read_text())
        assert [tag for tag in inside if bare.search(re.sub(r'"[^"]*"', '""', tag))] == [], template


def test_htmx_runs_no_code_of_fragments():
    base = (ROOT / "templates" / "base.html").read_text()
    config: dict[str, Any] = json.loads(
        re.findall(r"name=\"htmx-config\" content='(.+?)'", base)[0]
    )
    assert config["allowEval"] is False
    assert config["allowScriptTags"] is False
    assert config.get("selfRequestsOnly", True) is True
