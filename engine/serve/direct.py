"""A policy that answers in this process: reinforcement learning samples from the weights it trains.

Lives here: calls of many games, decoded together by `batch.py`. Token ids and logprobs come back
with every reply, so nothing is ever encoded again. Two ways to wait:
- free (default): a game that has its answer plays on while the others are still being decoded;
- lockstep: nobody is answered before all running games have asked, and all are decoded together, so
  that the same weights and seeds give the same tokens, bit for bit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.llm.types import ChatRequest, Reply
from engine.serve.batch import Batch, Row
from engine.serve.prefixes import Prefixes
from engine.serve.sampled import call_seed, encode_prompt, read_sampled
from engine.serve.worker import seeded_generator


@dataclass(slots=True)
class _Asked:
    """One call that waits for its answer."""

    row: Row
    key: tuple[int, int, int]
    answer: asyncio.Future[None]
    asked: float
    joined: float = 0.0


class DirectPolicy:
    """Protocol: `engine.llm.types.Policy`. Run `run` beside the games.

    n_games: how many play, for lockstep; call `leave` when one of them is over.
    salt: with a call's key it decides what is sampled.
    """

    name = "direct"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        salt: str,
        n_games: int,
        lockstep: bool = False,
    ) -> None:
        self.model, self.tokenizer, self.salt = model, tokenizer, salt
        self.stop_ids = frozenset([int(tokenizer.eos_token_id)])
        self.lockstep = lockstep
        self.generate_s = 0.0
        self.n_tokens = 0
        self._n_games = n_games
        self._waiting: list[_Asked] = []
        self._decoding: list[_Asked] = []
        self._batch = Batch(model, Prefixes())
        self._wake = asyncio.Event()

    async def reply(self, request: ChatRequest) -> Reply:
        """The answer of the model as it is now."""
        started, sampling = time.perf_counter(), request.sampling
        row = Row(
            prompt=encode_prompt(self.tokenizer, request),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop_ids=self.stop_ids,
            generator=seeded_generator(call_seed(self.salt, request.turn_key)),
        )
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked = _Asked(row, request.turn_key, future, started)
        self._waiting.append(asked)
        self._wake.set()
        await future
        return self._reply(asked, request)

    def leave(self) -> None:
        """One of the games is over and will not ask again."""
        self._n_games -= 1
        self._wake.set()

    async def run(self) -> None:
        """Answer for ever; cancel it when the games are over."""
        while True:
            if not self._waiting and not self._decoding:
                self._wake.clear()
                await self._wake.wait()
            if self.lockstep and len(self._waiting) < self._n_games:
                self._wake.clear()
                await self._wake.wait()
                continue
            joining, self._waiting = sorted(self._waiting, key=lambda asked: asked.key), []
            try:
                await self._advance(joining)
            except Exception as err:  # whoever waits must be told
                for asked in [*self._decoding, *joining]:
                    if not asked.answer.done():
                        asked.answer.set_exception(err)
                raise

    async def close(self) -> None:
        """Nothing to close."""

    async def _advance(self, joining: Sequence[_Asked]) -> None:
        """One token for everybody, or in lockstep all tokens; games that ended drop out."""
        started = time.perf_counter()
        for asked in joining:
            asked.joined = started
        self._decoding += joining
        if self.lockstep:
            self._decode(joining)
            while self._batch.rows:
                self._batch.step()
        else:
            await asyncio.to_thread(self._decode, joining)
        self.generate_s += time.perf_counter() - started
        still = []
        for asked in self._decoding:
            if not asked.row.finish_reason:
                still.append(asked)
            elif not asked.answer.done():
                asked.answer.set_result(None)
        self._decoding = still

    def _decode(self, joining: Sequence[_Asked]) -> None:
        gone = [asked.row for asked in self._decoding if asked.answer.cancelled()]
        if gone:
            self._batch.drop(gone)
        if self._batch.rows:
            self._batch.step()
        rows = [asked.row for asked in joining if not asked.answer.cancelled()]
        if rows:
            self._batch.join(rows)

    def _reply(self, asked: _Asked, request: ChatRequest) -> Reply:
        row = asked.row
        self.n_tokens += len(row.prompt) + len(row.completion)
        return read_sampled(
            self.tokenizer, request, row.prompt, row.completion, row.logprobs, row.finish_reason,
            stop_ids=self.stop_ids,
            model=self.name,
            queue_ms=(asked.joined - asked.asked) * 1000,
            model_ms=(time.perf_counter() - asked.joined) * 1000,
        )  # fmt: skip
