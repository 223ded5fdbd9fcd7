"""Who is who, and how far they may go."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import RequestFactory
from django.utils.timezone import now

from apps.accounts import queries, services
from apps.accounts.errors import Refused
from apps.accounts.models import ApiKey, Project, Role, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return services.create_user(username="olga", password="correct-horse-7")


@pytest.fixture
def lab(owner: User) -> Project:
    return services.create_project(slug="lab", name="Lab", owner=owner)


def new_key(lab: Project, owner: User, *scopes: str) -> services.NewKey:
    return services.create_api_key(project=lab, user=owner, name="ci", scopes=scopes or ("read",))


def request_with(clear: str):
    return RequestFactory().get("/", headers={"Authorization": f"Bearer {clear}"})


def test_a_key_is_found_by_its_clear_text_and_stored_only_as_a_digest(lab, owner):
    made = new_key(lab, owner)
    assert queries.find_api_key(made.clear) == made.key
    row = ApiKey.objects.values().get(pk=made.key.pk)
    assert made.clear not in str(row)
    assert queries.find_api_key(made.clear + "x") is None


def test_a_revoked_an_expired_and_an_inactive_users_key_open_nothing(lab, owner):
    actor = queries.actor_of_session(owner, None)
    revoked, expired, orphan = (new_key(lab, owner) for _ in range(3))
    services.revoke_api_key(key=revoked.key, actor=actor)
    ApiKey.objects.filter(pk=expired.key.pk).update(expires_at=now() - timedelta(seconds=1))
    assert queries.find_api_key(revoked.clear) is None
    assert queries.find_api_key(expired.clear) is None
    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert queries.find_api_key(orphan.clear) is None


def test_a_bad_key_is_nobody_even_beside_a_session(lab, owner):
    request = request_with("sk_sw_wrong")
    request.user = owner
    request.session = {}
    assert queries.actor_of_request(request) is None


def test_a_read_key_of_an_admin_may_not_write(lab, owner):
    actor = queries.actor_of_request(request_with(new_key(lab, owner, "read").clear))
    assert actor is not None
    assert actor.role is Role.ADMIN
    actor.require(Role.VIEWER)
    with pytest.raises(Refused) as refused:
        actor.require(Role.EDITOR)
    assert refused.value.status == 403
    assert "scope 'write'" in refused.value.hint


def test_a_viewer_with_all_scopes_may_not_write(lab):
    bob = services.create_user(username="bob", password="correct-horse-7")
    services.set_member(project=lab, user=bob, role=Role.VIEWER)
    actor = queries.actor_of_session(bob, lab.pk)
    assert actor is not None
    assert not actor.may_edit
    assert queries.actor_of_key(new_key(lab, bob, "write").key).may_edit is False


def test_a_stranger_gets_no_actor_and_cannot_choose_a_foreign_project(lab):
    mallory = services.create_user(username="mallory", password="correct-horse-7")
    assert queries.actor_of_session(mallory, lab.pk) is None
    own = services.create_project(slug="own", name="Own", owner=mallory)
    assert queries.actor_of_session(mallory, lab.pk).project == own


def test_the_last_use_of_a_key_is_noted_at_most_once_a_minute(
    lab, owner, django_assert_num_queries
):
    made = new_key(lab, owner)
    with django_assert_num_queries(2):
        queries.find_api_key(made.clear)
    with django_assert_num_queries(1):
        queries.find_api_key(made.clear)
