"""Webhooks of the project: add, test, remove, and what each answered last; for admins."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.errors import not_found
from apps.accounts.models import Role
from apps.launch.queries.webhooks import list_webhooks
from apps.launch.services import webhooks as services
from apps.web.access import PageRequest, go, page
from apps.web.reading import text_of
from apps.web.views.settings import draw_section

HERE = "/settings/webhooks/"


@require_http_methods(["GET", "HEAD", "POST"])
@page(Role.ADMIN)
def webhooks(request: PageRequest) -> HttpResponse:
    """POST adds one; its secret stands in the answer only."""
    if request.method != "POST":
        return _draw(request)
    made = services.create_webhook(actor=request.actor, url=text_of(request.POST, "url") or "")
    return _draw(request, secret=made.secret, made=made.webhook.url)


@require_POST
@page(Role.ADMIN)
def act(request: PageRequest, webhook_id: int, verb: str) -> HttpResponse:
    hook = services.get_webhook(project=request.actor.project, webhook_id=webhook_id)
    if verb == "test":
        told = services.test_webhook(actor=request.actor, webhook=hook)
        said = f"It answered with {told.status}." if told.status else f"It failed: {told.answer}"
        return go(request, HERE, said)
    if verb == "delete":
        services.delete_webhook(actor=request.actor, webhook=hook)
        return go(request, HERE, "It is told nothing more.")
    raise not_found("verb", verb)


def _draw(request: PageRequest, **extra: object) -> HttpResponse:
    context = {"webhooks": list_webhooks(project=request.actor.project), **extra}
    return draw_section(request, "webhooks", context)
