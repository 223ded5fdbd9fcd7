"""Checkpoints and servers in Django's admin, without the servers' secrets."""

from __future__ import annotations

from django.contrib import admin

from apps.checkpoints.models import Checkpoint, ModelServer, ServedModel


@admin.register(Checkpoint)
class CheckpointAdmin(admin.ModelAdmin):
    list_display = ("uid", "model_id", "kind", "method", "run", "final", "created_at")
    list_select_related = ("run",)
    raw_id_fields = ("base", "run")


@admin.register(ModelServer)
class ModelServerAdmin(admin.ModelAdmin):
    list_display = ("uid", "state", "worker", "address", "lease_until")
    exclude = ("secret",)


admin.site.register(ServedModel)
