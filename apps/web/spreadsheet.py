"""Lists as files for spreadsheets and programs, streamed row by row.

A spreadsheet runs a cell that begins like a formula (S10): such texts get an apostrophe in front.
Numbers are numbers and stay as they are. JSON needs no such care.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]
# Full-width forms too: a spreadsheet reads them as the plain ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    """A header of the first row's keys, then a line a row."""
    writer = csv.writer(_Echo())
    for number, row in enumerate(rows):
        if number == 0:
            yield writer.writerow(row.keys())
        yield writer.writerow([safe_cell(value) for value in row.values()])


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """One array, an object a line."""
    before = "[\n"
    for row in rows:
        yield before + json.dumps(row, default=str)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


class _Echo:
    """A file that gives back what is written into it."""

    def write(self, text: str) -> str:
        return text
