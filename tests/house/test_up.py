"""The whole instance as `make up` runs it."""

import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import sys

import psutil
import pytest

from synthweb import credentials
from synthweb.bootstrap import ROOT
from tests.servers import instance as instances
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow
NAMES = {
    "SYNTHWEB_URL",
    "SYNTHWEB_USER",
    "SYNTHWEB_PASSWORD",
    "SYNTH_API_KEY",
    "ENVIRONMENT_API_KEY",
    "BACKEND_BASE_URL",
    "TASK_APP_URL",
}


def start_again(instance, **changes):
    """`make up` once more; the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "synthweb.up"],
        cwd=ROOT,
        env={**instance.environment, **changes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_credentials_are_all_a_command_line_needs(instance):
    path = credentials.path_in(instance.home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    known = credentials.read(instance.home)
    assert known.keys() == NAMES
    assert all(known.values())
    assert known["BACKEND_BASE_URL"] == f"{instance.url}/api"


def test_the_password_is_printed_once(instance):
    log = instance.home / "up.log"
    wait_until(lambda: "Ctrl-C stops" in log.read_text(), "the welcome")
    printed = log.read_text()
    assert printed.count(instance.password) == 1
    assert instance.url in printed
    assert not (instance.home / "run" / "show-password").exists()


def test_setting_up_again_changes_nothing(instance):
    before = credentials.path_in(instance.home).read_text()
    instance.manage("setup_instance")
    assert credentials.path_in(instance.home).read_text() == before


def test_started_twice_says_so(instance):
    again = start_again(instance, PORT=str(instances.free_port()))
    assert again.returncode == 1
    assert f"already runs here ({instance.home})" in again.stderr
    assert f"process {instance.process.pid}" in again.stderr


def test_a_taken_port_is_a_clear_error(instance, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        again = start_again(instance, PORT=str(port), SYNTHWEB_HOME=str(tmp_path))
    assert again.returncode == 1
    assert f"Port {port} on 127.0.0.1 is taken" in again.stderr
    assert f"make up PORT={port + 10}" in again.stderr


@pytest.mark.parametrize("name", ["web", "broker", "worker", "task-app"])
def test_a_killed_part_comes_back(instance, name):
    victim = wait_until(lambda: instance.children().get(name), name)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: instance.children().get(name, victim) != victim, f"a new {name}", 30)
    wait_until(instance.answers, "the pages")


def test_doctor_finds_nothing_in_the_way(instance):
    done = instance.manage("doctor", check=False)
    assert done.returncode == 0, done.stdout
    assert "broker: answers" in done.stdout
    assert "task app: answers" in done.stdout


def test_ready_and_metrics_speak(instance):
    connection = http.client.HTTPConnection("127.0.0.1", instance.port)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    assert (answer.status, b'"broker": "ok"' in answer.read()) == (200, True)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    assert re.search(r"^synthweb_stream_clients 0$", text, re.M)
    assert instance.api_key not in text


def test_ctrl_c_leaves_no_process_and_the_home_can_be_started_again(tmp_path):
    with instances.run(tmp_path) as started:
        wait_until(lambda: len(started.children()) == 5, "all five parts", 60)
        tree = psutil.Process(started.process.pid).children(recursive=True)
        assert started.stop(signal.SIGINT) == 0
        assert not any(alive(process.pid) for process in tree)
        assert not started.answers()
        started.start()  # the lock went with the process


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
