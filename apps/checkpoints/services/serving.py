"""Wanting a model, and the serving process that a worker holds under a lease.

The database says what is wanted; a worker's serve slot claims the server row, starts the process,
and loads and unloads what `list_wanted` says. There is one server row: one process for all
checkpoints, whoever holds its token. Every write of the holder is conditional on the token.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils.timezone import now

from apps.checkpoints.models import Checkpoint, ModelServer, ServedModel, ServerState
from apps.providers.crypto import decrypt, encrypt
from apps.runs.clock import lease_end, lease_now
from apps.runs.services.doorbell import SERVE, send
from synthweb.bell import ring

SERVER_UID = "server-1"
LIVE = (ServerState.STARTING, ServerState.READY)
RETRY_AFTER = timedelta(seconds=10)  # a model that failed to load is tried again after this
RESTART_AFTER = timedelta(seconds=5)  # a server that crashed starts again this long after its start


class ServerClaim(NamedTuple):
    """The server held under a token; `secret` is the bearer token that its process must ask for."""

    server_id: int
    token: int
    secret: str


class WantedModel(NamedTuple):
    """What the process should have loaded. It knows a checkpoint by its uid (ids may collide)."""

    served_id: int
    checkpoint_id: int
    uid: str
    loaded: bool


def want_model(checkpoint: Checkpoint) -> ServedModel:
    """Say that a checkpoint should be served, and wake a worker. Safe to call at every request.

    Reads only while it is served; a server that crashed is started again after some seconds.
    """
    ready = ServedModel.objects.select_related("server").filter(
        checkpoint=checkpoint, state=ServerState.READY, server__state=ServerState.READY
    )
    served = ready.first()
    return served if served is not None else _want(checkpoint)


def _want(checkpoint: Checkpoint) -> ServedModel:
    with transaction.atomic():
        server, _ = ModelServer.objects.get_or_create(uid=SERVER_UID)
        ended = Q(state=ServerState.STOPPED) | Q(
            state=ServerState.FAILED, started_at__lt=now() - RESTART_AFTER
        )
        if ModelServer.objects.filter(ended, pk=server.pk).update(
            state=ServerState.WANTED, error="", created_at=now()
        ):
            server.state = ServerState.WANTED
        served, made = ServedModel.objects.get_or_create(
            checkpoint=checkpoint, defaults={"wanted_at": now(), "server": server}
        )
        again = served.state == ServerState.STOPPED or (
            served.state == ServerState.FAILED and now() - served.wanted_at > RETRY_AFTER
        )
        if again or (served.server_id is None and served.state != ServerState.FAILED):
            served.state, served.error, served.server = ServerState.WANTED, "", server
            served.wanted_at = now()
            served.save(update_fields=["state", "error", "server", "wanted_at"])
        if server.state == ServerState.WANTED:
            transaction.on_commit(lambda: ring_server(server.pk), robust=True)
        if made or again:
            ring("pages:checkpoints")
    return served


def stop_model(checkpoint: Checkpoint) -> None:
    """Nobody wants it any more: the process unloads it within a second or two. Safe twice."""
    ServedModel.objects.filter(checkpoint=checkpoint).update(state=ServerState.STOPPED, error="")
    ring("pages:checkpoints")


def ring_server(server_id: int) -> bool:
    """Wake a serve slot. False: the broker is away; the tick rings again."""
    return send(SERVE, [(server_id, "serve", 0)])


def claim_server(*, server_id: int, worker: str) -> ServerClaim | None:
    """Take a wanted server, or one whose holder is gone, with a fresh secret.

    Any number of workers may call this at once: one conditional UPDATE decides. None: not wanted,
    or another was faster.
    """
    server = ModelServer.objects.filter(pk=server_id).first()
    if server is None or server.state not in (ServerState.WANTED, *LIVE):
        return None
    free = ModelServer.objects.filter(pk=server_id, token=server.token, state=server.state)
    if server.state in LIVE:
        free = free.filter(lease_until__lt=lease_now())
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        won = free.update(
            state=ServerState.STARTING,
            token=server.token + 1,
            worker=worker,
            lease_until=lease_end(),
            address="",
            secret=encrypt(secret),
            error="",
            started_at=now(),
        )
        if not won:
            return None
        ServedModel.objects.filter(server_id=server_id, state__in=LIVE).update(
            state=ServerState.WANTED
        )
    ring("pages:checkpoints")
    return ServerClaim(server_id, server.token + 1, secret)


def renew_server(claim: ServerClaim) -> bool:
    """Prolong the lease; False: another holds the server now, or it was stopped."""
    return bool(_held(claim).update(lease_until=lease_end()))


def server_ready(claim: ServerClaim, *, address: str) -> bool:
    """The process answers at `address` (http://host:port). False: the lease is lost."""
    return bool(_held(claim).update(state=ServerState.READY, address=address.rstrip("/")))


def stop_server(claim: ServerClaim, *, error: str = "") -> bool:
    """The process has ended: idle, or `error` says why. False: the lease is lost.

    One that never got ready fails its models with the reason; one that crashed later only stops
    them, so that the next call starts it again.
    """
    was_ready = _held(claim).filter(state=ServerState.READY).exists()
    state = ServerState.FAILED if error else ServerState.STOPPED
    with transaction.atomic():
        held = _held(claim).update(state=state, error=error[:2000], address="", secret="")
        if held:
            models = ServedModel.objects.filter(server_id=claim.server_id)
            models.filter(state__in=(ServerState.WANTED, *LIVE)).update(
                state=ServerState.STOPPED if was_ready else state, error=error[:2000]
            )
            models.update(server=None)
    ring("pages:checkpoints")
    return bool(held)


def report_unreachable(address: str) -> bool:
    """Nobody listens at a ready server's address: another worker may take it at once.

    Its holder, if there still is one, loses the lease by the token and ends its process. False:
    the address is no ready server's any more.
    """
    with transaction.atomic():
        ready = ModelServer.objects.filter(address=address, state=ServerState.READY)
        server_id = ready.values_list("pk", flat=True).first()
        if server_id is None or not ready.update(
            state=ServerState.WANTED, token=F("token") + 1, address="", secret="", worker=""
        ):
            return False
        ServedModel.objects.filter(server_id=server_id, state__in=LIVE).update(
            state=ServerState.WANTED
        )
        transaction.on_commit(lambda: ring_server(server_id), robust=True)
    return True


def hand_back_server(claim: ServerClaim) -> bool:
    """The worker goes down: what is wanted stays wanted, for the next worker."""
    with transaction.atomic():
        held = _held(claim).update(state=ServerState.WANTED, address="", secret="", worker="")
        if held:
            models = ServedModel.objects.filter(server_id=claim.server_id, state__in=LIVE)
            models.update(state=ServerState.WANTED)
    return bool(held)


def requeue_lost_servers() -> int:
    """Make servers wanted again whose holder is gone, and ring for all wanted. For the tick."""
    lost = ModelServer.objects.filter(state__in=LIVE, lease_until__lt=lease_now())
    for server in lost:
        with transaction.atomic():
            back = ModelServer.objects.filter(
                pk=server.pk, token=server.token, lease_until__lt=lease_now(), state__in=LIVE
            ).update(state=ServerState.WANTED, address="", worker="")
            if back:
                ServedModel.objects.filter(server=server, state__in=LIVE).update(
                    state=ServerState.WANTED
                )
    wanted = list(ModelServer.objects.filter(state=ServerState.WANTED).values_list("pk", flat=True))
    for server_id in wanted:
        ring_server(server_id)
    return len(wanted)


def list_wanted(claim: ServerClaim) -> list[WantedModel]:
    """What the process should have loaded now; unload everything else."""
    rows = ServedModel.objects.filter(
        server_id=claim.server_id,
        server__token=claim.token,
        state__in=(ServerState.WANTED, *LIVE),
    ).order_by("wanted_at", "id")
    fields = rows.values_list("pk", "checkpoint_id", "checkpoint__uid", "state")
    return [WantedModel(pk, ck, uid, state == ServerState.READY) for pk, ck, uid, state in fields]


def model_ready(claim: ServerClaim, *, served_id: int) -> bool:
    """The process has loaded it. False: the lease is lost, or it was stopped meanwhile."""
    changed = _served(claim, served_id).update(state=ServerState.READY, error="")
    ring("pages:checkpoints")
    return bool(changed)


def model_failed(claim: ServerClaim, *, served_id: int, error: str) -> bool:
    """The process cannot load it; `error` is shown to whoever asks for it."""
    changed = _served(claim, served_id).update(state=ServerState.FAILED, error=error[:2000])
    ring("pages:checkpoints")
    return bool(changed)


def models_dropped(claim: ServerClaim, *, uids: Iterable[str]) -> int:
    """The process dropped these to make room; the next call to one asks for it again."""
    rows = ServedModel.objects.filter(
        server_id=claim.server_id,
        server__token=claim.token,
        checkpoint__uid__in=list(uids),
        state__in=LIVE,
    )
    return rows.update(state=ServerState.STOPPED, error="")


def touch_models(checkpoint_ids: Iterable[int]) -> None:
    """Note that models were used; called every few seconds for all of them at once."""
    ids = list(checkpoint_ids)
    ServedModel.objects.filter(checkpoint_id__in=ids).update(last_used_at=now())
    ModelServer.objects.filter(models__checkpoint_id__in=ids).update(last_used_at=now())


def secret_of(server: ModelServer) -> str:
    """The bearer token of the server's process."""
    return decrypt(server.secret)


def _held(claim: ServerClaim) -> QuerySet[ModelServer]:
    return ModelServer.objects.filter(pk=claim.server_id, token=claim.token, state__in=LIVE)


def _served(claim: ServerClaim, served_id: int) -> QuerySet[ServedModel]:
    return ServedModel.objects.filter(
        pk=served_id,
        server_id=claim.server_id,
        server__token=claim.token,
        state__in=(ServerState.WANTED, *LIVE),
    )
