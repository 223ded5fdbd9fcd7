"""`manage.py setup_instance`: migrate, first user, project and keys. Safe to run at every start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from apps.accounts import services
from apps.accounts.models import Project, Role, User
from synthweb import credentials


class Command(BaseCommand):
    help = "Migrate the database and make the first user, project and keys if they are missing."
    requires_system_checks: list[str] = []  # it runs at every start, and the web checks itself

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
        user = User.objects.filter(is_superuser=True).order_by("pk").first()
        made = credentials.make(
            settings.SYNTHWEB_HOME,
            url=settings.PUBLIC_URL,
            environment_api_key=settings.ENVIRONMENT_API_KEY,
            task_app_url=f"{settings.PUBLIC_URL}/task/grpo-crafter",
            fresh=user is None,
        )
        if user is None:
            user = services.create_user(username=made.user, password=made.password, superuser=True)
        project = Project.objects.order_by("pk").first()
        if project is None:
            project = services.create_project(slug="default", name="Default", owner=user)
        services.set_member(project=project, user=user, role=Role.ADMIN)
        services.adopt_api_key(
            project=project, user=user, name="credentials.env", clear=made.api_key
        )
