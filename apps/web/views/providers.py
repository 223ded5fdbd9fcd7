"""Providers on the settings page: add, change, rotate the key, test, remove."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, QueryDict
from django.views.decorators.http import require_POST

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.launch.services import test_endpoint
from apps.providers import queries, services
from apps.providers.models import Provider
from apps.web.access import PageRequest, draw, go, page
from apps.web.reading import text_of, whole_of
from apps.web.views.settings import draw_settings

LIMITS = ("max_concurrent", "requests_per_minute", "timeout_s", "max_tries")
MAX_PRICES = 10_000


@require_POST
@page(Role.ADMIN)
def add(request: PageRequest) -> HttpResponse:
    made = services.create_provider(
        actor=request.actor,
        name=text_of(request.POST, "name") or "",
        base_url=text_of(request.POST, "base_url") or "",
        key=request.POST.get("key", "").strip(),
        kind=text_of(request.POST, "kind") or "openai",
        **_limits(request.POST),
        prices=_prices(request.POST),
    )
    return go(request, "/settings/#providers", f"{made.name} is added. Test it before you use it.")


@require_POST
@page(Role.ADMIN)
def change(request: PageRequest, provider_id: int) -> HttpResponse:
    """Change what the form says; an empty key field keeps the key, unless it is to go."""
    provider = _provider(request, provider_id)
    data = request.POST
    key: str | None = data.get("key", "").strip() or None
    changed = services.update_provider(
        actor=request.actor,
        provider=provider,
        key="" if data.get("drop_key") else key,
        name=text_of(data, "name") or provider.name,
        base_url=text_of(data, "base_url") or provider.base_url,
        enabled=bool(data.get("enabled")),
        prices=_prices(data),
        **_limits(data),
    )
    return go(request, "/settings/#providers", f"{changed.name} is changed.")


@require_POST
@page(Role.EDITOR)
def test(request: PageRequest, provider_id: int) -> HttpResponse:
    provider = _provider(request, provider_id)
    result = test_endpoint(provider=provider)
    if request.htmx:
        return draw(request, "settings/_tested.html", {"result": result})
    return draw_settings(request, tested=provider, result=result)


@require_POST
@page(Role.ADMIN)
def remove(request: PageRequest, provider_id: int) -> HttpResponse:
    provider = _provider(request, provider_id)
    services.delete_provider(actor=request.actor, provider=provider)
    return go(request, "/settings/#providers", f"{provider.name} and its key are gone.")


def _provider(request: PageRequest, provider_id: int) -> Provider:
    return queries.get_provider(project=request.actor.project, provider_id=provider_id)


def _limits(data: QueryDict) -> dict[str, Any]:
    found = {name: whole_of(data, name) for name in LIMITS}
    return {name: value for name, value in found.items() if value is not None}


def _prices(data: QueryDict) -> dict[str, dict[str, float]]:
    """Lines `MODEL INPUT OUTPUT`, USD per million tokens; * is every other model."""
    prices: dict[str, dict[str, float]] = {}
    for number, line in enumerate(data.get("prices", "")[:MAX_PRICES].splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            model, given, made = words
            prices[model] = {"input": float(given), "output": float(made)}
        except ValueError:
            raise Refused(
                "bad_prices",
                f"Line {number} of the prices is no model with two numbers: {line[:80]!r}.",
                "Write: qwen/qwen3-32b 0.29 0.59 (US dollars per million tokens, in and out).",
                status=422,
                fields={"prices": f"line {number}"},
            ) from None
    return prices
