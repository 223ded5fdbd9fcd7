"""Mounts `/api/v1/`: the API, its OpenAPI at `openapi.json` and the docs at `docs`."""

from __future__ import annotations

from django.urls import path

from apps.api.api import api

urlpatterns = [path("", api.urls)]
