"""All writes of checkpoints and their servers: `serving.py`; files on disk: `files.py`;
what only serves resume: `resume.py`.

Rows of checkpoints are made by `apps.checkpoints.ingest`.
"""

from apps.checkpoints.services.files import local_folder
from apps.checkpoints.services.registry import delete_checkpoint, request_serve, request_stop
from apps.checkpoints.services.resume import keep_newest, sweep_resume
from apps.checkpoints.services.serving import (
    ServerClaim,
    WantedModel,
    claim_server,
    hand_back_server,
    list_wanted,
    model_failed,
    model_ready,
    models_dropped,
    renew_server,
    report_unreachable,
    requeue_lost_servers,
    ring_server,
    secret_of,
    server_ready,
    stop_model,
    stop_server,
    touch_models,
    want_model,
)

__all__ = [
    "ServerClaim",
    "WantedModel",
    "claim_server",
    "delete_checkpoint",
    "hand_back_server",
    "keep_newest",
    "list_wanted",
    "local_folder",
    "model_failed",
    "model_ready",
    "models_dropped",
    "renew_server",
    "report_unreachable",
    "request_serve",
    "request_stop",
    "requeue_lost_servers",
    "ring_server",
    "secret_of",
    "server_ready",
    "stop_model",
    "stop_server",
    "sweep_resume",
    "touch_models",
    "want_model",
]
