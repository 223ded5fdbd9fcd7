"""One attempt from claim to end: prepare, start the engine, ingest what it tells, judge, let go.

Any step may be the last one before this process is killed: what is in the database then is enough
for the next attempt. Every write carries the token, so an attempt that was replaced ends silently.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial

from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils.timezone import now

from apps.runs.ingest import MAX_EVENTS, Source, add_values, ingest_ready
from apps.runs.models import Event, Shard, ShardState
from apps.runs.services import (
    Claim,
    Settled,
    add_event,
    check_lease,
    fail_attempt,
    finish_shard,
    hand_back,
    renew_lease,
)
from apps.worker.child import Child
from apps.worker.inputs import prepare_inputs
from apps.worker.keeper import CANCEL, LeaseKeeper
from apps.worker.outcome import Outcome, judge
from apps.worker.patience import patiently
from apps.worker.resources import Sampler
from apps.worker.rundir import leftovers, make_directory, n_lost_games, told_result
from engine.errors import EngineError, LeaseLost

log = logging.getLogger(__name__)

POLL_S, MAX_POLL_S = 0.15, 0.35  # between two looks at the events: at most seven a second
SHARE = 0.03  # of a core, for taking in what is told while the engine works
CANCEL_GRACE_S = 9.0  # for an orderly stop after a cancel; with detection below 15 s
STOP_GRACE_S = 3.0  # when the worker itself is stopping


def pause_s(n_events: int, spent_s: float) -> float:
    """How long to leave the events alone after a batch of `n_events` that took `spent_s` of CPU.

    Behind a full batch there is more already. Behind another the engine may be in the middle of a
    sentence: what it says in the next milliseconds belongs into one transaction. A slow machine
    looks less often, as long as pictures stay fresh, to leave the core to those who play.
    """
    if n_events >= MAX_EVENTS:
        return 0.0
    return min(max(POLL_S, spent_s / SHARE), MAX_POLL_S)


def supervise(claim: Claim, stopping: threading.Event) -> Settled | None:
    """Carry one attempt to its end. None: another took over, or the database stayed away."""
    attempt = _Attempt(claim, stopping)
    renew, check = partial(renew_lease, claim), partial(check_lease, claim)
    try:
        with LeaseKeeper(renew, check) as keeper:
            return attempt.run(keeper)
    except LeaseLost as err:
        log.warning("%s", err)
        return None
    except Exception:
        log.exception("attempt %s of shard %s", claim.token, claim.shard_id)
        return None


class _Attempt:
    """The steps of one attempt, sharing its claim."""

    def __init__(self, claim: Claim, stopping: threading.Event) -> None:
        self.claim = claim
        self.stopping = stopping

    def run(self, keeper: LeaseKeeper) -> Settled:
        try:
            shard = patiently(self._load, stop=self.stopping.is_set)
            for source in leftovers(shard, self.claim.token):
                self._drain(source)
            told = told_result(shard)
            if told is not None:  # it was done; only its worker did not live to say so
                return self._close(Outcome("succeeded", 0, told.get("values") or {}), keeper)
            if keeper.cancel.is_set() or self.stopping.is_set():
                return self._close(Outcome("stopped", 0), keeper)
            return self._close(self._play(shard, keeper), keeper)
        except (LeaseLost, OperationalError, InterfaceError):
            raise  # another holds it, or the database stayed away: nothing can be written
        except Exception as err:  # an event of an odd shape is a KeyError: the run must say it
            return self._break(err)

    def _load(self) -> Shard:
        return Shard.objects.select_related("run").get(pk=self.claim.shard_id)

    def _play(self, shard: Shard, keeper: LeaseKeeper) -> Outcome:
        """Start the engine and stay with it until it has ended and all it told is ingested."""
        prepared = prepare_inputs(shard.run, self.claim.attempt_id)
        directory = make_directory(self.claim, shard, prepared.inputs)
        source = Source(self.claim.attempt_id, directory)
        arguments = ["engine", str(directory)]
        child = Child(arguments, directory, keeper.read_fd, prepared.environment)
        try:
            exit_code = self._watch(child, source, keeper, shard)
        finally:
            child.kill()
        self._drain(source)
        result = Event.objects.filter(attempt=self.claim.attempt_id, type="result").first()
        asked = child.killed or keeper.cancel.is_set() or self.stopping.is_set()
        tail = child.stderr_tail()
        outcome = judge(
            exit_code,
            result.data if result else None,
            asked=asked,
            last_line=tail.rpartition("\n")[2],
            n_lost=n_lost_games(self.claim.attempt_id),
        )
        if outcome.end == "failed" and tail:
            add_event(shard.run, "log", {"level": "error", "message": tail, "source": "stderr"})
        return outcome

    def _watch(self, child: Child, source: Source, keeper: LeaseKeeper, shard: Shard) -> int:
        """Ingest while the child lives; pass on a cancel or a stop. Returns its exit code."""
        sampler = Sampler(child.pid)
        while True:
            began = time.thread_time()
            n_events = self._ingest(source)
            spent_s = time.thread_time() - began
            _measure(sampler, shard)
            exit_code = child.wait(pause_s(n_events, spent_s))
            if exit_code is not None:
                return exit_code
            if keeper.lost.is_set():
                child.kill()
                raise LeaseLost(
                    f"Attempt {self.claim.token} of shard {self.claim.shard_id} was replaced."
                )
            if keeper.cancel.is_set():
                keeper.tell(CANCEL)
            if keeper.cancel.is_set() or self.stopping.is_set():
                child.ask_to_stop()
                if child.overdue(STOP_GRACE_S if self.stopping.is_set() else CANCEL_GRACE_S):
                    child.kill()

    def _ingest(self, source: Source) -> int:
        action = partial(ingest_ready, source, self.claim)
        return patiently(action, stop=self.stopping.is_set)

    def _drain(self, source: Source) -> None:
        """Ingest all that is complete in the file."""
        while self._ingest(source):
            pass

    def _close(self, outcome: Outcome, keeper: LeaseKeeper) -> Settled:
        """Let go of the shard as the outcome says."""
        return patiently(partial(self._settle, outcome, keeper), stop=self.stopping.is_set)

    def _settle(self, outcome: Outcome, keeper: LeaseKeeper) -> Settled:
        claim, code = self.claim, outcome.exit_code
        if outcome.end == "succeeded":
            return finish_shard(claim, ShardState.SUCCEEDED, values=outcome.values, exit_code=code)
        if outcome.end == "stopped" and keeper.cancel.is_set():
            return finish_shard(
                claim, ShardState.CANCELLED, values=outcome.values or None, exit_code=code
            )
        code_name = (outcome.error or {}).get("code")
        if outcome.end == "stopped" or (code_name == "lease_lost" and keeper.away):
            why = "its worker was stopped" if self.stopping.is_set() else "its engine was stopped"
            return hand_back(claim, why=why, exit_code=code)
        error = outcome.error or {"code": "failed", "message": "The engine failed.", "hint": ""}
        return fail_attempt(claim, error=error, retryable=outcome.retryable, exit_code=code)

    def _break(self, err: Exception) -> Settled:
        """End the attempt because of an error on our side of the child."""
        known = err if isinstance(err, EngineError) else None
        log.warning(
            "attempt %s of shard %s: %s",
            *(self.claim.token, self.claim.shard_id, err),
            exc_info=None if known else err,
        )
        message = str(err) if known else f"{type(err).__name__}: {err}"
        hint = known.hint if known else "The worker's log has the traceback."
        error = {"code": known.code if known else "worker_error", "message": message, "hint": hint}
        retryable = known.retryable if known else True
        action = partial(fail_attempt, self.claim, error=error, retryable=retryable)
        return patiently(action, stop=self.stopping.is_set)


def _measure(sampler: Sampler, shard: Shard) -> None:
    """Keep what the engine takes of the machine; of a run's first shard only, for curves of many
    would mix. A sample that cannot be stored is left out: it must never end an attempt.
    """
    values = sampler.sample() if shard.index == 0 else None
    if values is None:
        return
    began = shard.run.started_at or now()
    try:
        add_values(shard.run, step=int((now() - began).total_seconds()), values=values)
    except DatabaseError as err:
        log.warning("a sample of run %s is not kept: %s", shard.run_id, err)
