"""R13: kill -9 at random moments, also within a save; what resumes is the training left alone.

20 moments here, 400 with SYNTHWEB_SOAK=1. What is compared: every loss, every batch, the weights.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthweb.bootstrap import ROOT

pytestmark = pytest.mark.slow
KILLS = 200 if os.environ.get("SYNTHWEB_SOAK") else 10


@pytest.mark.parametrize("method", ["fft", "lora"])
def test_r13_a_killed_fine_tuning_equals_one_left_alone(tmp_path: Path, method: str) -> None:
    pytest.importorskip("trl")
    command = [sys.executable, "-m", "tests.faults.r13_training", str(tmp_path)]
    done = subprocess.run(
        [*command, "--method", method, "--kills", str(KILLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert f"{KILLS} kills, nothing differs" in done.stdout
