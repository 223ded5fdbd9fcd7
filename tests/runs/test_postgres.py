"""The same tests of runs and supervision on Postgres, where leases go by the database's clock."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.db import connection

from synthweb.bootstrap import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


def test_leases_ingest_and_supervision_hold_on_postgres(postgres_url):
    if connection.vendor == "postgresql":
        pytest.skip("this session runs on Postgres already")
    files = ["services", "ingest", "queries", "paging"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
            *(f"tests/runs/test_{name}.py" for name in files),
            "tests/worker/test_supervise.py",
        ],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": postgres_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
