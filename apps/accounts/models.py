"""Users, projects, roles, API keys and the audit log. Everything else belongs to a project."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """A person. What they may do follows from their memberships; `is_superuser` is the operator."""

    must_change_password = models.BooleanField(default=False)  # an admin chose the present one
    tour_open = models.BooleanField(default=False)  # the first steps stand on the home page


class Role(models.TextChoices):
    """What a member may do in a project; each role includes the ones before it."""

    VIEWER = "viewer", "viewer: reads everything"
    EDITOR = "editor", "editor: launches, labels, exports"
    ADMIN = "admin", "admin: members, providers, keys, deletes"


class Project(models.Model):
    """Configs, runs, datasets, checkpoints, providers and pipelines belong to one project."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(User, through="Membership", related_name="projects")

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_project")
        ]


class ApiKey(models.Model):
    """A machine's way in. Only a SHA-256 of it is stored; people know it by its `prefix`."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="api_keys")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)  # of "read", "write", "admin"
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)


class SavedView(models.Model):
    """A name for what the address of a list says: its filters and order, for the whole project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=20)  # of PAGES in apps/accounts/saved.py
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, blank=True)  # urlencoded
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "page", "name"], name="one_view_of_a_name")
        ]


class AuditEntry(models.Model):
    """Who did what, when, from where. Written in the transaction of the deed itself."""

    project = models.ForeignKey(Project, null=True, on_delete=models.SET_NULL, related_name="+")
    actor = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    verb = models.CharField(max_length=60)  # run.launched, dataset.exported, key.created, ...
    target = models.CharField(max_length=200)  # "run:31"
    detail = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["project", "-id"], name="audit_newest")]
