"""Addresses that Django answers. Streams, inference and task apps stand in `synthweb/routes.py`.

An app that serves pages or API brings a `urls.py`; the order here is the order of matching.
"""

from __future__ import annotations

from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from synthweb import health

MOUNTED = (
    ("api/", "apps.synth.urls"),  # the Synth-compatible paths come first and answer in Synth's way
    ("api/v1/", "apps.api.urls"),
    ("", "apps.web.urls"),
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics_page, name="metrics"),
    path("admin/", admin.site.urls),
]


def _exists(module: str) -> bool:
    """Is the module part of this checkout? A missing parent package counts as no."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


urlpatterns += [path(prefix, include(module)) for prefix, module in MOUNTED if _exists(module)]
