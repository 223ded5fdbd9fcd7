"""The command prints a key that works, and refuses in words."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command

from apps.accounts import queries
from apps.accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def operator(alice, project):
    User.objects.filter(pk=alice.pk).update(is_superuser=True)


def test_the_printed_key_opens_the_project_with_its_scopes(capsys, project):
    call_command("create_api_key", "ci", "--scope", "read", "--days", "3", "--json")
    key = queries.find_api_key(json.loads(capsys.readouterr().out)["key"])
    assert key is not None
    assert (key.project, key.scopes) == (project, ["read"])
    assert key.expires_at is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--project", "nowhere"], "there are: games"),
        (["--user", "nobody"], "no user 'nobody'"),
        (["--days", "-1"], "already be expired"),
    ],
)
def test_a_mistake_is_said_and_the_exit_code_is_1(capsys, arguments, said):
    with pytest.raises(SystemExit) as ended:
        call_command("create_api_key", "ci", *arguments)
    assert ended.value.code == 1
    assert said in capsys.readouterr().err
