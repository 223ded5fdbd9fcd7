"""Environment keys and the check of task apps: whose key goes where.

An address with a record of its own gets that record's key (`apps.launch`). The project's
environment key is tried only on an admin's word, and where it fits the record is made, so that runs
find the key by origin like any other.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from django.db import transaction
from django.utils.text import slugify

from apps.accounts.errors import Refused
from apps.accounts.models import Project, Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.launch.services import TaskAppReport, probe_task_app
from apps.launch.services.task_apps import task_app_of
from apps.providers.asking import ask
from apps.providers.crypto import decrypt, encrypt
from apps.providers.models import ProviderKind
from apps.providers.services import create_provider
from apps.synth.models import EnvironmentKey
from apps.synth.sealed import open_box

NAME = "ENVIRONMENT_API_KEY"


def store_environment_key(*, actor: Actor, name: str, ciphertext_b64: str) -> EnvironmentKey:
    """Open a sealed key and keep it, encrypted. Safe twice: the last one stays.

    Raises Refused(422) for another name, or for what was not sealed for this instance.
    """
    actor.require(Role.EDITOR)
    if name != NAME:
        raise Refused("bad_name", f"The only key that is kept is {NAME}.", status=422)
    clear = open_box(ciphertext_b64)
    with transaction.atomic():
        row, _ = EnvironmentKey.objects.update_or_create(
            project=actor.project, name=NAME, defaults={"encrypted_key": encrypt(clear)}
        )
        record(actor=actor, verb="environment_key.stored", target=f"project:{actor.project.slug}")
    return row


def has_environment_key(*, project: Project) -> bool:
    """Whether the project has one."""
    return EnvironmentKey.objects.filter(project=project, name=NAME).exists()


def verify_task_app(*, actor: Actor, url: str) -> TaskAppReport:
    """Whether a task app answers, with whose key. Never raises for what the address is or says."""
    actor.require(Role.EDITOR)
    url = url.replace("\0", "").rstrip("/")[:500]
    report = probe_task_app(project=actor.project, url=url)
    if report.ok or report.key_of or not report.calls or not actor.may_admin:
        return report
    row = EnvironmentKey.objects.filter(project=actor.project, name=NAME).first()
    if row is None or task_app_of(actor.project, url) is not None:
        return report
    key = decrypt(row.encrypted_key)
    if any(ask(url + path, key).status != 200 for path in ("/health", "/task_info")):
        return report
    name = _make_record(actor, url, key)
    found = probe_task_app(project=actor.project, url=url)
    said = f"{found.message} Its key is kept as the task app {name} in Settings → Providers."
    return replace(found, message=said)


def _make_record(actor: Actor, url: str, key: str) -> str:
    """A record of the task app with its key; another name where the host's is taken."""
    parts = urlsplit(url)
    host = slugify(f"{parts.hostname}-{parts.port or ''}".replace(".", "-"))[:50].strip("-")
    name = host
    for number in range(2, 100):
        try:
            create_provider(
                actor=actor, name=name, base_url=url, key=key, kind=ProviderKind.TASK_APP
            )
            return name
        except Refused as err:
            if err.code != "name_taken":
                raise
            name = f"{host}-{number}"
    return name
