"""All writes of providers and aliases, and the test of a provider's address and key."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.providers.asking import ask
from apps.providers.crypto import encrypt
from apps.providers.models import ModelAlias, Provider, ProviderKind
from apps.providers.queries import BUILTIN, key_of
from apps.providers.urls import check_url, origin_of
from synthweb.bell import ring

MAX_LISTED = 200
MAX_ID = 190  # the audit log writes "model:" before it
# A task app answers with a whole episode, a model with one turn.
DEFAULT_TIMEOUT_S: dict[str, int] = {ProviderKind.OPENAI: 120, ProviderKind.TASK_APP: 600}
DEFAULT_TRIES: dict[str, int] = {ProviderKind.OPENAI: 5, ProviderKind.TASK_APP: 3}
LIMITS = {
    "max_concurrent": (1, 10_000),
    "requests_per_minute": (0, 1_000_000),
    "timeout_s": (1, 86_400),
    "max_tries": (1, 20),
}
_CHANGEABLE = (
    "name", "base_url", "max_concurrent", "requests_per_minute", "timeout_s", "max_tries", "prices",
    "enabled",
)  # fmt: skip


class TestResult(NamedTuple):
    """What a provider answered. `models` are the ids it offers, as far as it says."""

    ok: bool
    message: str
    latency_ms: float
    models: list[str]


def create_provider(
    *,
    actor: Actor,
    name: str,
    base_url: str,
    key: str = "",
    kind: str = ProviderKind.OPENAI,
    max_concurrent: int = 32,
    requests_per_minute: int = 0,
    timeout_s: int | None = None,
    max_tries: int | None = None,
    prices: Mapping[str, Any] | None = None,
) -> Provider:
    """Add an endpoint; its key is stored encrypted and never shown again.

    Raises Refused(422) for an address that must not be called, 409 for a taken name.
    """
    actor.require(Role.ADMIN)
    if kind not in ProviderKind.values:
        raise Refused(
            "bad_kind", f"A provider is one of {', '.join(ProviderKind.values)}.", status=422
        )
    provider = Provider(project=actor.project, kind=kind, encrypted_key=encrypt(_key(key)))
    _apply(
        provider,
        {
            "name": name,
            "base_url": base_url,
            "max_concurrent": max_concurrent,
            "requests_per_minute": requests_per_minute,
            "timeout_s": DEFAULT_TIMEOUT_S[kind] if timeout_s is None else timeout_s,
            "max_tries": DEFAULT_TRIES[kind] if max_tries is None else max_tries,
            "prices": dict(prices or {}),
        },
    )
    _save(provider, actor, "provider.created")
    return provider


def update_provider(
    *, actor: Actor, provider: Provider, key: str | None = None, **changes: Any
) -> Provider:
    """Change what is given; `key` None keeps the key, "" removes it.

    A new address without a new key drops the old key: it was entered for the old origin.
    """
    actor.require(Role.ADMIN)
    unknown = sorted(set(changes) - set(_CHANGEABLE))
    if unknown:
        raise Refused("unknown_field", f"A provider has no {unknown[0]!r} to change.", status=422)
    origin = provider.origin
    _apply(provider, changes)
    if key is not None:
        provider.encrypted_key = encrypt(_key(key))
    elif provider.origin != origin:
        provider.encrypted_key = ""
    _save(provider, actor, "provider.changed")
    return provider


def delete_provider(*, actor: Actor, provider: Provider) -> None:
    """Remove a provider with its key; runs that used it keep its name. Safe twice."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        Provider.objects.filter(pk=provider.pk, project=actor.project).delete()
        record(actor=actor, verb="provider.deleted", target=f"provider:{provider.name}")
        ring("pages:providers")


def set_alias(*, actor: Actor, requested: str, resolved: str) -> ModelAlias | None:
    """Let a base model id stand for another one here; an empty `resolved` ends it. Safe twice."""
    actor.require(Role.ADMIN)
    requested, resolved = requested.strip(), resolved.strip()
    longest = max(len(requested), len(resolved))
    if not requested or requested == resolved or longest > MAX_ID or "\0" in requested + resolved:
        message = f"An alias needs two different model ids of at most {MAX_ID} characters."
        raise Refused("bad_alias", message, status=422)
    with transaction.atomic():
        record(actor=actor, verb="alias.set", target=f"model:{requested}", detail={"to": resolved})
        if not resolved:
            ModelAlias.objects.filter(project=actor.project, requested=requested).delete()
            return None
        alias, _ = ModelAlias.objects.update_or_create(
            project=actor.project, requested=requested, defaults={"resolved": resolved}
        )
    return alias


def test_provider(*, provider: Provider) -> TestResult:
    """Ask the endpoint for its models (a task app for its health), with the key, once.

    Never raises for what the endpoint does: the message says it. No part of the key is in it.
    """
    path = "/models" if provider.kind == ProviderKind.OPENAI else "/health"
    answer = ask(provider.base_url.rstrip("/") + path, key_of(provider))
    if answer.error:
        return TestResult(False, answer.error, answer.took_ms, [])
    if answer.status in (401, 403):
        words = f"It refuses the key (status {answer.status})."
        return TestResult(False, words, answer.took_ms, [])
    if answer.status >= 300:
        words = f"It answers with status {answer.status}."
        return TestResult(False, words, answer.took_ms, [])
    models = _model_ids(answer.body)
    words = f"It answers; it offers {len(models)} models." if models else "It answers."
    return TestResult(True, words, answer.took_ms, models)


test_provider.__test__ = False  # type: ignore[attr-defined]  # a verb, not a test
TestResult.__test__ = False  # type: ignore[attr-defined]


def _model_ids(body: bytes) -> list[str]:
    try:
        rows = json.loads(body)["data"]
        return [str(row["id"])[:300] for row in rows][:MAX_LISTED]
    except (ValueError, KeyError, TypeError):
        return []


def _apply(provider: Provider, changes: Mapping[str, Any]) -> None:
    """Check and set fields. Raises Refused(422)."""
    for name, value in changes.items():
        setattr(provider, name, value)
    if provider.name in (BUILTIN, "") or slugify(provider.name) != provider.name.lower():
        raise Refused(
            "bad_name",
            "A provider's name has letters, digits, - and _ only, and is not 'builtin'.",
            status=422,
            fields={"name": "letters, digits, - and _"},
        )
    if "base_url" in changes:
        if len(provider.base_url) > 500:
            raise Refused("bad_url", "The address is longer than 500 characters.", status=422)
        check_url(provider.base_url)
        provider.origin = origin_of(provider.base_url)
    for name, (low, high) in LIMITS.items():
        value = getattr(provider, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            words = f"{name} is a whole number from {low} to {high:,}."
            raise Refused("bad_limit", words, status=422, fields={name: words})
    _check_prices(provider.prices)


def _check_prices(prices: Any) -> None:
    """`{model or "*": {"input": USD per million tokens, "output": ...}}`, nothing else."""
    rows = list(prices.values()) if isinstance(prices, dict) else [None]
    for row in rows:
        if not (
            isinstance(row, dict)
            and row.keys() == {"input", "output"}
            and all(
                isinstance(v, int | float) and math.isfinite(v) and v >= 0 for v in row.values()
            )
        ):
            raise Refused(
                "bad_prices",
                'Prices are {"model or *": {"input": USD per million tokens, "output": …}}.',
                status=422,
                fields={"prices": "input and output, not negative"},
            )


def _save(provider: Provider, actor: Actor, verb: str) -> None:
    try:
        with transaction.atomic():
            provider.save()
            record(
                actor=actor,
                verb=verb,
                target=f"provider:{provider.name}",
                detail={"origin": provider.origin},
            )
            ring("pages:providers")
    except IntegrityError as err:
        raise Refused(
            "name_taken",
            f"There is already a provider {provider.name}.",
            status=409,
            fields={"name": "already taken"},
        ) from err


def _key(key: str) -> str:
    """A key as a header can carry it. Raises Refused(422)."""
    key = key.strip()
    if len(key) > 4000 or not key.isascii() or not (key.isprintable() or not key):
        raise Refused("bad_key", "The key holds characters that no header can carry.", status=422)
    return key
