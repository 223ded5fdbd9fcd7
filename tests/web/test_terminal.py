"""What pages offer for a terminal is typed into a real shell, and does it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from html import unescape
from io import BytesIO
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from apps.checkpoints.models import CheckpointFile
from apps.datasets.services import upload_dataset
from apps.launch import services as launch
from apps.providers.models import Provider
from apps.runs.models import Run
from apps.web.terminal import Command, as_toml, fetch, send, settings
from apps.web.terminal.work import EVAL
from engine.config import load_toml
from tests.estate import Estate, make_estate
from tests.games import make_run, make_trace, store_games
from tests.security.test_s01_pages_and_streams import PAGES
from tests.servers import web
from tests.v3_files import write_file

ROOT = Path(__file__).resolve().parents[2]
RECORD = (
    b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
)
TOML = 'type = "eval"\nmodel = "guide"\nseeds = [1]\n'
NASTY = "a'b\"c$(touch x)`d`\\ \n<b>&"
PRELUDE = 'set -eo pipefail; curl() { command curl -sS --fail-with-body --max-time 20 "$@"; }\n'
SHOWN = (
    "/", "/runs/?kind=eval", "/runs/{run_id}/", "/traces/?failed_calls=yes&model=x",
    "/traces/{trace_id}/?step=1", "/traces/import/", "/compare/?runs={run_id},{other_id}",
    "/queue/", "/curves/?runs={run_id}", "/datasets/", "/datasets/{dataset_id}/",
    "/datasets/new/?min_unique=1", "/checkpoints/", "/checkpoints/import/", "/checkpoints/{uid}/",
    "/configs/", "/configs/{config_id}/", "/configs/new/", "/pipelines/",
    "/pipelines/{pipeline_id}/", "/live/",
    *(f"/settings/{name}/".replace("//", "/") for name in settings.SECTIONS),
)  # fmt: skip
# Right, but the run is not in that state, or no name of the outside is known where tests run.
REFUSALS = ('"wrong_state"', '"unknown_host"')


def commands_of(html: str) -> list[str]:
    """The commands that a page offers, as somebody would copy them."""
    found = re.search(r'class="card terminal.*?<pre[^>]*>(.*?)</pre>', html, re.DOTALL)
    text = unescape(re.sub(r"<[^>]+>", "", found[1])) if found else ""
    parts = re.split(r"^# .*\n", text, flags=re.MULTILINE)
    return [part.strip() for part in parts[3:]]


@pytest.fixture
def estate(actor, settings) -> Estate:
    settings.ALLOW_HOSTS = []
    made = make_estate(actor)
    data = upload_dataset(project=actor.project, user=None, name="d", file=BytesIO(RECORD))
    Provider.objects.update(base_url="http://127.0.0.1:9/v1", origin="http://127.0.0.1:9")
    CheckpointFile.objects.update(storage_key=data.storage_key)
    Run.objects.filter(pk=made.run_id).update(state="failed", resolved=EVAL)
    config = launch.import_config(actor=actor, text=TOML, name=NASTY)
    return made._replace(dataset_id=data.pk, config_id=config.pk)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where somebody types: a checkout with a file of each kind."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "FILE.toml").write_text(TOML)
    (tmp_path / "records.jsonl").write_bytes(RECORD)
    write_file(tmp_path / "FILE.db", 1)
    return tmp_path


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_every_curl_of_every_page_does_what_it_says(
    estate, folder, alice, client_of, key_of, project
):
    if not (shutil.which("curl") and shutil.which("jq")):
        pytest.skip("curl or jq is missing: apt install curl jq")
    key, client, wrong, n_typed = key_of(alice), client_of(alice), [], 0
    other = make_run(project)
    store_games(other, [make_trace(7)])
    known = {**estate._asdict(), "other_id": other.pk}
    with web.serve() as server:
        for page in SHOWN:
            lines = commands_of(client.get(page.format(**known)).content.decode())
            assert lines, f"{page} offers nothing"
            for line in (one for one in lines if one.startswith("curl") and " -N " not in one):
                n_typed += 1
                done = _type(_with_ids(line, estate), folder, server.url, key)
                if done.returncode and not any(code in done.stdout for code in REFUSALS):
                    wrong.append(f"{page}\n{line}\n{done.stdout}{done.stderr}")
    assert not wrong, "\n\n".join(wrong)
    assert n_typed > 80


def _address(page: str, estate: Estate) -> str:
    return page.format(**{**estate._asdict(), "other_id": estate.run_id})


def _type(line: str, folder: Path, url: str, key: str) -> subprocess.CompletedProcess[str]:
    environment = {"SYNTHWEB_URL": url, "SYNTH_API_KEY": key, "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["bash", "-c", PRELUDE + line],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _with_ids(line: str, estate: Estate) -> str:
    """The examples of settings and of an empty list name number 1 or 2 of something: take ours."""
    for room, name in (
        ("traces", "trace_id"),
        ("keys", "key_id"),
        ("providers", "provider_id"),
        ("webhooks", "webhook_id"),
    ):
        line = re.sub(rf"/{room}/\d+", f"/{room}/{getattr(estate, name)}", line)
    return line


@pytest.mark.django_db
def test_every_command_and_toml_of_every_page_is_one(estate, alice, client_of):
    known, client = get_commands(), client_of(alice)
    for page in SHOWN:
        for line in commands_of(client.get(_address(page, estate)).content.decode()):
            if heredoc := re.search(r"<<'END'\n(.*)\nEND\n", line, re.DOTALL):
                load_toml(heredoc[1])
                line = line[heredoc.end() :]
            if line.startswith("curl"):
                continue
            words = shlex.split(line)
            assert words[:2] == ["python", "manage.py"], line
            app = known[words[2]]
            command = load_command_class(app, words[2]) if isinstance(app, str) else app
            command.create_parser("manage.py", words[2]).parse_args(words[3:])


@pytest.mark.django_db
def test_every_page_with_a_form_that_does_something_has_its_commands(estate, alice, client_of):
    client, without = client_of(alice), {"login", "logout", "settings-password", "search"}
    for page in PAGES:
        if page.name in without:
            continue
        answer = client.get(page.at(estate, 1))
        html = "" if answer.streaming else answer.content.decode()
        main = re.search(r'<main class="main".*</main>', html, re.DOTALL)
        if answer.status_code == 200 and main and 'method="post"' in main[0]:
            assert commands_of(html), f"{page.path} has buttons and no commands"


@pytest.mark.django_db
def test_readers_are_shown_what_they_may_do(estate, bob, client_of):
    html = client_of(bob).get(f"/runs/{estate.run_id}/").content.decode()
    lines = commands_of(html)
    assert len(lines) >= 4
    assert not any("-X" in line for line in lines)


def test_a_shell_takes_whatever_a_name_holds_as_one_word(tmp_path):
    def words(command: Command) -> list[str]:
        printed = subprocess.run(
            ["bash", "-c", f'curl() {{ printf "%s\\0" "$@"; }}; {command.text}'],
            cwd=tmp_path, env={"SYNTHWEB_URL": "u"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return printed.stdout.split("\0")

    assert '{"a": ' in words(send("", "POST", "/x", {"a": NASTY}))[-3]
    assert words(fetch("", "/x", {"q": NASTY}))[-2].startswith("u/api/v1/x?q=a%27b%22c%24")
    text = as_toml("", "a.toml", {"type": "eval", "model": NASTY, "seeds": [1]}).text
    subprocess.run(["bash", "-c", text.rpartition("\n")[0]], cwd=tmp_path, check=True)
    assert load_toml((tmp_path / "a.toml").read_text()).data["model"] == NASTY
    assert not (tmp_path / "x").exists()
