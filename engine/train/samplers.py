"""Who generates while a model learns from reward: this process, or a vLLM server beside it.

A server's weights are those of the last hand-over: a folder that is complete under its name (whole
weights or an adapter), which the server reads. After it what the server sampled is scored with the
trained model, and a difference that no rounding explains ends the training: whoever learns from
what other weights said learns nonsense, quietly. Not here: the routes (`engine/llm/vllm.py`),
starting a server (`vllm_process.py`), the games (`rl_play.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from engine.config.rl_plan import RlPlan
from engine.errors import Cancelled, EngineError, TrainingError
from engine.lease import Cancellation
from engine.llm.types import ChatRequest, Reply
from engine.llm.vllm import VllmAddress, VllmClient
from engine.serve.direct import DirectPolicy
from engine.serve.vllm import VllmPolicy
from engine.traces.record import Turn
from engine.train.checkpoints import publish_folder
from engine.train.grpo import Sample, collate, score
from engine.train.policy import TrainedPolicy

CHECKED_TURNS = 64
LOOK_S = 0.2  # between two looks whether the training was cancelled
LEAVE_S = 3.0  # for the server to drop the last adapter; the training is over
# Mean distance of a token's log probability that rounding does not explain: in 32 bits it is
# 1e-6, in 16 bits two programs that compute the same differ by about 0.02.
MOST_APART = {torch.float32: 1e-2}
MOST_APART_16 = 0.15
T = TypeVar("T")


class SamplingPolicy(Protocol):
    """A policy for one round of games, and what it took."""

    name: str
    generate_s: float
    n_tokens: int

    async def reply(self, request: ChatRequest) -> Reply: ...

    def leave(self) -> None: ...

    async def run(self) -> None: ...

    async def close(self) -> None: ...


class Sampler(Protocol):
    """What generates. `ready` and `rest` stand around every round of games."""

    keeps_step: bool  # whether games can be answered in lockstep
    sync_s: float  # seconds that hand-overs took; who reads it may set it back

    def policy(self, *, salt: str, n_games: int, lockstep: bool) -> SamplingPolicy: ...

    def ready(self, version: int, *, now: bool = False) -> None:
        """Before games of iteration `version`; `now`: with the weights as they are."""
        ...

    def rest(self) -> None: ...

    def check(self, turns: Sequence[Turn]) -> dict[str, float]:
        """Figures of how well sampler and trainer agree on what was said. Raises TrainingError."""
        ...

    def close(self) -> None: ...


class OwnSampler:
    """The trained weights themselves: nothing is ever handed over."""

    keeps_step = True
    sync_s = 0.0

    def __init__(self, trained: TrainedPolicy) -> None:
        self.trained = trained

    def policy(self, *, salt: str, n_games: int, lockstep: bool) -> DirectPolicy:
        model, tokenizer = self.trained
        return DirectPolicy(model, tokenizer, salt=salt, n_games=n_games, lockstep=lockstep)

    def ready(self, version: int, *, now: bool = False) -> None: ...

    def rest(self) -> None: ...

    def check(self, turns: Sequence[Turn]) -> dict[str, float]:
        return {}

    def close(self) -> None: ...


class VllmSampler:
    """A server. colocated: on the GPU that trains, so it sleeps while that does."""

    keeps_step = False

    def __init__(
        self,
        plan: RlPlan,
        trained: TrainedPolicy,
        server: VllmAddress,
        folder: Path,
        cancelled: Cancellation,
        *,
        colocated: bool = False,
    ) -> None:
        self.plan, self.trained, self.server, self.folder = plan, trained, server, folder
        self.cancelled, self.colocated = cancelled, colocated
        self.sync_s = 0.0
        self.adapters = plan.method != "full"
        self.model = ""  # what the server calls the newest weights
        self._mark = secrets.token_hex(4)  # names of this training's adapters, and of no other's
        self._version: int | None = None  # of the newest hand-over
        self._n_handed = 0
        self._fresh = self._asleep = False

    def policy(self, *, salt: str, n_games: int, lockstep: bool) -> VllmPolicy:
        del lockstep  # a config that wants it was refused
        return VllmPolicy(
            self.server, self.trained.tokenizer, model=self.model, salt=salt, n_games=n_games
        )

    def ready(self, version: int, *, now: bool = False) -> None:
        """Wake the server up and give it the weights, where they are due."""
        started = time.perf_counter()
        if self._asleep:
            self._ask(VllmClient.wake_up)
            self._asleep = False
        interval = self.plan.generation.interval
        due = now or (interval is not None and version - (self._version or 0) >= interval)
        if self._version is None or (due and version != self._version):
            self._hand_over(version)
        self.sync_s += time.perf_counter() - started

    def rest(self) -> None:
        """Leave the GPU to the training, where it is the same one."""
        if not self.colocated:
            return
        started = time.perf_counter()
        self._ask(VllmClient.sleep)
        self._asleep = True
        self.sync_s += time.perf_counter() - started

    def check(self, turns: Sequence[Turn]) -> dict[str, float]:
        """How far apart both sides are on what was sampled, and the end of it where it is wrong."""
        model, every = self.trained.model, self.plan.generation.verify_every
        said = [turn for turn in turns if turn.completion_ids][:CHECKED_TURNS]
        apart = logprob_distances(self.trained, said, self.plan.temperature)
        if not len(apart):
            return {}
        mean, most = float(apart.mean()), float(apart.max())
        limit = MOST_APART.get(model.dtype, MOST_APART_16)
        due = self._fresh and every and (self._n_handed - 1) % every == 0
        self._fresh = False
        if due and not mean < limit:
            raise TrainingError(
                f"vLLM samples from other weights than those that are trained: the log "
                f"probabilities of {len(apart)} tokens differ by {mean:.3g} on average, at most "
                f"{limit:g} was expected.",
                hint="Let it serve the model that the training starts from, with "
                "--logprobs-mode processed_logprobs, and let no other training use it.",
                code="vllm_weights",
            )
        return {"sync.logprob_distance": most}

    def close(self) -> None:
        """Take this training's adapter from the server, if it is there, and the files away."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.adapters and self.model:
            with contextlib.suppress(EngineError, OSError):  # a TimeoutError is an OSError
                asyncio.run(self._drop(self.model))

    async def _drop(self, name: str) -> None:
        async with asyncio.timeout(LEAVE_S):
            await _with_client(self.server, lambda client: client.unload_adapter(name))

    def _hand_over(self, version: int) -> None:
        target = self._write(version)
        if self.adapters:
            name = f"synthweb-{self._mark}-{version}"
            old = self.model
            if old:  # first: a server with room for one adapter has dropped it otherwise
                self._ask(lambda client: client.unload_adapter(old))
                self.model = ""
            self._ask(lambda client: client.load_adapter(name, str(target)))
            self.model = name
        else:
            self.model = self.model or self._ask(VllmClient.model)
            self._ask(lambda client: client.reload_weights(str(target)))
        if self._version is not None:
            shutil.rmtree(self.folder / f"weights-{self._version}", ignore_errors=True)
        self._version, self._fresh = version, True
        self._n_handed += 1

    def _write(self, version: int) -> Path:
        """The weights as a folder of their own; its name is absolute, for another process."""
        staged = self.folder / f".weights-{version}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        self.trained.model.save_pretrained(staged)
        target = (self.folder / f"weights-{version}").absolute()
        publish_folder(staged, target)
        return target

    def _ask(self, call: Callable[[VllmClient], Awaitable[T]]) -> T:
        """One call from outside of an event loop; a cancel does not wait for its answer."""

        async def watched() -> T:
            task = asyncio.ensure_future(_with_client(self.server, call))
            while not task.done():
                await asyncio.wait({task}, timeout=LOOK_S)
                if self.cancelled.is_set() and not task.done():
                    task.cancel()
                    raise Cancelled("cancelled while weights were handed over")
            return task.result()

        return asyncio.run(watched())


async def _with_client(server: VllmAddress, call: Callable[[VllmClient], Awaitable[T]]) -> T:
    client = VllmClient(server)
    try:
        return await call(client)
    finally:
        client.close()


@torch.no_grad()
def logprob_distances(
    trained: TrainedPolicy, turns: Sequence[Turn], temperature: float
) -> torch.Tensor:
    """|log p of the trained model - log p as sampled| of each sampled token, flat."""
    if not turns:
        return torch.zeros(0)
    samples = [Sample(t.prompt_ids, t.completion_ids, t.logprobs, 1.0, "") for t in turns]
    batch = collate(samples, int(trained.tokenizer.pad_token_id), trained.model.device)
    scores = score(trained.model, batch, temperature)
    return (scores.logprobs - batch.old).abs()[batch.mask.bool()].float().cpu()
