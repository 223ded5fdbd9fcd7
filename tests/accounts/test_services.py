"""Writes of users, projects and keys refuse what would not be safe."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from apps.accounts import queries, services
from apps.accounts.errors import Refused
from apps.accounts.models import AuditEntry, Membership, Role

pytestmark = pytest.mark.django_db
PASSWORD = "correct-horse-7"


@pytest.fixture
def olga():
    return services.create_user(username="olga", password=PASSWORD)


@pytest.fixture
def lab(olga):
    return services.create_project(slug="lab", name="Lab", owner=olga)


def test_a_weak_password_and_a_taken_name_are_refused_in_words(olga):
    with pytest.raises(Refused, match="too short"):
        services.create_user(username="bob", password="x1")
    with pytest.raises(Refused, match="already a user olga"):
        services.create_user(username="olga", password=PASSWORD)


def test_the_owner_of_a_new_project_is_its_admin(lab, olga):
    assert queries.role_in(olga, lab) is Role.ADMIN
    services.set_member(project=lab, user=olga, role=Role.VIEWER)
    assert Membership.objects.get(project=lab, user=olga).role == Role.VIEWER


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "everything"]])
def test_a_key_without_known_scopes_is_refused(lab, olga, scopes):
    with pytest.raises(Refused, match="Scopes are read, write, admin"):
        services.create_api_key(project=lab, user=olga, name="x", scopes=scopes)


def test_a_key_that_is_already_expired_is_refused(lab, olga):
    with pytest.raises(Refused, match="already be expired"):
        services.create_api_key(
            project=lab, user=olga, name="x", scopes=["read"], expires_at=now() - timedelta(days=1)
        )


def test_making_and_revoking_a_key_is_in_the_audit_log_once(lab, olga):
    actor = queries.actor_of_session(olga, lab.pk, "192.0.2.1")
    made = services.create_api_key(project=lab, user=olga, name="ci", scopes=["read"], actor=actor)
    services.revoke_api_key(key=made.key, actor=actor)
    services.revoke_api_key(key=made.key, actor=actor)
    entries = AuditEntry.objects.order_by("id").values_list("verb", "address")
    assert list(entries) == [("key.created", "192.0.2.1"), ("key.revoked", "192.0.2.1")]


def test_adopting_the_same_key_twice_keeps_one(lab, olga):
    clear = "sk_sw_" + "a" * 43
    first = services.adopt_api_key(project=lab, user=olga, name="setup", clear=clear)
    assert services.adopt_api_key(project=lab, user=olga, name="setup", clear=clear) == first
    assert queries.find_api_key(clear) == first
