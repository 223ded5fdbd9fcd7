"""How the database is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from synthweb.databases import database_settings


@pytest.mark.django_db
def test_a_transaction_that_stands_still_is_ended_by_postgres():
    """Or a paused worker keeps its run locked, and nobody can take it over."""
    if connection.vendor != "postgresql":
        pytest.skip("this session does not run on Postgres")
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("15s",)


def test_the_operators_own_options_count():
    options = database_settings("postgres://u@h/x?options=-c%20a%3D1", Path("/tmp"))["OPTIONS"]
    assert options["options"] == "-c a=1"
