"""S8: what models, tools, files and people write is text on every page, never markup or an address.

Everything that a page shows is stored here with markup in it; then every page of the URLconf is
drawn and read as a browser reads it. What scripts draw is covered by what scripts may not use.
"""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils.timezone import now

from apps.accounts.models import ApiKey, Project, User
from apps.accounts.queries import Actor, actor_of_session
from apps.checkpoints.models import Checkpoint
from apps.checkpoints.services import want_model
from apps.datasets.services import upload_dataset
from apps.launch import services as launch
from apps.launch.models import Pipeline, Stage
from apps.providers.models import ModelAlias, Provider
from apps.runs.models import LiveView, MetricPoint, MetricSeries, Run, WorkerNode
from apps.runs.services import add_event, set_notes, set_tags
from apps.traces.models import Episode
from apps.traces.services import set_label
from synthweb.bootstrap import ROOT
from synthweb.middleware import CSP, CSP_LOOSE
from tests.estate import Estate
from tests.games import make_run, make_trace, store_games
from tests.security.test_s01_pages_and_streams import PAGES

pytestmark = pytest.mark.django_db

EVIL = """</script></title>"'><script>evil()</script><img src=x onerror=evil()>"""
SHORT = """"'><img src=x onerror=evil()>"""  # where a column is narrow
LINK = "javascript:evil()//"
MARK = "onerror=evil()"
ADDRESSES = {"href", "src", "action", "formaction", "poster", "srcset", "data", "ping", "hx-get",
             "hx-post", "hx-put", "hx-patch", "hx-delete", "data-refresh", "data-curves",
             "data-replay", "data-over", "data-steps"}  # fmt: skip
PLAIN = ("text/plain", "application/json", "application/jsonl", "application/octet-stream")
TOML = f"""type = "eval"  # {EVIL}
model = "random"
seeds = [1]
"""
RESULT = {
    "n": 1, "n_episodes": 1, "unique": {"n": 1, "mean": 1.0, "low": 0.0, "high": 2.0},
    "achievements": {EVIL: {"successes": 1, "n": 1, "rate": 1.0, "low": 0.2, "high": 1.0}},
    "endings": {EVIL: 1},
}  # fmt: skip
PIPELINE = """
type = "pipeline"
[stages.look.config]
type = "eval"
model = "random"
seeds = [1]
"""
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
def hostile(actor: Actor, announce) -> Estate:
    """A project in which every text that people, models or files bring holds markup."""
    Project.objects.filter(pk=actor.project.pk).update(name=EVIL)
    User.objects.filter(pk=actor.user.pk).update(username=EVIL, first_name=EVIL)
    found = actor_of_session(User.objects.get(pk=actor.user.pk), actor.project.pk)
    assert found is not None
    run, episode = hostile_run(found)
    config = launch.import_config(actor=found, text=TOML, name=EVIL)
    pipeline = hostile_pipeline(found, run)
    line = {"messages": [{"role": "user", "content": EVIL}, {"role": "assistant", "content": EVIL,
            "tool_calls": [{"function": {"name": EVIL, "arguments": EVIL}}]}]}  # fmt: skip
    dataset = upload_dataset(
        project=found.project,
        user=found.user,
        name=EVIL,
        file=io.BytesIO(json.dumps(line).encode()),
    )
    type(dataset).objects.filter(pk=dataset.pk).update(
        words=EVIL, statistics={"models": {EVIL: 1}, "achievements": {EVIL: 2}, "length": {"0": 1}}
    )
    checkpoint = announce(
        make_run(found.project, "base", model=EVIL),
        files={"config.json": b"{}", f"{SHORT}.txt": b"x"},
    )
    Checkpoint.objects.filter(pk=checkpoint.pk).update(
        model_id=EVIL, base_model=EVIL, base_model_resolved=LINK, metrics={EVIL: EVIL}
    )
    checkpoint.refresh_from_db()
    wanted = want_model(checkpoint)
    type(wanted).objects.filter(pk=wanted.pk).update(state="failed", error=EVIL)
    provider = Provider.objects.create(
        project=found.project, name=SHORT, base_url=LINK, origin=EVIL, prices={EVIL: {"input": 1}}
    )
    ModelAlias.objects.create(project=found.project, requested=EVIL, resolved=LINK)
    WorkerNode.objects.create(name=EVIL, host=EVIL, pid=1, version=SHORT, slots={SHORT: 1},
                              busy={SHORT: 1}, started_at=now(), seen_at=now())  # fmt: skip
    key = ApiKey.objects.create(
        project=found.project, user=found.user, name=EVIL, prefix="sw_", digest="d", scopes=[SHORT]
    )
    return Estate(run.pk, episode.pk, config.pk, dataset.pk, checkpoint.uid, provider.pk,
                  pipeline.pk, key.pk)  # fmt: skip


def hostile_run(actor: Actor) -> tuple[Run, Episode]:
    """A failed eval with a game, events, a curve, tags and notes, all of them written by `EVIL`."""
    run = make_run(actor.project, name=EVIL, model=EVIL, task=SHORT)
    trace = make_trace(7, unlocks=("collect_wood", EVIL[:60]), model=EVIL)
    trace.summary.policy = trace.summary.provider = SHORT
    trace.summary.ending = trace.summary.error = EVIL
    for turn in trace.turns:
        turn.content = turn.error = turn.finish_reason = EVIL
        turn.error_code = SHORT
        turn.messages = [
            {"role": "user", "content": EVIL},
            {"role": SHORT, "content": None, "x": EVIL},
        ]
        turn.raw_calls = [{"id": "1", "name": EVIL, "arguments": EVIL}]
        turn.actions = [*turn.actions, EVIL]
    [episode] = store_games(run, [trace])
    Episode.objects.filter(pk=episode.pk).update(verified=False, verify_note=EVIL)
    set_label(episode=episode, name=SHORT, actor=actor)
    set_notes(run=run, actor=actor, notes=EVIL)
    set_tags(run=run, actor=actor, tags=[SHORT])
    add_event(run, "log", {"level": SHORT, "message": EVIL})
    add_event(run, "result", {"ok": False, "error": {"code": EVIL, "message": EVIL, "hint": EVIL}})
    add_event(run, "checkpoint", {"step": EVIL, "checkpoint_uid": LINK, "path": EVIL})
    series = MetricSeries.objects.create(run=run, name=EVIL, n_points=1, last_value=1.0)
    MetricPoint.objects.create(series=series, step=1, value=1.0, at=now(), seq=900)
    error = {"code": SHORT, "message": EVIL, "hint": EVIL}
    Run.objects.filter(pk=run.pk).update(
        state="failed", error=error, warnings=[EVIL], result=RESULT, progress_unit=EVIL[:20],
        effects=[{"key": EVIL, "value": EVIL, "reason": EVIL}],
        resolved={EVIL: {EVIL: EVIL}}, inputs={EVIL: EVIL}, code_version=SHORT,
    )  # fmt: skip
    run.shards.update(error=error, waiting_for=EVIL, worker=EVIL)
    return run, episode


def hostile_pipeline(actor: Actor, run: Run) -> Pipeline:
    config = launch.import_config(actor=actor, text=PIPELINE, name=EVIL)
    pipeline = launch.start_pipeline(actor=actor, config=config)
    error = {"code": SHORT, "message": EVIL, "hint": EVIL}
    Pipeline.objects.filter(pk=pipeline.pk).update(name=EVIL, state="failed", error=error)
    Stage.objects.filter(pipeline=pipeline).update(
        name=SHORT, needs=[EVIL], state="failed", error=error, run=run
    )
    return pipeline


@pytest.fixture
def live_id(hostile: Estate) -> int:
    """A game of a run that goes on."""
    project = Run.objects.get(pk=hostile.run_id).project
    run = make_run(project, name=EVIL, model=EVIL)
    Run.objects.filter(pk=run.pk).update(state="running")
    view = {"first_step": 0, "views": [EVIL], "rewards": [0.0], "unlocks": [[EVIL, 0]],
            "n_turns": 1, "call": EVIL}  # fmt: skip
    return LiveView.objects.create(
        run=run, shard=run.shards.get(), key='["k"]', seed=1, model=EVIL, data=view,
        updated_at=now(),
    ).pk  # fmt: skip


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
            f"/datasets/new/?runs={hostile.run_id}", "/traces/?achievement={e}&ended={e}",
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
    silent = {"queue-", "login", "logout"}
    expected = {
        page.name for page in PAGES if browser.get(page.at(hostile, live_id)).status_code == 200
    }
    answers_json = {"run-points", "live-steps", "trace-steps", "config-raw", "dataset-export",
                    "checkpoint-file"}  # fmt: skip
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
            "scopes": EVIL, "username": EVIL, "password": EVIL}  # fmt: skip
    addresses = ("/configs/new/", "/configs/_check/", "/settings/keys/", "/settings/providers/",
                 "/settings/aliases/", "/start/", f"/runs/{hostile.run_id}/notes/",
                 f"/runs/{hostile.run_id}/cancel/", f"/configs/{hostile.config_id}/launch/",
                 f"/traces/{hostile.trace_id}/labels/", "/datasets/new/", "/login/",
                 f"/settings/providers/{hostile.provider_id}/test/")  # fmt: skip
    for where in addresses:
        for headers in ({}, {"HX-Request": "true"}):
            answer = browser.post(where, form, headers=headers)
            assert answer.status_code in (200, 204, 302, 403, 404, 409, 422), where
            assert read(answer.content.decode()).found == [], where
            for header in ("Location", "HX-Redirect"):
                assert re.match(r"/(?![/\\])|$", answer.headers.get(header, "")), where
    assert read(browser.get("/settings/").content.decode()).found == []


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


SCRIPTS = sorted(p for p in (ROOT / "static" / "js").rglob("*.js"))
MARKUP = re.compile(
    r"\.(?:inner|outer)HTML\s*\+?=|insertAdjacentHTML|document\.write|DOMParser|createContextual"
    r"|srcdoc|\beval\s*\(|new\s+Function|set(?:Timeout|Interval)\s*\(\s*[\"'`]|setHTML"
    r"|javascript:|setAttribute\(\s*[\"'`](?:on|src|href|style)"
)
LEAVES = re.compile(r"(?<!this)\.(?:href|src|action|location)\s*=(?!=)\s*(.+)")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_make_nodes_of_data_and_never_markup(script: Path):
    text = script.read_text()
    assert MARKUP.findall(text) == []
    for target in LEAVES.findall(text):
        ours = re.match(r"""["'`]/[^/\\$]""", target.strip())
        assert ours, f"{script.name}: {target}: an address begins with a path of ours"


def test_templates_never_switch_escaping_off():
    off = re.compile(r"\|\s*safe\b|safeseq|autoescape\s+off|<script(?![^>]*\bsrc=)|\bon\w+=[\"']")
    for template in (ROOT / "templates").rglob("*.html"):
        assert off.findall(template.read_text()) == [], template
    for module in [*(ROOT / "apps").rglob("*.py"), *(ROOT / "synthweb").rglob("*.py")]:
        assert "mark_safe" not in module.read_text(), module


def test_values_in_attributes_are_always_quoted():
    """Escaping saves an attribute only inside quotes."""
    bare = re.compile(r"=\s*\{\{")
    for template in (ROOT / "templates").rglob("*.html"):
        inside = re.findall(r"<[a-z][^<>]*>", template.read_text())
        assert [tag for tag in inside if bare.search(re.sub(r'"[^"]*"', '""', tag))] == [], template


def test_htmx_runs_no_code_of_fragments():
    base = (ROOT / "templates" / "base.html").read_text()
    config: dict[str, Any] = json.loads(
        re.findall(r"name=\"htmx-config\" content='(.+?)'", base)[0]
    )
    assert config["allowEval"] is False
    assert config["allowScriptTags"] is False
    assert config.get("selfRequestsOnly", True) is True
