"""The thread that decodes for one base model and takes waiting requests between two steps.

A request is submitted from the event loop and answered there; the thread owns model and batch.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from engine.serve.batch import Batch, Row
from engine.serve.prefixes import Prefixes

MAX_ROWS = 64  # decode together
MAX_JOIN = 32  # prompts read at once, so that running rows do not wait long
MAX_WAITING = 256  # more are told to come back (429)
GATHER_S = 0.004  # newcomers wait this long for others while there is work, to be read together
SMALL_MODEL = 4_000_000  # parameters
THREADS = torch.get_num_threads()  # before any worker changes it
IDLE_S = 2.0  # without a request, then freed memory goes back to the system


class QueueFull(Exception):
    """Too many requests wait for this model."""


@dataclass(slots=True)
class Ticket:
    """One request on its way. `tokens` gets None after the last token, or an exception.

    watched: each token is handed over too. Waking the event loop for every one costs, so only
    streams and requests with stop texts ask for it.
    """

    row: Row
    loop: asyncio.AbstractEventLoop
    watched: bool = True
    submitted: float = field(default_factory=time.monotonic)
    queue_ms: float = 0.0
    dropped: bool = False
    sent: int = 0
    tokens: asyncio.Queue[int | Exception | None] = field(default_factory=asyncio.Queue)

    def put(self, item: int | Exception | None) -> None:
        """Hand an item to the event loop; a loop that is gone waits for nothing."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.tokens.put_nowait, item)


class Worker:
    """Decodes for one model in its own thread until `close`."""

    def __init__(self, model: PreTrainedModel, name: str) -> None:
        self.batch = Batch(model.eval(), Prefixes())
        self._calls: deque[tuple[Callable[[Batch], None], Future[None]]] = deque()
        self._waiting: deque[Ticket] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self.n_active = 0
        self._n_together = 1  # requests that the last answered step ended
        self._thread = threading.Thread(target=self._run, name=f"decode {name}", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    def submit(self, ticket: Ticket) -> None:
        """Queue a request. Raises QueueFull; call from the event loop."""
        with self._wake:
            if len(self._waiting) >= MAX_WAITING:  # whoever hung up takes no place
                self._waiting = deque(waiting for waiting in self._waiting if not waiting.dropped)
            if self._closed or len(self._waiting) >= MAX_WAITING:
                raise QueueFull
            self._waiting.append(ticket)
            self._wake.notify()

    def call(self, change: Callable[[Batch], None], timeout_s: float = 120.0) -> None:
        """Do something to the batch between two steps and wait for it; its errors are raised."""
        done: Future[None] = Future()
        with self._wake:
            if self._closed:
                return
            self._calls.append((change, done))
            self._wake.notify()
        done.result(timeout_s)

    def close(self) -> None:
        """End the thread after the running step; open requests get an error."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        torch.set_num_threads(n_threads(self.batch.model))
        tickets: list[Ticket] = []
        while True:
            rows = self.batch.rows
            joining = self._take(idle=not rows, room=MAX_ROWS - len(rows))
            if joining is None:
                break
            try:
                self._do_calls()
                tickets = self._advance(self.batch, tickets, joining)
            except Exception as err:  # a request must never hang: whoever waits is told
                _tell([*tickets, *joining], err)
                self.batch.clear()
                tickets = []
            self.n_active = len(tickets)
        gone = RuntimeError("the model was unloaded")
        _tell([*tickets, *self._waiting], gone)
        for _, done in self._calls:
            done.set_exception(gone)

    def _take(self, *, idle: bool, room: int) -> list[Ticket] | None:
        """Requests that may join now; waits when there is nothing else to do. None: closed."""
        with self._wake:
            kept = idle  # memory that only the last requests needed
            while idle and not (self._waiting or self._calls or self._closed):
                if not self._wake.wait(IDLE_S if kept else None):
                    give_memory_back()
                    kept = False
            if self._closed:
                return None
            if self._should_gather(idle=idle):
                return []
            count = min(room, MAX_JOIN, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
        now = time.monotonic()
        for ticket in taken:
            ticket.queue_ms = (now - ticket.submitted) * 1000
        return [ticket for ticket in taken if not ticket.dropped]

    def _should_gather(self, *, idle: bool) -> bool:
        """Whether to let the first newcomer wait a step or two for the next.

        Callers that were answered together come back one after the other: reading each prompt by
        itself held up all others and cost a third of the throughput at 8 callers. A single caller
        never waits. Called with the lock held; when idle it waits here.
        """
        if not self._waiting or len(self._waiting) >= self._n_together:
            return False
        left = self._waiting[0].submitted + GATHER_S - time.monotonic()
        if left <= 0 or not idle:
            return left > 0
        until = time.monotonic() + left
        while len(self._waiting) < self._n_together and (left := until - time.monotonic()) > 0:
            self._wake.wait(left)
        return False

    def _do_calls(self) -> None:
        while self._calls:
            change, done = self._calls.popleft()
            try:
                done.set_result(change(self.batch))
            except Exception as err:  # it belongs to whoever called
                done.set_exception(err)

    def _advance(self, batch: Batch, tickets: list[Ticket], joining: list[Ticket]) -> list[Ticket]:
        """One step for those that run, then the newcomers' prompts. Returns who still runs."""
        dropped = [ticket.row for ticket in tickets if ticket.dropped]
        if dropped:
            batch.drop(dropped)
        if batch.rows:
            batch.step()
        if joining:
            batch.join([ticket.row for ticket in joining])
        running = []
        for ticket in [*tickets, *joining]:
            if ticket.watched:
                for token in ticket.row.completion[ticket.sent :]:
                    ticket.put(token)
                ticket.sent = len(ticket.row.completion)
            if ticket.row.finish_reason:
                ticket.put(None)
            else:
                running.append(ticket)
        n_ended = len(tickets) + len(joining) - len(running)
        self._n_together = n_ended or self._n_together
        return running


def n_threads(model: PreTrainedModel) -> int:
    """Cores for one step of a model; of a small one, one: two only wait for each other.

    Measured at 0.7 M parameters and 8 rows: 1.9 ms a step on one core, 2.2 on two.
    """
    small = sum(weight.numel() for weight in model.parameters()) < SMALL_MODEL
    return 1 if small else THREADS


def give_memory_back() -> None:
    """Hand freed memory to the system; a C library that cannot is left alone.

    A growing cache asks for another size every step, and glibc keeps what was freed between: 750
    requests left 140 MB in a process with two models of 1 MB. Mapping each tensor instead keeps it
    small too, but tripled the time of a request.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def seeded_generator(seed: int | None) -> torch.Generator:
    """A row's own random numbers: with a seed the answer does not depend on its neighbours."""
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed % 2**63)
    return generator


def _tell(tickets: list[Ticket], error: Exception) -> None:
    for ticket in tickets:
        ticket.put(error)
