"""Mounts `/api/v1/`: the API, its OpenAPI at `openapi.json` and the docs at `docs`."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from apps.api.api import api
from apps.api.errors import error_body


@csrf_exempt
def unknown(request: HttpRequest) -> JsonResponse:
    """A program that asks at a wrong address gets an answer that it can read."""
    message = f"There is nothing at {request.method} {request.path}."
    body = error_body("not_found", message, "All endpoints: /api/v1/docs")
    return JsonResponse(body, status=404)


urlpatterns = [path("", api.urls), re_path(".*", unknown, name="api-unknown")]
