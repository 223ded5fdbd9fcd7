"""The recorded samples of `synth-ai`, where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "shared" / "samples"


def sample(name: str) -> Path:
    """A recorded file. Skips the test, loudly, in a checkout without the recordings."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"the recorded sample ../shared/samples/{name} is not beside this checkout")
    return path
