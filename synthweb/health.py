"""For operators and load balancers: `/healthz`, `/readyz`, `/metrics`. No secrets in any of them.

`doctor` (synthweb/doctor/) explains what these only state.
"""

from __future__ import annotations

import redis
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from apps.accounts.queries import actor_of_request
from synthweb import bell, metrics
from synthweb.children import task_app_answers

LOOPBACK = ("127.0.0.1", "::1")


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process lives and answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Database, migrations, broker and task app. 503 while the first two are missing; without the
    broker runs go on by the tick, only later, and without the task app only its clients wait: both
    are reported and not refused."""
    checks = {
        "database": database_state(),
        "broker": broker_state(),
        "task_app": "ok" if task_app_answers() else "away",
    }
    ready = checks["database"] == "ok"
    return JsonResponse(
        {"status": "ok" if ready else "not ready", **checks}, status=200 if ready else 503
    )


def database_state() -> str:
    """`ok`, `migrations missing` or `away`."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return "migrations missing" if unapplied_migrations() else "ok"
    except DatabaseError:
        return "away"


def unapplied_migrations() -> list[str]:
    """Names of migrations that the code has and the database has not."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def broker_state() -> str:
    """`ok` or `away`."""
    try:
        with bell.connect() as client:
            client.ping()
    except (redis.RedisError, OSError):
        return "away"
    return "ok"


@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Prometheus text, for this machine or for an API key."""
    direct = request.META.get("REMOTE_ADDR") in LOOPBACK and not request.headers.get(
        "X-Forwarded-For"
    )
    if not direct and actor_of_request(request) is None:
        return HttpResponse("An API key is needed.\n", status=401, content_type="text/plain")
    return HttpResponse(metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")
