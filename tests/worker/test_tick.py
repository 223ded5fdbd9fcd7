"""What the tick sweeps."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils.timezone import now

from apps.api.models import IdempotentAnswer
from apps.worker.tick import tick


@pytest.mark.django_db
def test_answers_kept_for_idempotency_are_forgotten_after_a_day(alice):
    for key, age in (("old", timedelta(hours=25)), ("new", timedelta(hours=23))):
        row = IdempotentAnswer.objects.create(user=alice, key=key, path="/", request_sha256="")
        IdempotentAnswer.objects.filter(pk=row.pk).update(created_at=now() - age)
    assert tick()["answers"] == 1
    assert IdempotentAnswer.objects.get().key == "new"


def test_the_tick_loads_no_part_of_the_api_but_its_table():
    code = (
        "import django, sys; django.setup(); import apps.worker.tick;"
        "print([m for m in sys.modules if m.startswith(('apps.api.', 'ninja'))])"
    )
    environment = {"SYNTHWEB_PAGES": "0", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "['apps.api.apps', 'apps.api.models']"
