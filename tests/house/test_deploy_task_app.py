"""The bundle of a task app works from its folder alone; without Modal the command says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from synthweb import bundle
from synthweb.env import read_env_file

DEPLOY = ("deploy_task_app", "grpo-crafter", "--name", "my-crafter", "--out")


@pytest.mark.slow
def test_a_bundle_is_written_started_and_called(tmp_path, capsys, monkeypatch):
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    out = tmp_path / "made"
    with pytest.raises(CommandError, match="is not deployed"):
        call_command(*DEPLOY, str(out))
    assert "plays a step of crafter: step_idx 1" in capsys.readouterr().out
    assert {"app.py", "modal_app.py", "Dockerfile", "README.md", "requirements.txt"} <= {
        path.name for path in out.iterdir()
    }


def test_a_bundle_pins_what_it_imports_and_holds_no_placeholder(tmp_path):
    files = bundle.write_bundle(tmp_path / "made", task="math", name="sums")
    made = (tmp_path / "made" / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in made)
    assert any(line.startswith("reasoning-gym") for line in made)
    texts = [path.read_text() for path in files if path.parent == tmp_path / "made"]
    assert not any("$NAME" in text or "$TASK" in text for text in texts)
    assert not any("torch" in path.read_text() for path in files if path.name == "app.py")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CommandError, match="other files"):
        call_command(*DEPLOY, str(tmp_path))
    assert (tmp_path / "thesis.tex").exists()


def test_a_bundle_that_does_not_start_says_why(tmp_path):
    folder: Path = tmp_path / "made"
    bundle.write_bundle(folder, task="crafter", name="broken")
    (folder / "app.py").write_text("raise SystemExit('no app here')")
    with pytest.raises(bundle.BundleError, match="no app here"):
        bundle.check_bundle(folder, environment="crafter")


def test_an_env_file_is_read_as_shells_write_it(tmp_path):
    file = tmp_path / ".env"
    file.write_text("# keys\nexport A='x y'\nB=1 # one\n\n")
    assert read_env_file(file) == {"A": "x y", "B": "1"}
    file.write_text("A=1\nnonsense\n")
    with pytest.raises(ValueError, match="line 2"):
        read_env_file(file)
