"""Small parts: no module above 300 lines, no function above 40, anywhere that people write code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from synthweb.bootstrap import ROOT

MODULE, FUNCTION = 300, 40
ROOMS = ("synthweb", "apps", "engine", "bench", "tests")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    """Every module that is written by hand: migrations are not."""
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return [path for path in found if path.parent.name != "migrations"]


def too_long(path: Path, text: str) -> Iterator[str]:
    """What is too long in a module, with its place and its lines."""
    n_lines = text.count("\n")
    if n_lines > MODULE:
        yield f"{path}: {n_lines} lines, at most {MODULE}: split by what changes together"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION:
                yield f"{path}:{node.lineno} {node.name}: {length} lines, at most {FUNCTION}"


def test_no_module_and_no_function_is_too_long():
    paths = modules()
    assert len(paths) > 500
    found = [said for path in paths for said in too_long(path.relative_to(ROOT), path.read_text())]
    assert not found, "\n".join(found)


def test_what_is_too_long_is_found():
    """Also a method, and a function inside of one; a long table is only a module's length."""
    inner = "    async def inner():\n" + "        x = 1\n" * FUNCTION
    text = f"class A:\n  def method(self):\n{inner}\n" + "x = 1\n" * MODULE
    found = list(too_long(Path("a.py"), text))
    assert len(found) == 3, found
    assert [said.split(":")[0] for said in found] == ["a.py"] * 3
