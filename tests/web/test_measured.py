"""bench/pages.py measures every page that the product has."""

from __future__ import annotations

from collections import defaultdict

from django.urls import resolve

from apps.web.urls import urlpatterns
from bench.pages_list import NOT_MEASURED, PAGES

WORDS = {"checkpoint": "ck_000000000000", "eight": "1,2", "model": "m"}


def test_every_page_is_measured() -> None:
    ids: defaultdict[str, object] = defaultdict(lambda: 1, WORDS)
    paths = (where.format_map(ids).partition("?")[0] for where in PAGES.values())
    measured = {resolve(path).url_name for path in paths}
    names = {str(pattern.name) for pattern in urlpatterns}
    assert names - measured - NOT_MEASURED == set(), "extend PAGES of bench/pages_list.py"
    assert NOT_MEASURED - names == set(), "these pages are gone"
    assert measured & NOT_MEASURED == set()
