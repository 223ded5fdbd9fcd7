"""`/api/v1`: whatever a page can do, a program can do. Endpoints parse, call one service or query,
and answer; errors are in `errors.py`, repeated POSTs in `idempotency.py`, shapes in `shapes.py`,
bodies are read by `parser.py`.
"""

from __future__ import annotations

from ninja import NinjaAPI
from ninja.openapi.docs import Swagger

from apps.api import errors
from apps.api.auth import ActorAuth
from apps.api.idempotency import idempotent
from apps.api.parser import StrictParser
from apps.api.routers import (
    account,
    checkpoints,
    configs,
    datasets,
    people,
    pipelines,
    providers,
    runs,
    traces,
    views,
    webhooks,
)

api = NinjaAPI(
    title="synthweb",
    version="1",
    urls_namespace="api",
    description=(
        "Everything that the pages can do. Send `Authorization: Bearer KEY` or `X-API-Key`. "
        "A config may be sent as TOML, with `Content-Type: application/toml`. "
        "Lists answer `{items, next}`; pass `next` as `cursor`. Every POST takes "
        "`Idempotency-Key`. Errors are `{error: {code, message, hint, fields}}`."
    ),
    auth=ActorAuth(),
    parser=StrictParser(),
    docs=Swagger(settings={"persistAuthorization": True}),
)
errors.install(api)
api.add_decorator(idempotent, mode="view")
for prefix, router in (
    ("", account.router),
    ("", people.router),
    ("", configs.router),
    ("", runs.router),
    ("", traces.router),
    ("", datasets.router),
    ("", checkpoints.router),
    ("", providers.router),
    ("", pipelines.router),
    ("", webhooks.router),
    ("", views.router),
):
    api.add_router(prefix, router)
