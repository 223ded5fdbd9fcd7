"""An OpenAI-compatible chat client for rollouts: many calls in flight, bounded retries.

Lives here: sending a request, its limits and its retries. Not here: reading the answer
(`replies.py`), the retry budget (`budget.py`), tool calls (`toolcalls.py`).

One client serves all episodes of a shard in one event loop, over kept-alive connections. Redirects
are not followed and proxy variables are not read: the address that was checked is the one called.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import ProviderError
from engine.llm.budget import RetryBudget, backoff_s, parse_retry_after
from engine.llm.redact import without_key
from engine.llm.replies import Prices, read_answer
from engine.llm.target import read_target
from engine.llm.transport import Answer, KeepAlive, Origin, TransportError
from engine.llm.types import ChatRequest, Reply

RETRYABLE_STATUS = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529))
ERROR_EXCERPT_BYTES = 300


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Limits of one client; all waits in seconds."""

    max_concurrent: int = 32
    """Calls in flight at once; further ones wait their turn."""
    rps: float = 0.0
    """Calls started in a second; 0 is no limit."""
    timeout_s: float = 120.0
    """For a whole answer, its last byte included: a stalled stream ends here."""
    connect_timeout_s: float = 10.0
    max_tries: int = 5
    """Of one call, the first included; every further one also takes from the run's budget."""
    max_retry_after_s: float = 90.0
    """A server that asks for a longer pause ends the episode instead."""
    max_answer_bytes: int = 8 * 1024 * 1024
    patience_s: float = 0.0
    """How long a server that is away is waited for, in all of one call, before a failure counts:
    our own may be restarting, which is nothing that an episode should pay for."""
    prices: Prices = field(default_factory=Prices)
    token_ids: bool = False
    """Ask for token ids and logprobs (our own server and vLLM give them)."""
    seeded: bool = False
    """Send a seed made of the world's seed, repeat and turn, so that a run can be repeated."""
    address: str = ""
    """The checked IP address of the URL's host; the name is still used for TLS and Host."""


class ChatClient:
    """Calls one model. `key` is sent as a Bearer token, never logged or repeated."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: str = "",
        options: ClientOptions | None = None,
        budget: RetryBudget | None = None,
    ) -> None:
        self.name = model
        self.model = model
        self.options = options or ClientOptions()
        self.budget = budget or RetryBudget(100)
        self._rng = random.Random()
        self._slots = asyncio.Semaphore(self.options.max_concurrent)
        self._next_start = 0.0
        self._key = key
        origin, self._head = _target(base_url, self.options.address, key)
        self._http = KeepAlive(
            origin,
            connect_timeout_s=self.options.connect_timeout_s,
            max_idle=self.options.max_concurrent,
        )

    async def reply(self, request: ChatRequest) -> Reply:
        """Answer one turn, trying again while that may help and the budget allows.

        Raises ProviderError with the last failure, its number of tries and what was spent.
        """
        body = json.dumps(self._body(request), ensure_ascii=False).encode("utf-8", "replace")
        failures, n_away, queue_ms = 0, 0, 0.0
        began = time.monotonic()
        while True:
            try:
                reply, waited_ms = await self._try(body)
                queue_ms += waited_ms
                return replace(reply, queue_ms=reply.queue_ms + queue_ms, n_retries=failures)
            except ProviderError as err:
                if _is_away(err) and time.monotonic() - began < self.options.patience_s:
                    n_away += 1
                else:
                    failures += 1
                    self._give_up(err, failures)
                wait_s = backoff_s(failures + n_away, err.retry_after_s, self._rng)
            queue_ms += wait_s * 1000
            await asyncio.sleep(wait_s)

    async def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "messages": request.messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if request.tools:
            body["tools"] = request.tools
            body["tool_choice"] = request.tool_choice
        seed = turn_seed(request.turn_key) if self.options.seeded else sampling.seed
        if seed is not None:
            body["seed"] = seed
        if self.options.token_ids:
            body["return_token_ids"] = True
            body["logprobs"] = True
        return {**body, **sampling.extra}

    async def _try(self, body: bytes) -> tuple[Reply, float]:
        """One attempt: (reply with its model_ms, ms waited for a slot)."""
        queued = time.monotonic()
        async with self._slots:
            await self._pace()
            started = time.monotonic()
            try:
                async with asyncio.timeout(self.options.timeout_s):
                    answer = await self._post(body)
            except TimeoutError as err:
                raise ProviderError(
                    f"The model API did not answer within {self.options.timeout_s:g} s.",
                    code="timeout",
                ) from err
            except TransportError as err:
                raise ProviderError(
                    f"The model API cannot be reached: {err}.", code="no_connection"
                ) from err
            ended = time.monotonic()
        reply = read_answer(answer, self.options.prices)
        model_ms = max(0.0, (ended - started) * 1000 - reply.queue_ms)
        return replace(reply, model_ms=model_ms), (started - queued) * 1000

    async def _post(self, body: bytes) -> bytes:
        """The body of a 200 answer. Stops reading where it grows too large."""
        answer = await self._http.send(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        try:
            if answer.status != 200:
                # So much that a key over the edge of the excerpt is seen whole.
                most = ERROR_EXCERPT_BYTES + len(self._key)
                said = without_key((await answer.read(most))[:most], self._key)
                raise _status_error(answer, said[:ERROR_EXCERPT_BYTES])
            limit = self.options.max_answer_bytes
            content = await answer.read(limit)
            if len(content) > limit:
                raise ProviderError(
                    f"The model API's answer is larger than {limit} bytes; it was cut off.",
                    code="answer_too_large",
                )
            return without_key(content, self._key)
        finally:
            answer.close()

    async def _pace(self) -> None:
        """Wait until the next call may start under `rps`."""
        if self.options.rps <= 0:
            return
        now = time.monotonic()
        start = max(now, self._next_start)
        self._next_start = start + 1 / self.options.rps
        await asyncio.sleep(start - now)

    def _give_up(self, err: ProviderError, failures: int) -> None:
        """Raise `err` unless another try is worth it and paid for."""
        too_long = (err.retry_after_s or 0) > self.options.max_retry_after_s
        if not err.retryable or failures >= self.options.max_tries or too_long:
            raise err
        if not self.budget.take():
            raise ProviderError(
                f"{err.message} No retry is left: this attempt has used all {self.budget.total}.",
                status=err.status,
                code=err.code,
                hint="Raise the run's retries, lower its concurrency, or use another provider.",
            ) from err


def _is_away(err: ProviderError) -> bool:
    """Whether nobody was there to answer: no connection, or a gateway that says so."""
    return err.code == "no_connection" or err.status in (502, 503)


def turn_seed(turn_key: tuple[int, int, int]) -> int:
    """A number below 2**31 for (seed, repeat, turn), the same in every process."""
    return zlib.crc32(repr(turn_key).encode()) & 0x7FFFFFFF


def _status_error(answer: Answer, excerpt: bytes) -> ProviderError:
    status = answer.status
    hints = {
        401: "The provider's key is missing or wrong.",
        403: "The provider's key may not use this model.",
        404: "The URL or the model's name is wrong.",
        429: "Lower the concurrency or the provider's requests a second.",
    }
    said = excerpt.decode("utf-8", "replace").strip()
    return ProviderError(
        f"The model API answered {status}{f': {said}' if said else ''}.",
        status=status,
        retry_after_s=parse_retry_after(answer.headers.get("retry-after")),
        retryable=status in RETRYABLE_STATUS,
        hint=hints.get(status, ""),
        code="rate_limited" if status == 429 else "bad_status",
    )


def _target(base_url: str, address: str, key: str) -> tuple[Origin, bytes]:
    """Where to connect, and the request's head up to its length. Raises ConfigError."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = base_url.rstrip("/") + "/chat/completions"
    return read_target(url, address=address, headers=headers, what="model API")
