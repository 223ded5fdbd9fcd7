"""Webhooks: an address that is told, signed, when a run or pipeline ends.

The ticker notices what ended and sends it from a thread of its own, so a server that hangs holds
nothing up. Every call passes the rules of `apps/providers/guard.py`; redirects are not followed.
Signed as `X-Synthweb-Signature: t=SECONDS,v1=HMAC-SHA256(secret, "SECONDS.BODY")` in hex. A
receiver may hear the same delivery twice (its id is in `X-Synthweb-Delivery`), never half of one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils.timezone import now

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Project, Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.launch.models import Delivery, Pipeline, PipelineState, Webhook
from apps.providers.asking import TIMEOUT_S, Answer, post
from apps.providers.crypto import decrypt, encrypt
from apps.providers.urls import check_url
from apps.runs.models import Run, RunState

MAX_HOOKS = 20
MAX_ANSWER = 300
BACK_OFF_S = (10, 60, 300, 1800)  # after the first, second … failed try; then it is given up
AT_ONCE = 16
KEEP = timedelta(days=14)
# An end is committed a little after the moment it names: what is looked at overlaps by this much.
OVERLAP = timedelta(minutes=5)
_OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class Letter(NamedTuple):
    """A signed POST, ready to go."""

    url: str
    body: bytes
    headers: dict[str, str]


class NewWebhook(NamedTuple):
    """A webhook just made; `secret` is shown once."""

    webhook: Webhook
    secret: str


def create_webhook(*, actor: Actor, url: str) -> NewWebhook:
    """Tell `url` of every run and pipeline that ends from now on.

    Raises Refused(422) for an address that must not be called, or the twenty-first of a project.
    """
    actor.require(Role.ADMIN)
    url = url.strip()
    if len(url) > 500:
        raise Refused("bad_url", "The address is longer than 500 characters.", status=422)
    parts = check_url(url)
    if Webhook.objects.filter(project=actor.project).count() >= MAX_HOOKS:
        raise Refused("too_many", f"A project has at most {MAX_HOOKS} webhooks.", status=422)
    secret = f"whsec_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        hook = Webhook.objects.create(
            project=actor.project, url=url, encrypted_secret=encrypt(secret), seen_until=now()
        )
        detail = {"origin": parts.origin}
        record(actor=actor, verb="webhook.created", target=f"webhook:{hook.pk}", detail=detail)
    return NewWebhook(hook, secret)


def get_webhook(*, project: Project, webhook_id: int) -> Webhook:
    """A webhook of the project. Raises Refused(404)."""
    hook = Webhook.objects.filter(project=project, pk=webhook_id).first()
    if hook is None:
        raise not_found("webhook", webhook_id)
    return hook


def delete_webhook(*, actor: Actor, webhook: Webhook) -> None:
    """Tell it nothing more, and forget what it was told. Safe twice."""
    actor.require(Role.ADMIN)
    with transaction.atomic():
        Webhook.objects.filter(pk=webhook.pk, project=actor.project).delete()
        record(actor=actor, verb="webhook.deleted", target=f"webhook:{webhook.pk}")


def test_webhook(*, actor: Actor, webhook: Webhook) -> Delivery:
    """Send a test now, once, and say what came back. Blocks for up to ten seconds."""
    actor.require(Role.ADMIN)
    moment = now()
    delivery = Delivery.objects.create(
        webhook=webhook, event="test", target=f"user:{actor.user.pk}", ended_at=moment,
        body={"event": "test", "project": actor.project.slug},
        next_try_at=moment + timedelta(minutes=1),  # no ticker is to be faster
    )  # fmt: skip
    _send_all([delivery])
    Delivery.objects.filter(pk=delivery.pk).update(next_try_at=None)
    delivery.refresh_from_db()
    return delivery


test_webhook.__test__ = False  # type: ignore[attr-defined]  # a verb, not a test


def notice_ended() -> int:
    """Note what ended since the last look, for each webhook; how much that is. For the tick.

    Safe at any time and by any number at once: an end is noted once for each webhook.
    """
    n_new, moment = 0, now()
    for hook in Webhook.objects.select_related("project"):
        since = max(hook.seen_until - OVERLAP, hook.created_at)
        rows = [*_ended_runs(hook, since), *_ended_pipelines(hook, since)]
        before = Delivery.objects.filter(webhook=hook).count()
        Delivery.objects.bulk_create(rows, ignore_conflicts=True)
        n_new += Delivery.objects.filter(webhook=hook).count() - before
        Webhook.objects.filter(pk=hook.pk).update(seen_until=moment)
    return n_new


def send_due() -> int:
    """Send what is due, at most AT_ONCE at a time; how many. For the tick, in its own thread.

    Takes as long as the slowest server may: ten seconds. Safe by any number at once: each try is
    taken by a conditional UPDATE. Whoever dies after it leaves the next try.
    """
    Delivery.objects.filter(next_try_at=None, ended_at__lt=now() - KEEP).delete()
    due = Delivery.objects.filter(next_try_at__lte=now()).select_related("webhook")
    return _send_all(list(due.order_by("next_try_at", "id")[:AT_ONCE]))


def _send_all(due: list[Delivery]) -> int:
    taken = [delivery for delivery in due if _take(delivery)]
    if not taken:
        return 0
    letters = [_letter(delivery) for delivery in taken]
    with ThreadPoolExecutor(max_workers=len(taken)) as pool:
        answers = list(pool.map(_post, letters))
    for delivery, answer in zip(taken, answers, strict=True):
        _note(delivery, answer)
    return len(taken)


def _take(delivery: Delivery) -> bool:
    """Count the try and set the moment of the next, unless another ticker was faster."""
    n, was = delivery.n_tries, delivery.next_try_at
    wait_s = BACK_OFF_S[n] if n < len(BACK_OFF_S) else None
    after = now() + timedelta(seconds=wait_s) if wait_s is not None else None
    mine = Delivery.objects.filter(pk=delivery.pk, n_tries=n, next_try_at=was)
    return bool(mine.update(n_tries=n + 1, next_try_at=after, tried_at=now()))


def _post(letter: Letter | Refused) -> Answer:
    """Runs in a thread, without the database."""
    if isinstance(letter, Refused):
        return Answer(0, b"", f"{letter.message} {letter.hint}".strip(), 0.0)
    return post(letter.url, letter.body, letter.headers, keep=MAX_ANSWER, timeout_s=TIMEOUT_S)


def _letter(delivery: Delivery) -> Letter | Refused:
    """What to send; the refusal when the secret cannot be read (see crypto.py)."""
    try:
        secret = decrypt(delivery.webhook.encrypted_secret)
    except Refused as err:
        return err
    body = json.dumps({**delivery.body, "delivery": delivery.pk}).encode()
    stamp = str(int(time.time()))
    return Letter(
        delivery.webhook.url,
        body,
        {
            "Content-Type": "application/json",
            "User-Agent": "synthweb",
            "X-Synthweb-Event": delivery.event,
            "X-Synthweb-Delivery": str(delivery.pk),
            "X-Synthweb-Signature": sign(secret, stamp, body),
        },
    )


def sign(secret: str, stamp: str, body: bytes) -> str:
    """The signature header of a body sent at `stamp` (seconds since 1970)."""
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256)
    return f"t={stamp},v1={digest.hexdigest()}"


def _note(delivery: Delivery, answer: Answer) -> None:
    ok = 200 <= answer.status < 300
    words = answer.error or answer.body.decode("utf-8", "replace").replace("\0", "")
    changes: dict[str, Any] = {"ok": ok, "status": answer.status, "answer": words[:MAX_ANSWER]}
    if ok:
        changes["next_try_at"] = None
    Delivery.objects.filter(pk=delivery.pk).update(**changes)


def _ended_runs(hook: Webhook, since: datetime) -> list[Delivery]:
    rows = Run.objects.filter(project=hook.project, state__in=_OVER, ended_at__gt=since)
    return [
        _delivery(hook, "run", run, {"kind": run.kind, "model": run.model, "job_id": run.job_id})
        for run in rows.order_by("ended_at")[:1000]
    ]


def _ended_pipelines(hook: Webhook, since: datetime) -> list[Delivery]:
    rows = Pipeline.objects.filter(project=hook.project, ended_at__gt=since)
    over = rows.exclude(state=PipelineState.RUNNING).order_by("ended_at")
    return [_delivery(hook, "pipeline", pipeline, {}) for pipeline in over[:1000]]


def _delivery(hook: Webhook, what: str, row: Run | Pipeline, more: dict[str, Any]) -> Delivery:
    assert row.ended_at is not None  # noqa: S101  (the filter says so)
    about = {
        "id": row.pk, "name": row.name, "state": row.state, "error": row.error,
        "ended_at": row.ended_at.isoformat(), **more,
        "url": f"{settings.PUBLIC_URL}/{what}s/{row.pk}/",
    }  # fmt: skip
    event = f"{what}.{row.state}"
    body = {"event": event, "project": hook.project.slug, what: about}
    return Delivery(
        webhook=hook, event=event, target=f"{what}:{row.pk}", ended_at=row.ended_at, body=body,
        next_try_at=now(),
    )  # fmt: skip
