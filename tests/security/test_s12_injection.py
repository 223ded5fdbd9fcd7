"""S12: no filter, order, cursor, number or body reaches SQL, another project, or a 500.

The walks start from the OpenAPI and the URLconf: a new parameter is tried at once. `NASTY` goes
into every parameter by itself, hypothesis mixes them and invents more; the slow tests try all.
"""

from __future__ import annotations

import inspect
import io
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from apps.checkpoints.models import CheckpointFile
from apps.datasets.services import upload_dataset
from apps.providers.models import Provider
from apps.runs.models import Run
from apps.web.urls import urlpatterns
from synthweb.bootstrap import ROOT
from tests.estate import Estate, make_estate
from tests.games import make_run
from tests.security.nasty import (
    ANSWERS,
    HEAVY,
    LIGHT,
    NASTY,
    OPERATIONS,
    RAW,
    READS,
    WRITES,
    ask,
    check,
    cursor,
    shapes,
    values,
)
from tests.security.test_s01_pages_and_streams import PAGES, Page

pytestmark = pytest.mark.django_db
# What pages read from their addresses; test_every_word_that_a_page_reads_is_tried keeps it whole.
WORDS = (
    "kind", "state", "model", "tag", "q", "cursor", "run", "runs", "seed", "min_unique",
    "max_unique", "min_return", "max_return", "policy", "achievement", "missing", "ended", "label",
    "order", "iteration", "failed_calls", "after", "name", "step", "file", "from", "set", "format",
    "require",
    "exclude", "limit", "turns_before_unlock", "keep_failed", "dedupe",
    "split", "validation_share", "max_per_achievement", "next", "parent", "days", "requested",
    "resolved", "base_url", "max_concurrent", "what", "text", "side", "do", "notes", "tags", "sets",
    "scopes", "key", "remove", "sort", "task", "n", "first", "last", "x",
    "preset", "enabled", "drop_key", "prices",
    "username", "role", "project", "priority", "traces", "episodes", "page", "query", "delete",
    "old", "new", "again", "source", "revision", "user", "verb", "target", "url",
    "repeat", "version",
)  # fmt: skip


FORMS = (
    "start", "run-notes", "trace-labels", "dataset-new", "config-new", "config-check",
    "config-launch", "settings-keys", "settings-providers", "settings-aliases", "settings-users",
    "settings-projects",
)  # fmt: skip


@pytest.fixture
def estate(actor, settings) -> Estate:
    settings.ALLOW_HOSTS = []
    made = make_estate(actor)
    line = io.BytesIO(b'{"messages": [{"role": "assistant", "content": "x"}]}')
    data = upload_dataset(project=actor.project, user=actor.user, name="real", file=line)
    CheckpointFile.objects.update(storage_key=data.storage_key)
    Provider.objects.update(base_url="http://127.0.0.1:9/v1", origin="http://127.0.0.1:9")
    return made._replace(dataset_id=data.pk)


@pytest.fixture
def program(alice, key_of, estate) -> Client:
    return Client(headers={"Authorization": f"Bearer {key_of(alice)}"})


@pytest.fixture
def browser(alice, client_of) -> Client:
    return client_of(alice)


@pytest.mark.slow
def test_every_parameter_takes_every_nasty_value(program, estate):
    tries = [
        f"{operation.at(estate)}?{query}"
        for operation in READS
        for name in operation.query
        for query in (*(urlencode({name: value}) for value in NASTY), *(f"{name}={r}" for r in RAW))
    ]
    assert len(tries) > 2000
    check(ask(program, "GET", where) for where in tries)


def test_every_number_in_an_address_may_be_any_number(program, browser, estate):
    numbers = ("0", "9" * 18, "9" * 19, "9" * 4000, "-1", "1.5", "%00", "'", "\u0663")
    calls = [
        (program, operation.method, operation.at(estate, **{name: value}))
        for operation in OPERATIONS
        for name in operation.in_path
        for value in numbers
    ] + [
        (browser, method, address(page, estate, **{name: value}))
        for page in PAGES
        for name in page.parameters
        for value in numbers
        for method in ("GET", "POST")
    ]
    check(ask(*call) for call in calls)


def address(page: Page, estate: Estate, **changed: str) -> str:
    known = {**estate._asdict(), "index": 0, "live_id": 1, "name": "config.json", "verb": page.verb}
    return page.path.format(**{**known, **changed})


@pytest.mark.slow
def test_every_page_takes_every_nasty_value(browser, estate):
    odd = [*(urlencode(dict.fromkeys(WORDS, value)) for value in NASTY),
           *("&".join(f"{word}={raw}" for word in WORDS) for raw in RAW)]  # fmt: skip
    pages = [page for page in PAGES if page.name in reading_pages()]
    assert len(pages) > 10
    check(ask(browser, "GET", f"{address(p, estate)}?{q}") for p in pages for q in odd)


def reading_pages() -> set[str]:
    """Names of the pages whose view reads words of its address."""
    found = set()
    for pattern in urlpatterns:
        module = Path(inspect.unwrap(pattern.callback).__code__.co_filename)
        if "GET" in inspect.getsource(inspect.unwrap(pattern.callback)) or module.name in (
            "configs.py", "datasets.py", "runs.py",
        ):  # fmt: skip
            found.add(str(pattern.name))
    return found


def test_every_word_that_a_page_reads_is_tried():
    reads = re.compile(
        r"""(?:_of\(\w+(?:\.GET|\.POST)?|(?:GET|POST|data)\.get(?:list)?)\(?,? ?"(\w+)\""""
    )
    found = {word for view in (ROOT / "apps" / "web" / "views").glob("*.py")
             for word in reads.findall(view.read_text())}  # fmt: skip
    assert len(found) > 20
    assert found <= {*WORDS, "key"}


@pytest.mark.slow
def test_every_form_takes_every_nasty_value(browser, estate):
    posts = [page for page in PAGES if page.name in FORMS]
    assert len(posts) == len(FORMS)
    for value in NASTY:
        form = dict.fromkeys((*WORDS, "set:model", "set:seeds"), value)
        for page in posts:
            answer = browser.post(address(page, estate), form)
            assert answer.status_code in ANSWERS, (page, value)


@pytest.mark.slow
def test_every_field_takes_every_nasty_value(program, estate):
    more = (None, 0, -1, 2**70, 1.5, True, [], {}, [None], [[]], ["\0"], ["\ud800"], "\ud800",
            {"\0": 1}, {"a": {"b": []}}, {"\ud800": "\ud800"}, ["x"] * 200, [""], float("nan"),
            {"x": float("inf")})  # fmt: skip
    calls = []
    for operation in WRITES:
        where = operation.at(estate)
        whole = dict.fromkeys(operation.body.get("required", ()), "x")
        bodies = [{**whole, name: value} for name in operation.body["properties"]
                  for value in (*NASTY[::2], *more)]  # fmt: skip
        calls += [(operation.method, where, b) for b in (*bodies, None, [], "x", 1, {}, [[[]]])]
    check(ask(program, *call) for call in calls)


def test_a_body_that_is_no_json_is_refused_in_words(program, estate):
    bodies = (b"{", b"\xff\xfe", b"[" * 5000, b'{"a": NaN}', b'{"a": -Infinity}', b"\0",
              b'"\\ud800"', b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b"1" * 5000)  # fmt: skip
    for operation in WRITES:
        for raw in bodies:
            answer = program.generic(
                operation.method, operation.at(estate), raw, content_type="application/json"
            )
            assert answer.status_code in (400, 422), (operation, raw[:20])
            assert answer.json()["error"]["message"]


@pytest.mark.parametrize("address", ["/api/v1/traces", "/traces/"])
@pytest.mark.parametrize(
    "order", ["run__project__slug", "-pk", "?", "id;--", "random()", "episode_return,id", "-"]
)
def test_lists_are_sorted_by_listed_words_only(address, order, program, browser, estate):
    client = program if address.startswith("/api") else browser
    answer = client.get(address, {"order": order})
    assert answer.status_code == 422


@pytest.mark.parametrize("word", ["' OR 1=1 --", "%", "_", "estate' --", "\\", "estate_secret"])
def test_a_filter_compares_and_never_matches_by_pattern(word, program, estate):
    for where, name in (("/api/v1/runs", "q"), ("/api/v1/runs", "model"), ("/api/v1/runs", "tag"),
                        ("/api/v1/traces", "model"), ("/api/v1/traces", "label"),
                        ("/api/v1/datasets", "name"), ("/api/v1/configs", "kind")):  # fmt: skip
        answer = program.get(where, {name: word})
        assert answer.status_code in (200, 422), where
        assert answer.status_code == 422 or answer.json()["items"] == [], (where, name)


def test_a_made_up_cursor_shows_no_row_of_another_project(program, estate, mallory):
    """A cursor is a position, not a right: the project narrows each page, whatever it says."""
    hidden = [make_run(mallory.projects.get(), name="hidden") for _ in range(3)]
    mine = set(Run.objects.exclude(project=mallory.projects.get()).values_list("pk", flat=True))
    for position in (hidden[-1].pk + 1, hidden[1].pk, 2**62, 1, 0):
        answer = program.get("/api/v1/runs", {"cursor": cursor(position)})
        assert answer.status_code == 200
        assert {run["id"] for run in answer.json()["items"]} <= mine


def test_a_cursor_of_another_list_is_refused(program, estate):
    for where in ("/api/v1/runs", "/api/v1/configs", "/api/v1/datasets", "/api/v1/checkpoints",
                  "/api/v1/pipelines", "/api/v1/traces"):  # fmt: skip
        for bad in (
            cursor("x"),
            cursor(1, 2, 3),
            cursor(),
            cursor(2**70),
            cursor(True),
            "e30",
            "!",
        ):
            answer = program.get(where, {"cursor": bad})
            assert answer.status_code == 422, (where, bad)
            assert answer.json()["error"]["code"] == "bad_cursor"


def read_anything(program: Client, estate: Estate, data: st.DataObject) -> str:
    operation = data.draw(st.sampled_from([o for o in READS if o.query]))
    asked = {name: data.draw(values) for name in operation.query if data.draw(st.booleans())}
    return ask(program, "GET", f"{operation.at(estate)}?{urlencode(asked)}")


def write_anything(program: Client, estate: Estate, data: st.DataObject) -> str:
    operation = data.draw(st.sampled_from(WRITES))
    names = operation.body["properties"]
    body = {name: data.draw(shapes) for name in names if data.draw(st.booleans())}
    return ask(program, operation.method, operation.at(estate), body)


@LIGHT
@given(data=st.data())
def test_no_mixture_of_parameters_is_too_odd(program, estate, data):
    assert read_anything(program, estate, data) == ""


@LIGHT
@given(data=st.data())
def test_no_mixture_of_fields_is_too_odd(program, estate, data):
    assert write_anything(program, estate, data) == ""


@pytest.mark.slow
@HEAVY
@given(data=st.data())
def test_no_mixture_is_too_odd_for_long(program, estate, data):
    reads = data.draw(st.booleans())
    assert (read_anything if reads else write_anything)(program, estate, data) == ""
