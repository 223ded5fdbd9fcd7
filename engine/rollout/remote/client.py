"""Calls a task app's `/rollout`: one long call an episode, bounded in time, size and tries.

Lives here: sending, deadlines, retries. Not here: what the answer means (`answers.py`).
A rollout that is given up is told so (`/run/abort`), so that it stops to cost model calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import TaskError
from engine.llm.budget import RetryBudget, backoff_s, parse_retry_after
from engine.llm.client import ERROR_EXCERPT_BYTES, RETRYABLE_STATUS
from engine.llm.redact import without_key
from engine.llm.target import read_target
from engine.llm.transport import Answer, KeepAlive, TransportError

ABORT_S = 2.0
_HINTS = {
    400: "It does not know something in the request; its log should say what.",
    401: "Enter its ENVIRONMENT_API_KEY again under Settings → Providers.",
    403: "Enter its ENVIRONMENT_API_KEY again under Settings → Providers.",
    404: "The address has no /rollout: name the one under which /health lies.",
    422: "It wants another request; its log should say which key.",
    429: "Lower the run's concurrency, or the calls at once under Settings → Providers.",
}


@dataclass(frozen=True, slots=True)
class TaskAppOptions:
    """Limits of one client; all waits in seconds."""

    timeout_s: float = 600.0
    """For a whole episode, its last byte included."""
    max_concurrent: int = 32
    """Episodes in flight at once; further ones wait their turn."""
    rps: float = 0.0
    """Episodes started in a second; 0 is no limit."""
    connect_timeout_s: float = 10.0
    max_tries: int = 3
    """Of one episode, the first included; every further one also takes from the run's budget."""
    max_retry_after_s: float = 90.0
    max_answer_bytes: int = 32 * 1024 * 1024
    address: str = ""
    """The checked IP address of the URL's host; the name is still used for TLS and Host."""


class TaskAppClient:
    """Calls one task app. `key` is sent in the headers in which task apps look, never repeated."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str = "",
        options: TaskAppOptions | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self.url = base_url.rstrip("/")
        self.options = options or TaskAppOptions()
        self.budget = budget or RetryBudget(100)
        self._key = key
        self._rng = random.Random()
        self._slots = asyncio.Semaphore(self.options.max_concurrent)
        self._next_start = 0.0
        self._aborts: set[asyncio.Task[None]] = set()
        headers = {"Authorization": f"Bearer {key}", "X-API-Key": key} if key else {}
        self._heads: dict[str, bytes] = {}
        for path in ("/rollout", "/run/abort"):
            origin, self._heads[path] = read_target(
                self.url + path, address=self.options.address, headers=headers, what="task app"
            )
        # A fresh connection an episode: that an app died in the middle of one must not look like a
        # kept connection that it closed meanwhile, which is replaced without a word.
        self._http = KeepAlive(origin, connect_timeout_s=self.options.connect_timeout_s, max_idle=0)

    async def rollout(self, body: Mapping[str, Any]) -> tuple[Any, int]:
        """Play one episode there: (the answer's JSON, how often it was tried again).

        `run_id` gets the number of the try behind it, so that no two tries are taken for one.
        Raises TaskError with the last failure.
        """
        failures = 0
        while True:
            run_id = f"{body['run_id']}-try{failures}" if failures else str(body["run_id"])
            try:
                return await self._try({**body, "run_id": run_id}), failures
            except _Failure as err:
                failures += 1
                self._give_up(err, failures)
                await asyncio.sleep(backoff_s(failures, err.retry_after_s, self._rng))

    async def close(self) -> None:
        """Wait for the last aborts, then close all connections."""
        if self._aborts:
            await asyncio.wait(self._aborts, timeout=ABORT_S)
        self._http.close()

    async def _try(self, body: Mapping[str, Any]) -> Any:
        async with self._slots:
            await self._pace()
            try:
                async with asyncio.timeout(self.options.timeout_s):
                    answer = await self._post("/rollout", body)
            except TimeoutError as err:
                self._abort(body["run_id"])
                raise _Failure(
                    f"The task app did not answer within {self.options.timeout_s:g} s.",
                    code="task_app_late",
                    hint="Give the episode more time (limits.seconds) or fewer turns.",
                ) from err
            except TransportError as err:
                raise _Failure(
                    f"The task app went away: {err}.",
                    code="task_app_gone",
                    hint="See whether it still runs, then retry the failed episodes.",
                ) from err
            except asyncio.CancelledError:
                self._abort(body["run_id"])
                raise
        try:
            return json.loads(answer)
        except (ValueError, RecursionError) as err:
            raise _Failure(
                f"The task app's answer is no JSON ({len(answer)} bytes, it begins "
                f"{answer[:60]!r}).",
                code="task_app_answer",
                hint="Something in front of the task app may have answered in its place.",
            ) from err

    async def _post(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The body of a 200 answer. Stops reading where it grows too large."""
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        answer = await self._http.send(
            b"%b%d\r\n\r\n%b" % (self._heads[path], len(content), content)
        )
        try:
            if answer.status != 200:
                # So much that a key over the edge of the excerpt is seen whole.
                most = ERROR_EXCERPT_BYTES + len(self._key)
                said = without_key((await answer.read(most))[:most], self._key)
                raise _status_failure(answer, said[:ERROR_EXCERPT_BYTES])
            limit = self.options.max_answer_bytes
            said = await answer.read(limit)
            if len(said) > limit:
                raise _Failure(
                    f"The task app's answer is larger than {limit} bytes; it was cut off.",
                    code="task_app_answer",
                    retryable=False,
                )
            return without_key(said, self._key)
        finally:
            answer.close()

    async def _pace(self) -> None:
        """Wait until the next episode may start under `rps`."""
        if self.options.rps <= 0:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + 1 / self.options.rps
        await asyncio.sleep(start - now)

    def _abort(self, run_id: str) -> None:
        """Tell the task app, beside everything else, that nobody waits any more."""
        task = asyncio.ensure_future(self._tell_abort(run_id))
        self._aborts.add(task)
        task.add_done_callback(self._aborts.discard)

    async def _tell_abort(self, run_id: str) -> None:
        with contextlib.suppress(TaskError, TransportError, TimeoutError):
            async with asyncio.timeout(ABORT_S):
                await self._post("/run/abort", {"run_id": run_id})

    def _give_up(self, err: _Failure, failures: int) -> None:
        """Raise `err` unless another try is worth it and paid for."""
        too_long = (err.retry_after_s or 0) > self.options.max_retry_after_s
        if not err.retryable or failures >= self.options.max_tries or too_long:
            raise err
        if not self.budget.take():
            raise TaskError(
                f"{err.message} No retry is left: this attempt has used all {self.budget.total}.",
                code=err.code,
                hint="Raise the run's retries (limits.retries) or lower its concurrency.",
            ) from err


class _Failure(TaskError):
    """One try that failed. `retry_after_s`: as the task app asked."""

    retry_after_s: float | None = None


def _status_failure(answer: Answer, excerpt: bytes) -> _Failure:
    status = answer.status
    said = excerpt.decode("utf-8", "replace").strip()
    failure = _Failure(
        f"The task app answered {status}{f': {said}' if said else ''}.",
        retryable=status in RETRYABLE_STATUS,
        hint=_HINTS.get(status, "Its own log should say why."),
        code="task_app_status",
    )
    failure.retry_after_s = parse_retry_after(answer.headers.get("retry-after"))
    return failure
