"""S4: after a real run of a whole instance, no key, password or signing secret is in anything that
was written or answered: database with its WAL, logs, run directories, events, traces, exports,
figures, error pages, command lines of processes. The provider even repeats the key that it got.
"""

from __future__ import annotations

import gzip
import re
import sqlite3
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest

from engine.traces.codec import decode_trace
from tests.servers import instance as instances
from tests.servers.instance import Instance
from tests.servers.openai_server import OpenAIServer
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow
PROVIDER_KEY = "gsk_4f9a1c77-provider-0d2e8b66"
WRONG_PASSWORD = "hunter2-typed-by-mistake"
CONFIG = """
type = "eval"
name = "with a key"
provider = "lab"
model = "scripted"
observation = "compact"
seeds = "1..4"
max_turns = 3
"""
RUN_KEY = re.compile(rb"rk_\d+\.\d+\.\d+~[\w-]+~[\w-]{20,}")  # whatever run it was made for
MAKE_RUN_KEY = "from apps.runs.keys import make_run_key; print(make_run_key(1, {run}, 1))"
KEPT = {"credentials.env", "secret_key", "provider_secret", "environment_api_key"}
TERMINAL = "up.log"  # what `make up` prints to the person who started it: the password, once


class Day(NamedTuple):
    """What one day of use left behind."""

    home: Path
    secrets: dict[str, bytes]  # by what they are
    answers: list[tuple[str, bytes]]
    command_lines: list[str]
    provider_keys: list[str]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    home = tmp_path_factory.mktemp("home")
    with OpenAIServer() as provider:
        provider.script("echo", "echo:200", "500", "429:0.1", "truncated")
        allow = {"SYNTHWEB_ALLOW_HOSTS": f"127.0.0.1:{provider.port}"}
        with instances.run(home, allow) as instance:
            day = spend_a_day(instance, provider)
    return day  # stopped: what the last moments write is there too


def spend_a_day(instance: Instance, provider: OpenAIServer) -> Day:
    """Make keys, run an eval over the provider, look at everything, mistype a password."""
    row = instance.call("POST", "/api/v1/providers", {
        "name": "lab", "base_url": provider.base_url, "key": PROVIDER_KEY})  # fmt: skip
    made = instance.call("POST", "/api/v1/keys", {"name": "ci", "scopes": ["read", "write"]})
    run = instance.call("POST", "/api/v1/runs", {"toml": CONFIG})["id"]
    lines: set[str] = set()
    wait_until(
        lambda: lines.update(command_lines(instance)) or instance.state_of(run) == "succeeded",
        "the eval",
        90,
    )
    provider.script("echo", "echo", "echo:200")
    instance.call("POST", f"/api/v1/providers/{row['id']}/test")
    code = MAKE_RUN_KEY.format(run=run)
    run_key = instance.manage("shell", "--no-imports", "-c", code).stdout.split()[-1]
    dataset = instance.call("POST", "/api/v1/datasets", {"name": "all", "filter": {}})["id"]
    answers = list(look_at_everything(instance, run, dataset, made["key"], run_key))
    kept = instance.home / "secrets"
    secrets = {
        "the provider's key": PROVIDER_KEY.encode(),
        "the middle of it": PROVIDER_KEY[8:22].encode(),
        "the first API key": instance.api_key.encode(),
        "an API key": made["key"].encode(),
        "a run key": run_key.encode(),
        "a password": instance.password.encode(),
        "a mistyped password": WRONG_PASSWORD.encode(),
        **{path.name: path.read_bytes().strip() for path in kept.iterdir()},
    }
    return Day(instance.home, secrets, answers, sorted(lines), list(provider.keys))


def command_lines(instance: Instance) -> list[str]:
    """Of every process of the instance, as any user of the machine may read them."""
    assert instance.process is not None
    found = []
    for child in psutil.Process(instance.process.pid).children(recursive=True):
        try:
            found.append(" ".join(child.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return found


def look_at_everything(
    instance: Instance, run: int, dataset: int, key: str, run_key: str
) -> Iterator[tuple[str, bytes]]:
    """Pages, API, exports, figures and refusals, with what each answered."""
    traces = instance.call("GET", f"/api/v1/traces?run={run}")["items"]
    pages = ["/", "/runs/", f"/runs/{run}/", "/traces/", "/settings/",
             "/settings/keys/", "/settings/providers/", "/settings/users/", "/settings/audit/",
             "/queue/", "/nothing/",
             "/configs/", "/checkpoints/", f"/datasets/{dataset}/", "/runs/999/", "/admin/",
             *(f"/traces/{t['id']}/" for t in traces),
             *(f"/traces/{t['id']}/turns/0/" for t in traces)]  # fmt: skip
    calls = [f"runs/{run}", f"runs/{run}/events", f"runs/{run}/metrics", "runs", "configs", "queue",
             "providers", "keys", "users", "workers", "me", "nothing", "openapi.json",
             *(f"datasets/{dataset}/export?format={f}" for f in ("trl", "openai", "synth")),
             *(f"traces/{t['id']}" for t in traces)]  # fmt: skip
    with httpx.Client(base_url=instance.url, timeout=30) as client:
        page = client.get("/login/")
        token = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', page.text)[0]
        form = {"csrfmiddlewaretoken": token, "username": instance.user}
        yield (
            "wrong login",
            client.post("/login/", data=form | {"password": WRONG_PASSWORD}).content,
        )
        assert (
            client.post("/login/", data=form | {"password": instance.password}).status_code == 302
        )
        for where in (*pages, "/metrics", "/readyz"):
            yield where, client.get(where).content
    with httpx.Client(base_url=instance.url, headers={"X-API-Key": key}, timeout=30) as client:
        for where in calls:
            yield where, client.get(f"/api/v1/{where}").content
        yield "a wrong body", client.post("/api/v1/providers", json={"key": PROVIDER_KEY}).content
    yield from ask_models(instance, key, run_key)


def ask_models(instance: Instance, key: str, run_key: str) -> Iterator[tuple[str, bytes]]:
    """Calls of models, by keys that may and keys that may not, with what each answered."""
    asked = {"model": "nothing", "messages": [{"role": "user", "content": "x"}]}
    url = f"{instance.url}/api/inference/v1/chat/completions"
    for clear in (run_key, run_key[:-2], key):
        headers = {"Authorization": f"Bearer {clear}"}
        yield "inference", httpx.post(url, json=asked, headers=headers).content
    asked["model"] = "lab/scripted"
    for _ in range(2):  # what the provider says goes on to whoever asked, without the key
        headers = {"Authorization": f"Bearer {key}"}
        yield "a provider's echo", httpx.post(url, json=asked, headers=headers).content


def everything_in(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the home as it is, and unpacked where it is packed; each cell of databases."""
    for path in filter(Path.is_file, home.rglob("*")):
        if path.name in KEPT:
            continue
        data = path.read_bytes()
        name = str(path.relative_to(home))
        yield name, data
        if data.startswith(b"SWTR"):
            yield name, repr(decode_trace(data)).encode()
        elif data.startswith(b"\x1f\x8b"):
            yield name, gzip.decompress(data)
        elif data.startswith(b"SQLite format 3"):
            yield from cells_of(path)


def cells_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """Each value of each table; packed ones (sessions, caches) unpacked."""
    with sqlite3.connect(path) as database:
        tables = [
            row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for cell in row:
                    data = cell if isinstance(cell, bytes) else str(cell).encode()
                    yield f"table {table}", data
                    if isinstance(cell, bytes) and data[:1] == b"\x78":
                        yield f"table {table}", zlib.decompress(data)


def found_in(day: Day, places: Iterator[tuple[str, bytes]] | list[Any]) -> list[tuple[str, str]]:
    """(where, what) of every secret that stands there in clear."""
    return [
        (where, what)
        for where, data in places
        for what, secret in day.secrets.items()
        if secret in data and not (where == TERMINAL and what == "a password")
    ]


def test_the_keys_were_really_used(day):
    """Otherwise nothing below would show anything."""
    assert any(PROVIDER_KEY in key for key in day.provider_keys)
    assert all(len(secret) >= 14 for secret in day.secrets.values()), day.secrets.keys()
    assert {"secret_key", "provider_secret"} <= day.secrets.keys()
    assert len(day.answers) > 40


def test_nothing_that_was_written_holds_a_secret(day):
    places = list(everything_in(day.home))
    names = {where for where, _ in places}
    for kind in ("table runs_run", "table traces_episode", "events.jsonl", "config.json", ".log"):
        assert any(kind in name for name in names), (kind, sorted(names)[:80])
    assert found_in(day, places) == []
    assert [where for where, data in places if RUN_KEY.search(data)] == []


def test_nothing_that_was_answered_holds_a_secret(day):
    assert found_in(day, day.answers) == []


def test_what_a_provider_repeats_is_handed_on_without_the_key(day):
    echoes = [body for where, body in day.answers if where == "a provider's echo"]
    assert len(echoes) == 2
    assert all(b"Incorrect API key provided: Bearer [key removed]" in body for body in echoes)


def test_no_command_line_holds_a_secret(day):
    assert any("engine" in line for line in day.command_lines), "no engine was seen at work"
    assert found_in(day, [("ps", line.encode()) for line in day.command_lines]) == []


def test_what_is_kept_in_clear_is_for_its_owner_only(day):
    kept = [path for path in day.home.rglob("*") if path.name in KEPT]
    assert {path.name for path in kept} == KEPT
    for path in kept:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((day.home / "secrets").stat().st_mode) == 0o700


def test_a_refused_call_repeats_no_key(day):
    [answer] = [body for where, body in day.answers if where == "a wrong body"]
    assert b"name" in answer
    assert PROVIDER_KEY.encode() not in answer
