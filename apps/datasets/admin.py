"""Datasets in Django's admin: for looking, not for changing."""

from __future__ import annotations

from django.contrib import admin

from apps.datasets.models import Dataset


@admin.register(Dataset)
class DatasetAdmin(admin.ModelAdmin):
    list_display = ("name", "version", "project", "source", "n_records", "created_at")
    raw_id_fields = ("parent", "run")
