"""Settings: providers, keys, members, workers. Keys are shown once, provider keys never."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpResponse
from django.utils.timezone import now
from django.views.decorators.http import require_POST, require_safe

from apps.accounts import services as accounts
from apps.accounts.errors import not_found
from apps.accounts.models import ApiKey, Role
from apps.accounts.queries import SCOPES, list_keys, list_members
from apps.inference.queries import usage_by_model
from apps.launch.services.starters import STAND_IN, offered_aliases
from apps.providers import queries as providers
from apps.providers import services
from apps.runs.queries import list_workers
from apps.web.access import PageRequest, draw, go, page
from apps.web.reading import text_of, whole_of

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


@require_safe
@page()
def overview(request: PageRequest) -> HttpResponse:
    return draw_settings(request)


def draw_settings(request: PageRequest, **extra: object) -> HttpResponse:
    project = request.actor.project
    context = {
        "providers": providers.list_providers(project=project),
        "presets": PRESETS,
        "preset": PRESETS.get(request.GET.get("preset", ""), PRESETS["groq"]),
        "aliases": providers.list_aliases(project=project),
        "offered": offered_aliases(project),
        "stand_in": STAND_IN,
        "keys": list_keys(project),
        "members": list_members(project),
        "workers": list_workers(),
        "usage": usage_by_model(project=project),
        "all_scopes": SCOPES,
        **extra,
    }
    return draw(request, "settings/page.html", context)


@require_POST
@page(Role.EDITOR)
def create_key(request: PageRequest) -> HttpResponse:
    """Make a key and show it once, in the answer itself: it is stored nowhere in clear."""
    scopes = [word for word in request.POST.getlist("scopes") if word in SCOPES] or ["read"]
    if "admin" in scopes:
        request.actor.require(Role.ADMIN)
    days = whole_of(request.POST, "days")
    made = accounts.create_api_key(
        project=request.actor.project,
        user=request.actor.user,
        actor=request.actor,
        name=text_of(request.POST, "name") or "key",
        scopes=scopes,
        expires_at=now() + timedelta(days=min(days, 3650)) if days and days > 0 else None,
    )
    return draw_settings(request, clear=made.clear)


@require_POST
@page(Role.EDITOR)
def revoke_key(request: PageRequest, key_id: int) -> HttpResponse:
    key = ApiKey.objects.filter(project=request.actor.project, pk=key_id).first()
    if key is None:
        raise not_found("key", key_id)
    if key.user_id != request.actor.user.pk:
        request.actor.require(Role.ADMIN)
    accounts.revoke_api_key(actor=request.actor, key=key)
    return go(request, "/settings/#keys", f"The key {key.name} is revoked.")


@require_POST
@page(Role.ADMIN)
def alias(request: PageRequest) -> HttpResponse:
    """Set or end an alias, or those of several models at once."""
    resolved = text_of(request.POST, "resolved") or ""
    for requested in request.POST.getlist("requested")[:20] or [""]:
        name = requested.replace("\0", "")
        services.set_alias(actor=request.actor, requested=name, resolved=resolved)
    return go(request, "/settings/#aliases", "The alias is set." if resolved else "It is removed.")
