"""The odd ends that the clients ask for: health, prices, balance, and the key of task apps."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from apps.api.auth import actor_of
from apps.synth import sealed, services

router = Router(tags=["account"])
FREE = {"self_hosted": True, "note": "self-hosted, free"}


class SealedKey(Schema):
    """An environment key, sealed with our public key."""

    name: str = "ENVIRONMENT_API_KEY"
    ciphertext_b64: str


@router.get("/health", auth=None)
def health(request: HttpRequest) -> dict[str, Any]:
    """That we answer; open, and tells nothing about anybody."""
    return {"status": "ok", "healthy": True, "service": "synthweb"}


@router.post("/v1/pricing/preflight")
def preflight(request: HttpRequest) -> dict[str, Any]:
    """Whatever is asked: nothing is charged here."""
    return {**FREE, "ok": True, "sufficient": True, "estimated_cost_cents": 0,
            "estimated_cost_usd": 0.0}  # fmt: skip


@router.get("/v1/balance/autumn-normalized")
def balance_normalized(request: HttpRequest) -> dict[str, Any]:
    """There is no balance to run out of."""
    return {**FREE, "balance_cents": 0, "balance_dollars": 0.0, "sufficient": True}


@router.get("/v1/balance/current")
def balance(request: HttpRequest) -> dict[str, Any]:
    """The same."""
    return {**FREE, "balance_cents": 0, "balance_dollars": 0.0}


@router.get("/v1/balance/usage/windows")
def usage_windows(request: HttpRequest, hours: str = "") -> dict[str, Any]:
    """Nothing was charged in any window."""
    del hours
    return {**FREE, "windows": []}


@router.get("/v1/crypto/public-key")
def public_key(request: HttpRequest) -> dict[str, Any]:
    """The key that clients seal their environment key with."""
    return {"public_key": sealed.public_key_b64(), "alg": sealed.ALGORITHM}


@router.post("/v1/env-keys")
def store_env_key(request: HttpRequest, body: SealedKey) -> dict[str, Any]:
    """Keep the project's environment key, encrypted; a second one takes the place of the first."""
    row = services.store_environment_key(
        actor=actor_of(request), name=body.name, ciphertext_b64=body.ciphertext_b64
    )
    return {"id": row.pk, "name": row.name, "stored": True,
            "updated_at": row.updated_at.isoformat()}  # fmt: skip


@router.get("/v1/env-keys/verify")
def verify_env_key(request: HttpRequest) -> dict[str, Any]:
    """Whether the project has an environment key; never the key."""
    return {"present": services.has_environment_key(project=actor_of(request).project)}
