"""Mounts Synth's addresses below `/api/`, before ours; what they do not know goes on to those."""

from __future__ import annotations

from django.urls import path

from apps.synth.api import api

urlpatterns = [path("", api.urls)]
