"""Positions are found for every key that tomllib reads, and only for those."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import dump_toml
from engine.config.guards import walk
from engine.config.positions import find_positions

TRICKY = """\
# [not.a.header]
a = "x = 1 # no comment" # a comment with ] and }
'quoted key' = 1
"dotted.in.quotes" . b = [1, [2, {c = 'd'}], # inside
  3]
when = [1979-05-27 07:32:00, 1979-05-27T07:32:00Z]
long = \"\"\"
[fake]
x = 1 \\" \"\"\"\"
lit = '''
y = 'a''''
[t . "u v"]
e = {f.g = 1, h = {}, i = "}"}
[[list]]
j = 1
[[list]]
j = 2
[list.below]
k = 3
[[list.more]]
l = -1.5e3
"""


def paths_of(data: dict[str, Any]) -> set[tuple[str | int, ...]]:
    return {path for path, _ in walk(data)}


def test_a_tricky_text_gives_every_key_its_line() -> None:
    found = find_positions(TRICKY)
    assert set(found) == paths_of(tomllib.loads(TRICKY))
    assert found[("a",)] == (2, 1)
    assert found[("dotted.in.quotes", "b", 1, 1, "c")] == (4, 35)
    assert found[("long",)] == (7, 1)
    assert found[("t", "u v", "e", "f", "g")] == (13, 8)
    assert found[("list", 1, "j")] == (17, 1)
    assert found[("list", 1, "below", "k")] == (19, 1)
    assert found[("list", 1, "more", 0, "l")] == (21, 1)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[3] / "configs").glob("*.toml")))
def test_every_key_of_a_shipped_config_stands_where_it_is_said(path: Path) -> None:
    text = path.read_text()
    lines = text.split("\n")
    found = find_positions(text)
    assert set(found) == paths_of(tomllib.loads(text))
    for key, (line, column) in found.items():
        if isinstance(key[-1], str):
            assert lines[line - 1][column - 1 :].startswith(key[-1])


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.text("ab.\"'\n\\ ü-", max_size=4)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS | st.text("abc.# =[ü", max_size=99), VALUES, max_size=5))
def test_any_config_survives_writing_and_every_key_is_found(data: dict[str, Any]) -> None:
    text = dump_toml(data)
    assert tomllib.loads(text) == data
    assert paths_of(data) <= set(find_positions(text))
