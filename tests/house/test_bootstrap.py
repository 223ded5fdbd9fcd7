"""The installation, on a copy of the repository with a lock of one small package."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from synthweb.bootstrap import ROOT
from tests.servers.waiting import wait_until

TINY_LOCK = """
vine==5.1.0 \\
    --hash=sha256:40fdf3c48b2cfe1c38a49e9ae2da6fda88e4794c810050a728bd7413811fb1dc \\
    --hash=sha256:8b62e981d35c41049211cf62a0a1242d8c1ee9bd15bb196ce38aefd6799e61e0
"""


@pytest.fixture
def clone(tmp_path):
    """The bootstrap and a lock; nothing else of the project is needed to install."""
    for name in ("__init__", "bootstrap", "train_parts", "env"):
        target = tmp_path / "synthweb" / f"{name}.py"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "synthweb" / f"{name}.py", target)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "web.lock").write_text(TINY_LOCK)
    return tmp_path


def install(clone, **environment):
    return subprocess.run(
        [sys.executable, "-m", "synthweb.bootstrap", "web"],
        cwd=clone,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def has_vine(clone):
    command = [clone / ".venv/bin/python", "-c", "import vine"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_installing_again_does_nothing_and_a_new_lock_installs(clone):
    first = install(clone)
    assert first.returncode == 0, first.stderr
    assert "Installing 1 pinned packages (web)" in first.stdout
    assert has_vine(clone)
    assert install(clone).stdout == ""
    with (clone / "requirements" / "web.lock").open("a") as lock:
        lock.write("# another\n")
    assert "Installing 1 pinned packages" in install(clone).stdout


@pytest.mark.slow
def test_a_broken_venv_is_made_again(clone):
    install(clone)
    shutil.rmtree(next((clone / ".venv/lib").glob("python*/site-packages/pip")))
    again = install(clone)
    assert again.returncode == 0, again.stderr
    assert has_vine(clone)


@pytest.mark.slow
def test_an_installation_broken_off_is_repaired_by_running_again(clone):
    process = subprocess.Popen(
        [sys.executable, "-m", "synthweb.bootstrap", "web"],
        cwd=clone,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_until((clone / ".venv" / "bin").exists, "the venv's first files")
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Run the same command again" in errors
    assert not (clone / ".venv" / ".installed-web").exists()
    assert install(clone).returncode == 0
    assert has_vine(clone)


@pytest.mark.slow
def test_a_changed_package_is_refused_by_its_hash(clone):
    lock = clone / "requirements" / "web.lock"
    lock.write_text(
        lock.read_text().replace("sha256:4", "sha256:5").replace("sha256:8", "sha256:9")
    )
    done = install(clone)
    assert done.returncode == 1
    assert "hash" in done.stderr.lower()
    assert not (clone / ".venv" / ".installed-web").exists()


def test_an_old_python_is_told_what_to_install(monkeypatch):
    from synthweb import bootstrap

    monkeypatch.setattr(bootstrap, "MIN_PYTHON", (99, 0))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    with pytest.raises(bootstrap.SetupError, match=r"(?s)needs Python 3\.11 or newer.*PYTHON="):
        bootstrap.ensure_python()


def test_progress_is_readable_at_any_moment(tmp_path, monkeypatch):
    from synthweb import train_parts

    monkeypatch.setenv("SYNTHWEB_HOME", str(tmp_path))
    monkeypatch.setattr(train_parts, "is_ready", lambda: False)
    assert train_parts.read_status()["state"] == "missing"
    train_parts.write_status("installing", "torch", 5)
    status = train_parts.read_status()
    assert (status["state"], status["step"], status["percent"]) == ("installing", "torch", 5)


def test_without_a_gpu_the_small_torch_is_asked_for_first(monkeypatch):
    from synthweb import train_parts

    monkeypatch.setattr(train_parts.platform, "system", lambda: "Linux")
    monkeypatch.setattr(train_parts, "has_gpu", lambda: False)
    asked = [arguments for _, arguments in train_parts.torch_requests()]
    assert [arguments[-1] for arguments in asked] == ["torch==2.13.0+cpu"] * 2 + ["torch==2.13.0"]
    monkeypatch.setattr(train_parts, "has_gpu", lambda: True)
    assert [a for _, a in train_parts.torch_requests()] == [["torch==2.13.0"]]
