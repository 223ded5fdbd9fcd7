"""Keyset cursors: whole lists, page by page, and nothing else than our own cursors."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.runs.paging import decode_cursor, encode_cursor
from apps.runs.queries import list_runs


def test_a_cursor_says_what_went_in():
    assert decode_cursor(encode_cursor(3, 1.5, "ä"), int, float, str) == (3, 1.5, "ä")
    assert decode_cursor(None, int) is None


@pytest.mark.parametrize(
    "cursor",
    ["x", "%%%", "é", encode_cursor("3"), encode_cursor(2**70), encode_cursor(1, 2), "W" * 5000],
)
def test_a_foreign_cursor_is_refused(cursor):
    with pytest.raises(Refused) as refusal:
        decode_cursor(cursor, int)
    assert refusal.value.status == 422


def test_pages_hold_every_run_once(make_run, project):
    made = [make_run().pk for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = list_runs(project=project, cursor=cursor, limit=2)
        seen += [row.id for row in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_a_limit_out_of_range_is_refused(project, limit):
    with pytest.raises(Refused):
        list_runs(project=project, limit=limit)
