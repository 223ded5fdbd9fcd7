"""S8: what models, tools, files and people write is text on every page, never markup or an address.

Everything that a page shows is stored with markup in it (hostile.py); then every page of the
URLconf is drawn and read as a browser reads it. What scripts draw: test_s08_scripts.py.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.checkpoints.models import CheckpointFile
from apps.runs.models import LiveView
from synthweb.middleware import CSP, CSP_LOOSE
from tests.estate import Estate
from tests.security.hostile import EVIL, LINK, SHORT, TOML, hostile_game, make_hostile
from tests.security.test_s01_pages_and_streams import PAGES

pytestmark = pytest.mark.django_db

MARK = "onerror=evil()"
ADDRESSES = {"href", "src", "action", "formaction", "poster", "srcset", "data", "ping", "hx-get",
             "hx-post", "hx-put", "hx-patch", "hx-delete", "data-refresh", "data-curves",
             "data-replay", "data-over", "data-steps"}  # fmt: skip
PLAIN = (
    "text/plain",
    "text/csv",
    "application/json",
    "application/jsonl",
    "application/octet-stream",
    "application/zip",
)
NOT_WRITTEN_BY_OTHERS = {"start", "run-latest", "config-new", "dataset-new", "home-install"}


class Reader(HTMLParser):
    """Reads a page and notes what a browser would run, load or follow."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.inside = ""
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.inside = tag
        self.texts += given.values()
        if tag in ("object", "embed", "iframe", "base", "applet", "foreignobject"):
            self.found.append(f"<{tag}>")
        if tag == "script" and not given.get("src", "").startswith("/static/"):
            self.found.append(f"script {given}")
        if tag == "img" and not given.get("src", "").startswith("/static/"):
            self.found.append(f"img {given}")
        if tag == "meta" and given.get("http-equiv"):
            self.found.append(f"meta {given}")
        self.found += [f"{name}=" for name in given if name.startswith(("on", "hx-on"))]
        self.found += ["style=" for name in given if name == "style"]  # the CSP would refuse it
        self.found += [
            f"{name}={given[name]}"
            for name in ADDRESSES & given.keys()
            if not re.match(r"(?:/(?![/\\])|[?#]|$)", given[name])
        ]

    def handle_data(self, data: str) -> None:
        if self.inside == "script" and data.strip():
            self.found.append(f"inline script {data[:40]!r}")
        self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


@pytest.fixture
def hostile(actor, announce) -> Estate:
    return make_hostile(actor, announce)


@pytest.fixture
def live_id(hostile: Estate) -> int:
    return hostile_game(hostile)


@pytest.fixture
def browser(hostile: Estate, client_of) -> Client:
    return client_of(User.objects.get(username=EVIL))


def pages_of(hostile: Estate, live_id: int) -> list[tuple[str, str]]:
    """Name and address of every page that is read, some with words in their query."""
    visited = [(page.name, page.at(hostile, live_id)) for page in PAGES]
    playing = LiveView.objects.get(pk=live_id).run_id
    more = ("/runs/?q={e}&kind={e}&tag={e}&model={e}", "/traces/?model={e}&label={e}&policy={e}",
            "/configs/new/?set=model={e}&file=crafter_eval_random.toml", "/configs/?q={e}",
            "/configs/new/?file={e}", "/datasets/new/?model={e}&require={e}", "/no/{e}/",
            f"/configs/new/?from={hostile.config_id}", "/runs/?cursor={e}",
            "/checkpoints/?kind={e}", f"/compare/?runs={hostile.run_id},{playing}",
            f"/curves/?runs={hostile.run_id},{playing}", "/search/?q={e}",
            f"/datasets/new/?runs={hostile.run_id}", "/traces/?achievement={e}&ended={e}",
            "/traces/first/?achievement={e}",
            f"/datasets/{hostile.dataset_id}/export/?format={{e}}", "/?{e}={e}")  # fmt: skip
    return [*visited, *(("query", path.format(e=quote(EVIL))) for path in more)]


def test_the_reader_sees_what_a_browser_would_run():
    for text in (EVIL, SHORT, f'<a href="{LINK}">', "<script>1</script>", '<p onclick="x">',
                 '<a href="//evil.example">', "<iframe>", '<a href="data:text/html,x">',
                 '<p style="x">', '<form action="http://x/">', "<img src=//x>"):  # fmt: skip
        assert read(f"<p>{text}</p>").found, text
    assert read('<a href="/runs/?x=1">a</a><script src="/static/x.js"></script>').found == []


def test_every_page_shows_hostile_text_as_text(hostile, live_id, browser):
    shown = set()
    for name, where in pages_of(hostile, live_id):
        for headers in ({}, {"HX-Request": "true"}):
            answer = browser.get(where, headers=headers)
            assert answer.status_code != 500, where
            body = b"".join(answer) if answer.streaming else answer.content
            kind = answer.headers.get("Content-Type", "")
            if not kind.startswith("text/html"):
                assert kind.startswith(PLAIN) or not body, (where, kind)
                assert answer["X-Content-Type-Options"] == "nosniff"
                continue
            page = read(body.decode())
            assert page.found == [], where
            if MARK in "".join(page.texts):
                shown.add(name)
    silent = {"queue-", "login", "logout", "run-groups"}  # groups hold numbers only
    expected = {
        page.name for page in PAGES if browser.get(page.at(hostile, live_id)).status_code == 200
    }
    answers_json = {"run-points", "live-steps", "trace-steps", "config-raw", "dataset-export",
                    "runs-export", "traces-export", "audit-export", "curve-lines",
                    "checkpoint-archive", "checkpoint-file"}  # fmt: skip
    quiet = expected - shown - silent - answers_json - NOT_WRITTEN_BY_OTHERS
    assert quiet == set(), "these pages showed none of it: nothing is proven for them"


def test_every_page_forbids_inline_scripts(hostile, live_id, browser):
    for _, where in [
        *pages_of(hostile, live_id),
        ("", "/login/"),
        ("", "/metrics"),
        ("", "/healthz"),
    ]:
        for client in (browser, Client()):
            policy = client.get(where)["Content-Security-Policy"]
            assert policy == CSP, where
    for where in ("/api/v1/runs", "/api/v1/openapi.json"):
        assert browser.get(where)["Content-Security-Policy"] == CSP
    for where in ("/api/v1/docs", "/admin/login/"):
        assert browser.get(where)["Content-Security-Policy"] == CSP_LOOSE
    assert "unsafe" not in CSP
    assert "unsafe-eval" not in CSP_LOOSE


def test_what_a_form_sent_comes_back_as_text(hostile, browser):
    form = {"text": f"{TOML}\n{EVIL}", "name": EVIL, "side": "toml", "do": "form", "tags": EVIL,
            "notes": EVIL, "what": EVIL, "set:model": EVIL, "base_url": EVIL, "kind": EVIL,
            "requested": EVIL, "resolved": EVIL, "next": LINK, "sets": f"{EVIL}={EVIL}",
            "scopes": EVIL, "role": EVIL, "old": EVIL, "new": EVIL, "again": EVIL, "project": EVIL,
            "username": EVIL, "password": EVIL}  # fmt: skip
    addresses = ("/configs/new/", "/configs/_check/", "/settings/keys/", "/settings/providers/",
                 "/settings/aliases/", "/settings/users/", "/settings/password/",
                 "/settings/projects/", "/settings/projects/switch/", "/start/",
                 f"/runs/{hostile.run_id}/notes/",
                 f"/runs/{hostile.run_id}/cancel/", f"/configs/{hostile.config_id}/launch/",
                 f"/traces/{hostile.trace_id}/labels/", "/datasets/new/", "/login/",
                 f"/settings/providers/{hostile.provider_id}/",
                 f"/settings/providers/{hostile.provider_id}/test/")  # fmt: skip
    for where in addresses:
        for headers in ({}, {"HX-Request": "true"}):
            answer = browser.post(where, form, headers=headers)
            assert answer.status_code in (200, 204, 302, 403, 404, 409, 422), where
            assert read(answer.content.decode()).found == [], where
            for header in ("Location", "HX-Redirect"):
                assert re.match(r"/(?![/\\])|$", answer.headers.get(header, "")), where
    for section in ("", "keys/", "providers/", "aliases/", "users/", "projects/", "audit/"):
        assert read(browser.get(f"/settings/{section}").content.decode()).found == []


def test_a_hostile_name_of_a_file_stays_out_of_headers(hostile, browser):
    where = f"/datasets/{hostile.dataset_id}/export/?format=openai"
    answer = browser.get(where)
    assert answer["Content-Disposition"] == (
        f'attachment; filename="dataset-{hostile.dataset_id}-openai.jsonl"'
    )
    for address in (f"/checkpoints/{hostile.uid}/files/config.json",
                    f"/api/v1/checkpoints/{hostile.uid}/files/config.json"):  # fmt: skip
        file = browser.get(address)
        assert file.status_code == 200, address
        assert file["Content-Disposition"].startswith("attachment")
        assert file["Content-Type"] == "application/octet-stream"
        assert "evil" not in str(dict(file.headers))


def test_a_quote_in_the_name_of_a_file_ends_no_header(hostile, browser):
    name = 'a";filename="evil.html'
    CheckpointFile.objects.filter(path="config.json").update(path=name)
    answer = browser.get(f"/api/v1/checkpoints/{hostile.uid}/files/{quote(name, safe='')}")
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == r'attachment; filename="a\";filename=\"evil.html"'


def test_the_api_never_answers_as_a_page(hostile, live_id, browser):
    estate = f"/api/v1/runs/{hostile.run_id}"
    for where in (estate, f"{estate}/events", f"{estate}/metrics", "/api/v1/runs?cursor=<img>",
                  f"/api/v1/traces/{hostile.trace_id}", "/api/v1/configs", "/api/v1/nothing<img>",
                  f"/api/v1/datasets/{hostile.dataset_id}", "/api/v1/checkpoints"):  # fmt: skip
        answer = browser.get(where)
        if not answer["Content-Type"].startswith("application/json"):
            assert answer.status_code == 404
            assert read(answer.content.decode()).found == [], where
        assert answer["X-Content-Type-Options"] == "nosniff"
