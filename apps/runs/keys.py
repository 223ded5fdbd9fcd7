"""The key that a worker hands to an engine child so that it may call our own models.

Signed with SECRET_KEY and short-lived, so whoever answers the call checks it without the database:
a run goes on while the database is away. It opens inference for one project, nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

from django.core import signing

# What engine children find their keys under.
RUN_KEY = "SYNTHWEB_RUN_KEY"
PROVIDER_KEY = "SYNTHWEB_PROVIDER_KEY"
TASK_APP_KEY = "SYNTHWEB_TASK_APP_KEY"

PREFIX = "rk_"
SALT = "synthweb.run-key"
MAX_AGE_S = 24 * 3600


class RunKey(NamedTuple):
    """Whom a call from an engine belongs to."""

    project_id: int
    run_id: int
    attempt_id: int


def make_run_key(project_id: int, run_id: int, attempt_id: int) -> str:
    """A key for one attempt, valid for a day."""
    signer = signing.TimestampSigner(salt=SALT, sep="~")
    return PREFIX + signer.sign(f"{project_id}.{run_id}.{attempt_id}")


def read_run_key(clear: str) -> RunKey | None:
    """What a key says; None when it is forged, expired or something else."""
    if not clear.startswith(PREFIX):
        return None
    signer = signing.TimestampSigner(salt=SALT, sep="~")
    try:
        value = signer.unsign(clear.removeprefix(PREFIX), max_age=MAX_AGE_S)
        project_id, run_id, attempt_id = (int(part) for part in value.split("."))
    except (signing.BadSignature, ValueError):
        return None
    return RunKey(project_id, run_id, attempt_id)
