"""Checks of what the instance stands on: database, migrations, broker, storage, credentials."""

from __future__ import annotations

import stat
import urllib.error
import urllib.request
import uuid

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection

from apps.accounts.models import User
from apps.runs.queries import list_workers
from synthweb import credentials, health
from synthweb.broker import BrokerError, server_binary
from synthweb.doctor.findings import Finding, note, ok, problem


def check_database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as err:
        mend = "Check DATABASE_URL and that the server runs; for SQLite, who may write the file."
        return problem("database", str(err).strip(), mend)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":
            mend = "Put SYNTHWEB_HOME on a local disk: network folders cannot do WAL."
            return problem("database", f"SQLite in mode {mode}", mend)
    return ok("database", f"{connection.vendor}, {connection.settings_dict['NAME']}")


def check_migrations() -> Finding:
    missing = health.unapplied_migrations()
    if missing:
        found = f"{len(missing)} not applied, first {missing[0]}"
        return problem("migrations", found, "Run `make up`, or `python manage.py migrate`.")
    return ok("migrations", "all applied")


def check_first_user() -> Finding:
    if not User.objects.filter(is_superuser=True, is_active=True).exists():
        return problem("first user", "there is none", "python manage.py setup_instance")
    return ok("first user", "there is one")


def check_broker() -> Finding:
    where = "REDIS_URL" if settings.REDIS_URL else str(settings.BROKER_SOCKET)
    if health.broker_state() == "ok":
        return ok("broker", f"answers at {where}")
    if settings.REDIS_URL:
        mend = "Start that Redis, or unset REDIS_URL to use the embedded broker."
        return problem("broker", "REDIS_URL does not answer", mend)
    try:
        binary = server_binary()
    except BrokerError as err:
        return problem("broker", "no server program", str(err))
    return note("broker", f"not running (would start {binary})", "make up starts it.")


def check_task_app() -> Finding:
    """With its key, as a client would ask."""
    where = f"{settings.TASK_APP_INTERNAL_URL}/health"
    request = urllib.request.Request(where, headers={"X-API-Key": settings.ENVIRONMENT_API_KEY})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
            healthy = answer.status == 200
    except urllib.error.HTTPError as err:
        mend = "Another program, or a task app with another key, has this port: set TASK_APP_PORT."
        return problem("task app", f"{where} answers {err.code}", mend)
    except OSError:
        return note("task app", f"nothing answers at {where}", "make up starts it.")
    return ok("task app", f"answers at {where}" if healthy else f"{where} is not healthy")


def check_workers() -> Finding:
    alive = [worker for worker in list_workers() if worker.alive]
    if not alive:
        return note("workers", "none reported lately", "make up starts one.")
    trains = sum(worker.can_train for worker in alive)
    return ok("workers", f"{len(alive)} alive, {trains} can train")


def check_storage() -> Finding:
    """Write, read and delete one small file where artifacts go."""
    name = f"doctor/{uuid.uuid4().hex}"
    try:
        stored = default_storage.save(name, ContentFile(b"synthweb"))
        with default_storage.open(stored) as file:
            intact = file.read() == b"synthweb"
        default_storage.delete(stored)
    except Exception as err:
        mend = "Make the folder writable, or check SYNTHWEB_S3_BUCKET and its keys."
        return problem("storage", f"cannot be written: {err}", mend)
    if not intact:
        return problem("storage", "gives back other bytes than were written", "Check the disk.")
    return ok("storage", type(default_storage._wrapped).__name__)  # type: ignore[attr-defined]


def check_credentials() -> Finding:
    path = credentials.path_in(settings.SYNTHWEB_HOME)
    if not path.exists():
        return note("credentials", f"no {path}", "python manage.py setup_instance writes it.")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode != 0o600:
        return problem("credentials", f"{path} has mode {mode:o}", f"chmod 600 {path}")
    return ok("credentials", str(path))


SERVICE_CHECKS = (
    check_database,
    check_migrations,
    check_first_user,
    check_broker,
    check_task_app,
    check_workers,
    check_storage,
    check_credentials,
)
