"""Providers in Django's admin, without their keys."""

from __future__ import annotations

from django.contrib import admin

from apps.providers.models import ModelAlias, Provider


@admin.register(Provider)
class ProviderAdmin(admin.ModelAdmin):
    list_display = ("name", "project", "kind", "base_url", "enabled")
    exclude = ("encrypted_key",)
    readonly_fields = ("base_url", "origin")  # changed through the service, which checks them


admin.site.register(ModelAlias)
