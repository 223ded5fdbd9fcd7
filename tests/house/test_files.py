"""Lists that must not drift: pins, locks, Makefile."""

import re
import subprocess
import tomllib

import pytest

from apps.worker import inputs
from synthweb.bootstrap import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(name: str) -> dict[str, str]:
    found = re.findall(
        r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / f"{name}.lock").read_text(), re.M
    )
    return dict(found)


def wanted(requirements: list[str]) -> dict[str, str]:
    """Name → version of exact requirements."""
    found = {}
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9-]+)(?:\[[a-z0-9,-]+\])?==([^;\s]+)", requirement)
        assert match, f"{requirement} is not pinned exactly"
        found[match[1].lower()] = match[2]
    return found


@pytest.mark.parametrize("lock", ["web", "dev", "train"])
def test_each_lock_holds_what_pyproject_pins(lock):
    requirements = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"].get(lock, [])]
    expected = wanted(requirements)
    if lock == "train":
        assert expected.pop("torch")
        assert "torch" not in pins(lock)
    assert expected.items() <= pins(lock).items()


def test_locks_agree_and_bring_no_cuda_and_no_settings_of_who_compiled_them():
    for lock in ("dev", "train"):
        theirs = pins(lock)
        assert {n: theirs.get(n) for n in pins("web")} == pins("web")
    for lock in ("web", "dev", "train"):
        text = (ROOT / "requirements" / f"{lock}.lock").read_text()
        assert "nvidia" not in text
        assert "--index-url" not in text.replace("--no-emit-index-url", "")
        assert "--find-links" not in text.replace("--no-emit-find-links", "")
    assert "torch" not in pins("web")


def test_make_alone_lists_every_target_with_its_sentence():
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("up", "test", "check", "loop", "bench", "soak", "doctor", "screenshots", "lint"):
        assert re.search(rf"make {target} +\w", shown), target


def test_continuous_integration_only_calls_make_test():
    lines = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line[:1] != "#"]
    assert lines[-1] == "exec make test"


def test_every_variable_that_is_read_is_documented_and_the_other_way_round():
    source = "".join(path.read_text() for path in (ROOT / "synthweb").glob("*.py"))
    read = set(re.findall(r'env\.(?!Setting)\w+\(\s*"([A-Z_0-9]+)"', source))
    first_cells = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs/settings.md").read_text(), re.M)
    documented = {name for cell in first_cells for name in re.findall(r"`([A-Z_0-9]+)`", cell)}
    handed_on = {"HF_ENDPOINT", "HF_TOKEN", "HTTPS_PROXY"}  # read by the hub's library
    assert handed_on <= set(inputs.HUB)
    assert read | handed_on == documented
