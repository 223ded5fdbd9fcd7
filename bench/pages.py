"""Time, size and queries of every page and list, with 1,000,000 stored steps.

`python -m bench.pages [--postgres] [--full] [--write]`: a real instance in a temporary home, on
SQLite, or on a Postgres that it starts itself; what it stores first is in pages_store.py. A browser
session asks for every address in turn; times are the server's, as the client sees them on
loopback. `--full` asks more often, and opens each page in Chromium for its first paint; `--write`
puts the table into docs/performance.md. Bounds: p95 ≤ 150 ms, first paint < 1 s, 300 kB a page.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from playwright.sync_api import sync_playwright

from bench import pages_report
from bench.figures import Figures
from bench.pages_list import BEHIND, LISTS, PAGES, is_fragment
from bench.pages_store import store
from tests.servers import postgres
from tests.servers.instance import Instance

MAX_MS, MAX_PAINT_MS, MAX_KB = 150, 1000, 300
CHROMIUM = "/usr/bin/chromium"
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
VALUES = re.compile(r"'(?:[^']|'')*'|\b\d+\b|IN \([^)]*\)")


class Asked(NamedTuple):
    """What the database was asked for one page."""

    n_queries: int
    n_alike: int  # how often the most frequent statement, whatever its values


def addresses(ids: dict[str, Any]) -> dict[str, str]:
    """Name → address of everything that is measured."""
    return {name: where.format(**ids) for name, where in (PAGES | LISTS).items()}


class Measured(NamedTuple):
    """Of one address: milliseconds a request, those of them on a core, bytes as unpacked."""

    times: list[float]
    cores: list[float]
    sizes: list[int]


def measure(
    instance: Instance, cookie: dict[str, str], where: dict[str, str], n: int
) -> dict[str, Measured]:
    """`n` requests of each address, in turns, so that drift hits all alike."""
    found = {name: Measured([], [], []) for name in where}
    web = instance.children()["web"]
    with httpx.Client(base_url=instance.url, timeout=60) as client:
        for turn in range(n + 1):
            for name, address in where.items():
                client.cookies.update({} if name == "login" else cookie)
                worked, began = core_ms(web), time.perf_counter()
                answer = client.get(address)
                took, worked = (time.perf_counter() - began) * 1000, core_ms(web) - worked
                if answer.status_code != 200:
                    raise RuntimeError(f"{address} answered {answer.status_code}")
                if turn:  # the first is a warm-up
                    found[name].times.append(took)
                    found[name].cores.append(worked)
                    found[name].sizes.append(len(answer.content))
                client.cookies.clear()
    return found


def core_ms(pid: int) -> float:
    """What a process has spent on a core so far, all its threads, to the nanosecond."""
    spent_ns = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):  # it has ended meanwhile
            spent_ns += int(thread.read_text().split()[0])
    return spent_ns / 1e6


def count_queries(cookie: dict[str, str], where: dict[str, str]) -> dict[str, Asked]:
    """The SQL statements of each address, asked in this process, the second time."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(SERVER_NAME="127.0.0.1")
    counts = {}
    for name, address in where.items():
        client.cookies.clear()
        for key, value in cookie.items() if name != "login" else ():
            client.cookies[key] = value
        client.get(address)
        with CaptureQueriesContext(connection) as asked:
            client.get(address)
        alike = Counter(VALUES.sub("?", query["sql"]) for query in asked.captured_queries)
        counts[name] = Asked(len(asked), max(alike.values(), default=0))
    return counts


def paint(url: str, cookie: dict[str, str], where: dict[str, str], n: int = 3) -> dict[str, float]:
    """Milliseconds to the first contentful paint of each page, the median of some openings."""
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context()
        context.add_cookies([{"name": k, "value": v, "url": url} for k, v in cookie.items()])
        page = context.new_page()
        for name, address in where.items():
            if is_fragment(address) or name == "login" or name in BEHIND:
                continue
            times = []
            for _ in range(n):
                page.goto(url + address)
                page.wait_for_function(f"() => {PAINT}", polling=50)
                times.append(page.evaluate(PAINT))
            found[name] = statistics.median(times)
        browser.close()
    return found


def prepare(instance: Instance) -> dict[str, str]:
    """Django on the instance's database; a logged-in session's cookie."""
    os.environ["SYNTHWEB_HOME"] = str(instance.home)
    os.environ["DJANGO_SETTINGS_MODULE"] = "synthweb.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.test import Client

    from apps.accounts.models import User

    client = Client()
    client.force_login(User.objects.get())
    name = settings.SESSION_COOKIE_NAME
    return {name: client.cookies[name].value}


@contextmanager
def database(name: str) -> Iterator[dict[str, str]]:
    """The environment of an instance on this database."""
    if name == "SQLite":
        yield {}
        return
    with postgres.serve() as url:
        os.environ["DATABASE_URL"] = url  # for this process, too
        yield {"DATABASE_URL": url}


def look(instance: Instance, full: bool) -> tuple[int, list[pages_report.Row]]:
    """Fill the instance and measure it: the number of stored steps, and a row an address."""
    cookie = prepare(instance)
    where = addresses(store(instance))
    from django.db import connection
    from django.db.models import Sum

    from apps.traces.models import Episode

    if connection.vendor == "postgresql":
        connection.cursor().execute("ANALYZE")  # as autovacuum does a minute after such a load
    found = measure(instance, cookie, where, 30 if full else 20)
    counts = count_queries(cookie, where)
    paints = paint(instance.url, cookie, where) if full else {}
    rows = [
        pages_report.Row(
            name, statistics.quantiles(found[name].times, n=20)[-1],
            statistics.median(found[name].cores), found[name].sizes[-1], *counts[name],
            paints.get(name),
        )
        for name in where
    ]  # fmt: skip
    return Episode.objects.aggregate(n=Sum("n_steps"))["n"], rows


def main() -> int:
    full, kind = "--full" in sys.argv, "Postgres" if "--postgres" in sys.argv else "SQLite"
    figures = Figures("pages", full=full)
    with tempfile.TemporaryDirectory() as home, database(kind) as environment:
        instance = Instance(Path(home), environment)
        instance.start()
        try:
            n_steps, rows = look(instance, full)
        finally:
            from django.db import connections

            connections.close_all()
            instance.stop()
    tell(figures, kind, n_steps, rows)
    print("\n".join(pages_report.table(rows)))
    if "--write" in sys.argv:
        pages_report.write(kind, n_steps, rows)
    return figures.finish()


def tell(figures: Figures, kind: str, n_steps: int, rows: list[pages_report.Row]) -> None:
    """Each address's time beside its bound; of the rest the worst."""
    figures.add(f"stored steps, {kind}", n_steps, "", at_least=1_000_000)
    for row in rows:
        bound = None if row.name in BEHIND else MAX_MS
        figures.add(f"{row.name}, p95", row.p95_ms, "ms", at_most=bound)
    on_core = (row.core_ms for row in rows if row.name not in BEHIND)
    figures.add("most on a core", max(on_core), "ms", at_most=MAX_MS)
    figures.add("largest", max(row.n_bytes for row in rows) / 1000, "kB", at_most=MAX_KB)
    figures.add("most queries", max(row.n_queries for row in rows), "")
    painted = [row.paint_ms for row in rows if row.paint_ms is not None]
    if painted:
        figures.add("slowest first paint", max(painted), "ms", at_most=MAX_PAINT_MS)


if __name__ == "__main__":
    sys.exit(main())
