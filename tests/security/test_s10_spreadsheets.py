"""S10: no cell of an exported list is a formula to a spreadsheet."""

from __future__ import annotations

import csv
import io
import json

import pytest

from apps.runs.models import Run
from apps.web.spreadsheet import csv_lines, json_lines, safe_cell
from tests.games import make_run, make_trace, store_games

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1", "=cmd|' /C calc'!A0")


@pytest.mark.parametrize("text", FORMULAS)
def test_s10_a_text_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell([text, "x"]).startswith("'")


def test_s10_numbers_and_plain_words_stay_as_they_are() -> None:
    assert [safe_cell(value) for value in (-1.5, 3, None, True, "a-b", "")] == [
        -1.5, 3, None, True, "a-b", "",
    ]  # fmt: skip


def test_s10_lists_without_rows_are_valid_files() -> None:
    assert "".join(csv_lines([])) == ""
    assert json.loads("".join(json_lines([]))) == []


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["traces", "runs"])
def test_s10_exported_lists_hold_no_formula(page, project, bob, client_of) -> None:
    run = make_run(project, name="=HYPERLINK(1)", model="@model")
    store_games(run, [make_trace(-3, model="+model"), make_trace(4, model="-model")])
    client = client_of(bob)
    text = b"".join(client.get(f"/{page}/export/?format=csv").streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    cells = [cell for row in rows for cell in row.values() if cell]
    assert len(rows) == (2 if page == "traces" else Run.objects.count())
    words = [cell for cell in cells if not cell.lstrip("-").replace(".", "").isdigit()]
    assert not [cell for cell in words if cell[0] in "=+-@"]
    assert [cell for cell in words if cell.startswith(("'=", "'+", "'-", "'@"))]
    rows = json.loads(b"".join(client.get(f"/{page}/export/?format=json").streaming_content))
    assert {"=HYPERLINK(1)", "@model", "+model", "-model"} & {
        row.get("name", row["model"]) for row in rows
    }


@pytest.mark.django_db
def test_s10_an_export_has_the_filters_of_its_page(project, bob, client_of) -> None:
    run = make_run(project)
    store_games(run, [make_trace(seed) for seed in range(3)])
    client = client_of(bob)
    answer = client.get("/traces/export/?format=json&seed=2&order=id")
    (row,) = json.loads(b"".join(answer.streaming_content))
    assert (row["seed"], row["achievements"], row["run"]) == (2, ["collect_wood"], run.pk)
    assert answer["Content-Disposition"] == 'attachment; filename="traces.json"'
    assert client.get("/traces/export/?format=xls").status_code == 422
