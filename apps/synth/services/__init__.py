"""All writes of Synth's files, jobs (`jobs.py`) and environment keys (`keys.py`)."""

from apps.synth.services.jobs import (
    cancel_job,
    create_rl_job,
    create_sft_job,
    delete_file,
    start_job,
    store_file,
)
from apps.synth.services.keys import (
    has_environment_key,
    store_environment_key,
    verify_task_app,
)

__all__ = [
    "cancel_job",
    "create_rl_job",
    "create_sft_job",
    "delete_file",
    "has_environment_key",
    "start_job",
    "store_environment_key",
    "store_file",
    "verify_task_app",
]
