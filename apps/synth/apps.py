from __future__ import annotations

from django.apps import AppConfig


class SynthConfig(AppConfig):
    name = "apps.synth"
