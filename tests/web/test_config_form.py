"""The form and the TOML are one text: edits change one line and keep everything else."""

from __future__ import annotations

import tomllib

import pytest

from apps.web.config_form import Field, changed_fields, form_sections, put_value
from engine.config import load_toml

TOML = """# the floor
type = "eval"
model = "random"   # who plays
provider = "builtin"
seeds = "1..5"

[limits]
seconds = 30.0
"""


def _field(key: str) -> Field:
    sections = form_sections("eval", tomllib.loads(TOML))
    return next(field for section in sections for field in section.fields if field.key == key)


def test_the_form_shows_what_the_toml_says() -> None:
    assert _field("model").value == "random"
    assert _field("limits.seconds").value == "30.0"
    assert _field("max_turns").value == ""


def test_every_plain_key_of_an_eval_has_a_field_with_help() -> None:
    fields = [field for section in form_sections("eval", {}) for field in section.fields]
    assert {"model", "seeds", "max_turns", "temperature"} <= {field.key for field in fields}
    assert all(field.help for field in fields)


def test_a_changed_field_changes_its_line_and_keeps_the_comment() -> None:
    text = put_value(TOML, _field("model"), "guide")
    assert 'model = "guide"   # who plays' in text
    assert text.replace("guide", "random") == TOML


def test_an_emptied_field_gives_the_default_back() -> None:
    assert "seconds" not in put_value(TOML, _field("limits.seconds"), "")


@pytest.mark.parametrize(("key", "value"), [("max_turns", "7"), ("limits.tokens", "900")])
def test_a_new_value_lands_in_its_table(key: str, value: str) -> None:
    data = tomllib.loads(put_value(TOML, _field(key), value))
    for part in key.split("."):
        data = data[part]
    assert data == int(value)


def test_a_table_that_is_not_there_is_added() -> None:
    without = TOML.partition("[limits]")[0]
    assert tomllib.loads(put_value(without, _field("limits.tokens"), "5"))["limits"] == {
        "tokens": 5
    }


def test_a_bad_number_stays_visible_as_a_mistake_instead_of_vanishing() -> None:
    text = put_value(TOML, _field("max_turns"), "many")
    assert tomllib.loads(text)["max_turns"] == "many"
    with pytest.raises(Exception, match="max_turns"):
        load_toml(text, name="x.toml")


def test_quotes_and_newlines_in_a_value_cannot_break_out_of_it() -> None:
    evil = 'x"\n[limits]\nseconds = 1'
    assert tomllib.loads(put_value(TOML, _field("model"), evil))["model"] == evil


def test_only_fields_that_differ_count_as_changed() -> None:
    sections = form_sections("eval", tomllib.loads(TOML))
    sent = {"set:model": "random", "set:max_turns": " 9 ", "other": "x"}
    assert [(field.key, value) for field, value in changed_fields(sections, sent)] == [
        ("max_turns", "9")
    ]
