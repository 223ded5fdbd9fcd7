"""All writes of configs, runs, shards and attempts; the only writer of their states.

`states.py` the state machine, `launch.py` making and queueing, `verbs.py` what people do,
`leases.py` what workers do, `lost.py` workers that vanished, `workers.py` workers that report,
`finish.py` the end of a run, `doorbell.py` ringing workers.
What an engine tells is stored by `apps.runs.ingest`.
"""

from apps.runs.services.configs import store_config
from apps.runs.services.doorbell import ring_run, ring_workers
from apps.runs.services.finish import settle_run
from apps.runs.services.launch import InputPlan, ShardPlan, create_run, fail_draft, queue_run
from apps.runs.services.leases import (
    Claim,
    Lease,
    Settled,
    check_lease,
    claim_shard,
    fail_attempt,
    finish_shard,
    hand_back,
    renew_lease,
)
from apps.runs.services.lost import abandon_cancelled, requeue_lost, settle_over
from apps.runs.services.states import add_event, move_run
from apps.runs.services.verbs import (
    cancel_run,
    delete_run,
    resume_run,
    retry_failed,
    set_notes,
    set_priority,
    set_tags,
)
from apps.runs.services.workers import SWEEPER, TICKER, forget_worker, report_worker, take_turn

__all__ = [
    "SWEEPER",
    "TICKER",
    "Claim",
    "InputPlan",
    "Lease",
    "Settled",
    "ShardPlan",
    "abandon_cancelled",
    "add_event",
    "cancel_run",
    "check_lease",
    "claim_shard",
    "create_run",
    "delete_run",
    "fail_attempt",
    "fail_draft",
    "finish_shard",
    "forget_worker",
    "hand_back",
    "move_run",
    "queue_run",
    "renew_lease",
    "report_worker",
    "requeue_lost",
    "resume_run",
    "retry_failed",
    "ring_run",
    "ring_workers",
    "set_notes",
    "set_priority",
    "set_tags",
    "settle_over",
    "settle_run",
    "store_config",
    "take_turn",
]
