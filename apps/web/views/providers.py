"""Providers on the settings page: add, change, rotate the key, test, remove."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, QueryDict
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.launch.services import test_endpoint
from apps.providers import queries, services
from apps.providers.models import Provider
from apps.web.access import PageRequest, draw, go, page
from apps.web.reading import text_of, whole_of
from apps.web.views.settings import draw_section

HERE = "/settings/providers/"
LIMITS = ("max_concurrent", "requests_per_minute", "timeout_s", "max_tries")
MAX_PRICES = 10_000
# What the form for a new provider begins with: `?preset=NAME`, so that it works without JavaScript.
PRESETS: dict[str, dict[str, object]] = {
    "groq": {
        "words": "Groq", "name": "groq", "kind": "openai",
        "base_url": "https://api.groq.com/openai/v1", "max_concurrent": 16, "timeout_s": 120,
    },
    "openai": {
        "words": "OpenAI-compatible", "name": "my-provider", "kind": "openai",
        "base_url": "https://api.openai.com/v1", "max_concurrent": 32, "timeout_s": 120,
    },
    "vllm": {
        "words": "vLLM", "name": "vllm", "kind": "openai",
        "base_url": "http://127.0.0.1:8080/v1", "max_concurrent": 64, "timeout_s": 300,
    },
    "synthweb": {
        "words": "Another synthweb", "name": "synthweb", "kind": "openai",
        "base_url": "https://synthweb.example.com/api/inference/v1", "max_concurrent": 32,
        "timeout_s": 300,
    },
    "task-app": {
        "words": "Remote task app", "name": "task-app", "kind": "task_app",
        "base_url": "https://task-app.example.com", "max_concurrent": 8, "timeout_s": 600,
        "max_tries": 3,
    },
}  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@page()
def providers(request: PageRequest) -> HttpResponse:
    """POST adds one."""
    if request.method != "POST":
        return _draw(request)
    made = services.create_provider(
        actor=request.actor,
        name=text_of(request.POST, "name") or "",
        base_url=text_of(request.POST, "base_url") or "",
        key=request.POST.get("key", "").strip(),
        kind=text_of(request.POST, "kind") or "openai",
        **_limits(request.POST),
        prices=_prices(request.POST),
    )
    return go(request, HERE, f"{made.name} is added. Test it before you use it.")


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
    return go(request, HERE, f"{changed.name} is changed.")


@require_POST
@page(Role.EDITOR)
def test(request: PageRequest, provider_id: int) -> HttpResponse:
    provider = _provider(request, provider_id)
    result = test_endpoint(provider=provider)
    if request.htmx:
        return draw(request, "settings/_tested.html", {"result": result})
    return _draw(request, tested=provider, result=result)


@require_POST
@page(Role.ADMIN)
def remove(request: PageRequest, provider_id: int) -> HttpResponse:
    provider = _provider(request, provider_id)
    services.delete_provider(actor=request.actor, provider=provider)
    return go(request, HERE, f"{provider.name} and its key are gone.")


def _draw(request: PageRequest, **extra: object) -> HttpResponse:
    context = {
        "providers": queries.list_providers(project=request.actor.project),
        "presets": PRESETS,
        "preset": PRESETS.get(request.GET.get("preset", ""), PRESETS["groq"]),
        **extra,
    }
    return draw_section(request, "providers", context)


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
