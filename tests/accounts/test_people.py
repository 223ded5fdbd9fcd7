"""Members, roles, one-time passwords, one's own password, projects."""

from __future__ import annotations

import pytest

from apps.accounts import people
from apps.accounts.errors import Refused
from apps.accounts.models import AuditEntry, Membership, User
from apps.accounts.queries import actor_of_session, find_api_key, role_in
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def test_a_new_account_gets_a_one_time_password_and_an_old_one_gets_none(actor, mallory):
    made = people.invite_member(actor=actor, username=" grace ", role="editor")
    assert made.member.user.check_password(made.password)
    assert User.objects.get(username="grace").must_change_password
    known = people.invite_member(actor=actor, username="mallory", role="viewer")
    assert known.password == ""
    assert not User.objects.get(username="mallory").must_change_password
    again = people.invite_member(actor=actor, username="grace", role="viewer")
    assert (again.password, again.member.role) == ("", "viewer")


@pytest.mark.parametrize("name", ["", "a b", "x" * 151, "<b>"])
def test_a_name_that_is_none_makes_no_account(actor, name):
    with pytest.raises(Refused):
        people.invite_member(actor=actor, username=name, role="viewer")
    assert User.objects.count() == 1


def test_the_last_admin_stays_one(actor, project, bob):
    alice = project.membership_set.get(user=actor.user)
    for deed in (
        lambda: people.remove_member(actor=actor, member=alice),
        lambda: people.set_role(actor=actor, member=alice, role="editor"),
    ):
        with pytest.raises(Refused, match="last admin") as told:
            deed()
        assert told.value.status == 409
    people.set_role(actor=actor, member=project.membership_set.get(user=bob), role="admin")
    people.remove_member(actor=actor, member=alice)
    assert role_in(actor.user, project) is None


def test_an_admin_whose_account_is_off_does_not_count(actor, project, bob):
    people.set_role(actor=actor, member=project.membership_set.get(user=bob), role="admin")
    User.objects.filter(pk=bob.pk).update(is_active=False)
    with pytest.raises(Refused, match="last admin"):
        people.remove_member(actor=actor, member=project.membership_set.get(user=actor.user))


def test_keys_of_a_removed_member_stay_dead_when_they_come_back(actor, project, bob, key_of):
    clear = key_of(bob)
    people.remove_member(actor=actor, member=project.membership_set.get(user=bob))
    people.invite_member(actor=actor, username="bob", role="viewer")
    assert find_api_key(clear) is None


def test_only_an_operator_resets_a_password(actor, project, bob):
    member = project.membership_set.get(user=bob)
    with pytest.raises(Refused, match="operator"):
        people.reset_password(actor=actor, member=member)
    actor.user.is_superuser = True
    clear = people.reset_password(actor=actor, member=member)
    bob.refresh_from_db()
    assert bob.check_password(clear)
    assert bob.must_change_password


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("wrong", "a better horse", "another one"), (PASSWORD, PASSWORD, "is the old one"),
     (PASSWORD, "short", "too short"), (PASSWORD, "password12", "too common")],
)  # fmt: skip
def test_a_password_that_will_not_do_is_refused_in_words(bob, project, old, new, words):
    actor = actor_of_session(bob, project.pk)
    with pytest.raises(Refused, match=words):
        people.change_password(actor=actor, old=old, new=new)
    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)


def test_every_deed_is_in_the_log_and_no_password_is(actor, project):
    made = people.invite_member(actor=actor, username="grace", role="viewer")
    people.set_role(actor=actor, member=made.member, role="editor")
    people.remove_member(actor=actor, member=made.member)
    people.open_project(actor=actor, name="Math & more")
    log = list(AuditEntry.objects.order_by("id").values_list("verb", "target", "detail"))
    assert [verb for verb, _, _ in log] == [
        "member.added", "member.role", "member.removed", "project.created",
    ]  # fmt: skip
    assert log[1] == ("member.role", "user:grace", {"was": "viewer", "role": "editor"})
    assert made.password not in str(log)
    assert Membership.objects.get(project__slug="math-more").role == "admin"
