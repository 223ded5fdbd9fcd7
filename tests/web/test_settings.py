"""Settings in the browser: passwords, members, projects, storage, the audit log."""

from __future__ import annotations

import csv
import io
import re

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import Project
from apps.accounts.services import record
from tests.conftest import PASSWORD
from tests.games import make_run

pytestmark = pytest.mark.django_db
NEW = "a better horse battery"


def test_somebody_let_in_chooses_a_password_before_anything_opens(alice, project, client_of):
    shown = client_of(alice).post("/settings/users/", {"username": "grace", "role": "editor"})
    one_time = re.search(r'id="one-time"[^>]*>([^<]+)<', shown.content.decode())[1]
    assert one_time not in client_of(alice).get("/settings/users/").content.decode()
    grace = Client()
    assert grace.login(username="grace", password=one_time)
    for address in ("/", "/runs/", "/settings/keys/"):
        assert grace.get(address)["Location"] == "/settings/password/"
    assert grace.get("/api/v1/runs").status_code == 401
    assert grace.get("/settings/password/").status_code == 200
    form = {"old": one_time, "new": NEW, "again": NEW}
    assert grace.post("/settings/password/", form)["Location"] == "/settings/"
    assert grace.get("/runs/").status_code == 200
    assert grace.get("/api/v1/runs").status_code == 200


def test_a_new_password_logs_out_every_other_browser(bob, client_of):
    here, there = client_of(bob), client_of(bob)
    wrong = here.post("/settings/password/", {"old": PASSWORD, "new": NEW, "again": "other"})
    assert (wrong.status_code, "differ" in wrong.content.decode()) == (422, True)
    here.post("/settings/password/", {"old": PASSWORD, "new": NEW, "again": NEW})
    assert here.get("/runs/").status_code == 200
    assert there.get("/runs/").status_code == 302


def test_the_last_admin_is_told_so(alice, project, client_of):
    member = project.membership_set.get(user=alice)
    answer = client_of(alice).post(f"/settings/users/{member.pk}/remove/")
    assert answer.status_code == 409
    assert "last admin of Games" in answer.content.decode()


def test_a_project_is_made_and_switched_to_and_nobody_elses_is(alice, project, mallory, client_of):
    browser, run = client_of(alice), make_run(project, name="first-project-run")
    assert "Open</button>" not in browser.get("/").content.decode()
    browser.post("/settings/projects/", {"name": "Second"})
    second = Project.objects.get(slug="second")
    page = browser.get("/runs/").content.decode()
    assert run.name not in page
    assert f'<option value="{project.pk}">Games</option>' in page
    browser.post("/settings/projects/switch/", {"project": project.pk})
    assert run.name in browser.get("/runs/").content.decode()
    strange = client_of(mallory).post("/settings/projects/switch/", {"project": second.pk})
    assert strange.status_code == 404


def test_the_log_filters_pages_and_exports_without_formulas(actor, alice, client_of):
    browser = client_of(alice)
    for number in range(60):
        record(actor=actor, verb="run.launched", target=f"run:{number}", detail={"n": number})
    record(actor=actor._replace(address="192.0.2.7"), verb="run.deleted", target="=cmd()")
    first = browser.get("/settings/audit/").content.decode()
    assert "192.0.2.7" in first
    assert "run:30" in first
    older = re.search(r'href="(\?[^"]+)">Older', first)[1].replace("&amp;", "&")
    second = browser.get(f"/settings/audit/{older}").content.decode()
    assert ("run:0<" in second, "run:30<" in second) == (True, False)
    one = browser.get("/settings/audit/?verb=run.deleted").content.decode()
    assert ("=cmd()" in one, "run:30<" in one) == (True, False)
    file = browser.get("/settings/audit/export/?format=csv&user=alice")
    rows = list(csv.DictReader(io.StringIO(b"".join(file).decode())))
    assert {row["target"] for row in rows} >= {"'=cmd()", "run:0", "run:59"}
    assert browser.get("/settings/audit/").content.decode().count("audit.exported") >= 1


def test_the_log_is_for_admins(bob, client_of):
    assert client_of(bob).get("/settings/audit/").status_code == 403
    assert "/settings/audit/" not in client_of(bob).get("/settings/").content.decode()


def test_storage_names_the_biggest_runs_of_this_project_only(
    alice, project, mallory, client_of, settings, tmp_path
):
    cache.clear()  # another test may have measured the disk
    settings.RUNS_DIR = tmp_path
    run = make_run(project, name="the-big-one")
    folder = tmp_path / str(run.pk) / "0" / "1"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(b"x" * 3_000_000)
    page = client_of(alice).get("/settings/storage/").content.decode()
    assert "the-big-one" in page
    assert "3.0 MB" in page or "2.9 MB" in page
    assert "the-big-one" not in client_of(mallory).get("/settings/storage/").content.decode()


def test_the_api_does_what_the_pages_do(alice, project, key_of):
    api = Client(headers={"Authorization": f"Bearer {key_of(alice)}"})
    made = api.post("/api/v1/users", {"username": "grace"}, content_type="application/json")
    assert (made.status_code, len(made.json()["password"])) == (201, 16)
    changed = api.patch(
        "/api/v1/users/grace", {"role": "editor"}, content_type="application/json"
    ).json()
    assert changed["role"] == "editor"
    assert api.delete("/api/v1/users/grace").status_code == 204
    assert api.delete("/api/v1/users/alice").status_code == 409
    verbs = [row["verb"] for row in api.get("/api/v1/audit?target=user:grace").json()["items"]]
    assert verbs == ["member.removed", "member.role", "member.added"]
    assert api.get("/api/v1/storage").json()["total_bytes"] > 0
    made = api.post("/api/v1/projects", {"name": "Two"}, content_type="application/json").json()
    assert [p["slug"] for p in api.get("/api/v1/projects").json()["items"]] == ["games", "two"]
    assert made["name"] == "Two"
