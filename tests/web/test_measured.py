"""bench/pages.py measures every page that the product has."""

from __future__ import annotations

from collections import defaultdict

from django.urls import resolve

from apps.web.urls import urlpatterns
from bench.pages_list import LISTS, NOT_MEASURED, PAGES
from bench.pages_report import PAGE

WORDS = {"checkpoint": "ck_000000000000", "eight": "1,2", "model": "m"}


def test_the_page_of_figures_holds_every_address_on_both_databases() -> None:
    for database in ("SQLite", "Postgres"):
        part = PAGE.read_text().partition(f"bench.pages {database} begins")[2]
        told = part.partition(f"bench.pages {database} ends")[0]
        missing = [name for name in (*PAGES, *LISTS) if f"| {name} |" not in told]
        assert missing == [], "run bench.pages with --full --write"


def test_every_page_is_measured() -> None:
    ids: defaultdict[str, object] = defaultdict(lambda: 1, WORDS)
    paths = (where.format_map(ids).partition("?")[0] for where in PAGES.values())
    measured = {resolve(path).url_name for path in paths}
    names = {str(pattern.name) for pattern in urlpatterns}
    assert names - measured - NOT_MEASURED == set(), "extend PAGES of bench/pages_list.py"
    assert NOT_MEASURED - names == set(), "these pages are gone"
    assert measured & NOT_MEASURED == set()
