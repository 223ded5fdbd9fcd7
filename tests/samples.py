"""The recorded samples of `synth-ai`, where they lie beside the checkout."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2] / "shared" / "samples"


def sample(name: str) -> Path:
    """A recorded file. Skips the test, loudly, in a checkout without the recordings."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"the recorded sample ../shared/samples/{name} is not beside this checkout")
    return path


def task_app_calls() -> dict[str, dict[str, Any]]:
    """What the original task app was asked and answered, by the call's name."""
    return _read_calls(sample("task_app_calls.json"))


@functools.cache
def _read_calls(path: Path) -> dict[str, dict[str, Any]]:
    return {call["name"]: call for call in json.loads(path.read_text())}
