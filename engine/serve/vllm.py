"""A policy whose answers a vLLM server samples: prompts are encoded here, ids come back.

Lives here: the calls of many games, with token ids and log probabilities in every reply. Not here:
the server's routes (`engine/llm/vllm.py`), handing weights over (`engine/train/samplers.py`).
"""

from __future__ import annotations

import asyncio
import time

from transformers import PreTrainedTokenizerBase

from engine.errors import TrainingError
from engine.llm.types import ChatRequest, Reply
from engine.llm.vllm import VllmAddress, VllmClient
from engine.serve.sampled import call_seed, encode_prompt, read_sampled


class VllmPolicy:
    """Protocol: `engine.llm.types.Policy`; for one event loop.

    model: what the server calls the weights that are meant; salt: with a call's key the seed.
    `generate_s`: time in which at least one call was open.
    """

    name = "vllm"

    def __init__(
        self,
        server: VllmAddress,
        tokenizer: PreTrainedTokenizerBase,
        *,
        model: str,
        salt: str,
        n_games: int,
    ) -> None:
        self.tokenizer, self.model, self.salt = tokenizer, model, salt
        self.stop_ids = frozenset([int(tokenizer.eos_token_id)])
        self.generate_s = 0.0
        self.n_tokens = 0
        self._client = VllmClient(server, max_idle=n_games)
        self._n_open = 0
        self._opened = 0.0

    async def reply(self, request: ChatRequest) -> Reply:
        """The answer of the model as it is there. Raises TrainingError, which ends the training:
        games that go on without a model would only waste their worlds."""
        prompt, started = encode_prompt(self.tokenizer, request), time.perf_counter()
        self._open(started)
        try:
            done = await self._client.complete(
                self.model,
                prompt,
                request.sampling,
                seed=call_seed(self.salt, request.turn_key),
                stop_ids=sorted(self.stop_ids),
            )
        finally:
            self._close()
        if done.model != self.model:
            raise TrainingError(
                f"The vLLM server answers with {done.model}, asked was {self.model}.",
                hint="Let no other training use this server.",
                code="vllm_answer",
            )
        self.n_tokens += len(prompt) + len(done.ids)
        took_ms = (time.perf_counter() - started) * 1000
        return read_sampled(
            self.tokenizer, request, prompt, done.ids, done.logprobs, done.finish_reason,
            stop_ids=self.stop_ids, model=self.name, model_ms=took_ms,
        )  # fmt: skip

    def leave(self) -> None:
        """One of the games is over: nothing waits for it here."""

    async def run(self) -> None:
        """Nothing to do beside the games; cancel it when they are over."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        self._client.close()

    def _open(self, now: float) -> None:
        if not self._n_open:
            self._opened = now
        self._n_open += 1

    def _close(self) -> None:
        self._n_open -= 1
        if not self._n_open:
            self.generate_s += time.perf_counter() - self._opened
