"""Episodes in Django's admin: for looking, not for changing."""

from __future__ import annotations

from django.contrib import admin

from apps.traces.models import Episode, Label


@admin.register(Episode)
class EpisodeAdmin(admin.ModelAdmin):
    list_display = ("id", "run", "seed", "model", "n_achievements", "ended", "verified")
    list_select_related = ("run",)
    list_filter = ("ended", "verified")
    raw_id_fields = ("run", "shard", "forked_from")
    show_full_result_count = False


@admin.register(Label)
class LabelAdmin(admin.ModelAdmin):
    list_display = ("episode", "name", "user", "at")
    raw_id_fields = ("episode", "user")
