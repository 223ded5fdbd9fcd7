"""S11: host header, open redirect, clickjacking, MIME sniffing; safe settings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from synthweb.bootstrap import ROOT
from synthweb.middleware import CSP

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/login/", "/no/such/page/", "/healthz", "/api/v1/runs"])
def test_s11_every_answer_carries_the_headers(client, path):
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"] == CSP
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_s11_the_policy_allows_nothing_inline_and_nothing_foreign():
    assert "unsafe" not in CSP
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert rule in CSP
    assert "form-action 'self'" in CSP
    assert "http" not in CSP


def test_s11_another_host_name_is_refused(client):
    assert client.get("/login/", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_s11_login_never_redirects_to_another_site(client, alice, project, target):
    from tests.conftest import PASSWORD

    form = {"username": "alice", "password": PASSWORD, "next": target}
    answer = client.post(f"/login/?next={target}", form)
    assert answer.status_code == 302
    assert answer["Location"] == "/"


def test_s11_djangos_own_check_for_deployment_is_clean_with_https(tmp_path):
    environment = {
        **os.environ,
        "SYNTHWEB_HOME": str(tmp_path),
        "SYNTHWEB_HTTPS": "1",
        "SYNTHWEB_HOSTS": "synthweb.example",
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_s11_debug_is_off_unless_somebody_asks_for_it(settings):
    assert settings.DEBUG is False


@pytest.mark.parametrize(
    "name", ["../synthweb/settings.py", "..%2f..%2fmanage.py", "/etc/passwd", "css/\0app.css"]
)
def test_s06_static_files_never_leave_their_folders(name):
    from synthweb.static import find_static

    assert find_static(name) is None
