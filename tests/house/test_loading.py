"""What web, worker and ticker load at their start: each has 100 MB, a game or torch takes half."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("PIL", "crafter", "cryptography.hazmat", "nacl", "numba", "numpy", "torch", "transformers")
WEB = """
import synthweb.asgi
from django.urls import get_resolver
len(get_resolver().url_patterns)
"""
WORKER = """
from synthweb.celery import app
app.loader.import_default_modules()
"""
TICKER = "import django; django.setup(); import apps.worker.tick"
FIGURES = """
import sys
from engine.rollout.scores import bootstrap_mean, paired_difference
for n in (20, 200):
    bootstrap_mean(range(n)); paired_difference(range(n), range(1, n + 1))
print([name for name in HEAVY if name in sys.modules])
"""


@pytest.mark.parametrize("start", [WEB, WORKER, TICKER], ids=["web", "worker", "ticker"])
def test_no_process_that_stays_loads_what_only_children_need(start):
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    if start != WEB:
        environment["SYNTHWEB_PAGES"] = "0"
    code = f"HEAVY = {HEAVY}\n{start}\n{FIGURES}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "[]"
