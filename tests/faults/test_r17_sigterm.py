"""R17: SIGTERM; the web drains, workers hand their shards back, all is down in 20 s."""

from __future__ import annotations

import signal
import time

import psutil
import pytest

from tests.servers import instance as instances
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow

OUTCOMES = """
from apps.runs.models import Attempt, Shard
print([a.outcome for a in Attempt.objects.order_by("number")], Shard.objects.get().state)
"""


def test_r17_all_is_down_in_20_s_and_the_shard_is_handed_back(tmp_path):
    with instances.run(tmp_path) as started:
        run_id = started.start_noop(n_steps=2000, step_s=0.05)
        wait_until(lambda: started.state_of(run_id) == "running", "the run to start", 30)
        tree = psutil.Process(started.process.pid).children(recursive=True)
        began = time.monotonic()
        assert started.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 20
        left = [p for p in tree if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        assert left == []
        said = started.manage("shell", "--no-imports", "-c", OUTCOMES).stdout
        assert said.split("\n")[-2] == "['handed_back'] queued"
