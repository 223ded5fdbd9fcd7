"""The serve slot: one process that holds every wanted checkpoint, under a lease as a shard has it.

The database says what is wanted (`apps.checkpoints.services`); this supervisor makes the process
follow it, publishes its address, and ends it when nobody asked for a while.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from pathlib import Path

import httpx
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils.timezone import now

from apps.checkpoints.models import Checkpoint, ModelServer
from apps.checkpoints.services import (
    ServerClaim,
    WantedModel,
    claim_server,
    hand_back_server,
    list_wanted,
    local_folder,
    model_failed,
    model_ready,
    models_dropped,
    renew_server,
    server_ready,
    stop_server,
)
from apps.runs.services import Lease
from apps.worker.child import STDOUT, Child
from apps.worker.keeper import LeaseKeeper
from apps.worker.outcome import judge
from apps.worker.patience import patiently
from apps.worker.slots import WORKER_NAME
from engine.errors import EngineError

log = logging.getLogger(__name__)

POLL_S = 0.5
START_S = 120.0  # torch alone takes 5 to 20 s on a busy laptop
LOAD_S = 300.0
STOP_GRACE_S = 3.0


def run_server(server_id: int, stopping: threading.Event) -> None:
    """Hold a model server until it is idle, lost, or the worker stops. Nothing to do: returns."""
    claim = claim_server(server_id=server_id, worker=WORKER_NAME)
    if claim is None:
        return

    def renew() -> Lease:
        return Lease.HELD if renew_server(claim) else Lease.LOST

    directory = Path(settings.RUN_DIR) / "serve" / f"{claim.server_id}-{claim.token}"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with LeaseKeeper(renew, lambda: Lease.HELD) as keeper:
            _Server(claim, keeper, stopping, directory).run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class _Server:
    """One serving process and what it has loaded."""

    def __init__(
        self,
        claim: ServerClaim,
        keeper: LeaseKeeper,
        stopping: threading.Event,
        directory: Path,
    ) -> None:
        self.claim, self.keeper, self.stopping = claim, keeper, stopping
        self.directory = directory
        self.loaded: set[str] = set()
        extra = {"SYNTHWEB_SERVE_TOKEN": claim.secret}
        self.child = Child(["engine.serve", "--port", "0"], directory, keeper.read_fd, extra)
        self.client = httpx.Client(
            headers={"Authorization": f"Bearer {claim.secret}"}, timeout=LOAD_S, trust_env=False
        )

    def run(self) -> None:
        """Follow the database until the end, then say how it ended."""
        error = ""
        try:
            error = self._serve()
        except (EngineError, OSError, httpx.HTTPError) as err:
            error = str(err) or type(err).__name__
            log.exception("the model server failed")
        finally:
            self._end_child()
            self.client.close()
        if self.keeper.lost.is_set():
            return
        if self.stopping.is_set():
            patiently(lambda: hand_back_server(self.claim), stop=self.stopping.is_set)
        else:
            patiently(lambda: stop_server(self.claim, error=error))

    def _serve(self) -> str:
        """Start, then load and unload as wanted. Returns why it ended; "" for a good reason."""
        port = self._wait_for_port()
        if port is None:
            return self._why_it_died()
        self.client.base_url = f"http://127.0.0.1:{port}"
        address = f"http://127.0.0.1:{port}"
        if not patiently(lambda: server_ready(self.claim, address=address)):
            return ""
        while not (self.stopping.is_set() or self.keeper.lost.is_set()):
            if self.child.wait(POLL_S) is not None:
                return self._why_it_died()
            try:
                self._follow(list_wanted(self.claim))
                if self._is_idle():
                    return ""
            except (DatabaseError, InterfaceError) as err:  # what is loaded is served on
                log.warning("the model server waits for the database: %s", err)
                connection.close()
        return ""

    def _wait_for_port(self) -> int | None:
        """The port that the process tells on its first line; None when it ended or is too slow."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and not self.stopping.is_set():
            line = (self.directory / STDOUT).read_bytes().partition(b"\n")
            if line[1]:
                return int(json.loads(line[0])["port"])
            if self.child.wait(0.1) is not None:
                return None
        return None

    def _follow(self, wanted: list[WantedModel]) -> None:
        """Load what is wanted and not loaded, unload what is no longer wanted."""
        for model in wanted:
            if model.uid not in self.loaded:
                self._load(model)
            elif not model.loaded:
                model_ready(self.claim, served_id=model.served_id)
        for uid in self.loaded - {model.uid for model in wanted}:
            answer = self.client.post("/unload", json={"model_id": uid})
            if answer.status_code != httpx.codes.NOT_FOUND:  # it went by itself, for want of room
                answer.raise_for_status()
            self.loaded.discard(uid)

    def _load(self, model: WantedModel) -> None:
        """Lay the checkpoint on this disk and load it; what goes wrong is the model's error."""
        try:
            folder = local_folder(Checkpoint.objects.get(pk=model.checkpoint_id))
            body = {"model_id": model.uid, "path": str(folder)}
            answer = self.client.post("/load", json=body)
        except (EngineError, OSError) as err:
            model_failed(self.claim, served_id=model.served_id, error=str(err))
            return
        if answer.status_code == httpx.codes.OK:
            self._note_loaded(set(answer.json()["loaded"]))
            model_ready(self.claim, served_id=model.served_id)
        else:
            model_failed(self.claim, served_id=model.served_id, error=answer.text[:500])

    def _note_loaded(self, loaded: set[str]) -> None:
        """What the process holds after a load: one that made room is no longer ready.

        Else its callers would be sent to a process that does not know it, and take that for dead.
        """
        models_dropped(self.claim, uids=self.loaded - loaded)
        self.loaded = loaded

    def _is_idle(self) -> bool:
        """Whether nobody used any model for long enough."""
        row = ModelServer.objects.values_list("last_used_at", "started_at").get(
            pk=self.claim.server_id
        )
        last = max(moment for moment in row if moment is not None)
        return (now() - last).total_seconds() > settings.SERVE_IDLE_SECONDS

    def _why_it_died(self) -> str:
        code = self.child.wait(0.0)
        if code is None:
            return f"The model server did not answer within {START_S:.0f} s."
        tail = self.child.stderr_tail().rpartition("\n")[2]
        outcome = judge(code, None, asked=False, last_line=tail)
        return str((outcome.error or {}).get("message", "")).replace("engine", "model server")

    def _end_child(self) -> None:
        self.child.ask_to_stop()
        if self.child.wait(STOP_GRACE_S) is None:
            self.child.kill()
