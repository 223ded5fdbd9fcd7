"""An unmodified vLLM server as a training uses it: token ids in, token ids out, new weights.

| route | for what | wants of the server |
|---|---|---|
| GET /health, /v1/models | is it up, what is its model called | |
| POST /v1/completions | the ids sampled behind given ids, with log probabilities | 0.10.2 |
| POST /v1/load_lora_adapter, /v1/unload_… | an adapter from a folder | VLLM_ALLOW_RUNTIME_… |
| POST /collective_rpc reload_weights, /reset_prefix_cache | whole weights | VLLM_SERVER_DEV_MODE |
| POST /sleep, /wake_up | leave the GPU to the training | the same, --enable-sleep-mode |

Why so: files need nothing but a folder that both see, and no code of ours in vLLM; NCCL would need
vLLM's library in the training too. Every version of an adapter has a name of its own, since under
the same one vLLM kept what it had read with the old (vllm #42125); whole weights come from a new
folder each time, since an overwritten one was read stale (#32718), and what was read ahead goes.
Not here: which weights when (`engine/train/samplers.py`), the command (`engine/config`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.errors import TrainingError
from engine.llm.target import read_target
from engine.llm.transport import KeepAlive, TransportError
from engine.llm.types import Sampling

WHAT = "vLLM server"
TRIES, PAUSE_S = 3, 1.0  # of a call that may be repeated; the pause doubles
MAX_ANSWER_BYTES = 32 << 20
EXCERPT_BYTES = 500
RETRYABLE = frozenset((429, 500, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class VllmAddress:
    """Where a server is. address: the checked one of its host. timeout_s: for one answer."""

    url: str
    key: str = ""
    address: str = ""
    timeout_s: float = 300.0
    start_hint: str = ""  # how it is started, for messages


class Completion(NamedTuple):
    """What `model` sampled: ids, the log probability of each; "stop" or "length"."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    model: str


class VllmClient:
    """Calls one server within one event loop. Raises TrainingError for whatever goes wrong there:
    vllm_unreachable (worth another attempt), vllm_refused, vllm_answer."""

    def __init__(self, server: VllmAddress, *, max_idle: int = 4) -> None:
        self.server = server
        self._pools: KeepAlive | None = None
        self._max_idle = max_idle

    def close(self) -> None:
        if self._pools is not None:
            self._pools.close()

    async def is_up(self) -> bool:
        """Whether it answers and is ready."""
        try:
            await self._send("GET", "/health", None, 10.0)
        except TrainingError:
            return False
        return True

    async def model(self) -> str:
        """What the server calls the model that it was started with."""
        answer = await self._json("GET", "/v1/models", None, 30.0)
        try:
            cards = [card for card in answer["data"] if not card.get("parent")]
            return str(cards[0]["id"])
        except (KeyError, IndexError, TypeError, AttributeError) as err:
            raise _unreadable("/v1/models", answer) from err

    async def complete(
        self, model: str, prompt: list[int], sampling: Sampling, *, seed: int, stop_ids: list[int]
    ) -> Completion:
        """The ids that `model` samples behind `prompt`, whose ids are taken as they are."""
        body = {
            "model": model,
            "prompt": prompt,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed,
            "stop_token_ids": stop_ids,
            "logprobs": 1,  # of the sampled token and the most likely one
            "return_token_ids": True,
            # Whatever the checkpoint's generation_config says, samples come from the model alone.
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
        }
        answer = await self._json("POST", "/v1/completions", body, self.server.timeout_s)
        return _completion(answer, prompt)

    async def load_adapter(self, name: str, path: str) -> None:
        """Serve an adapter under a name that nobody else gives: one there already is this one."""
        body = {"lora_name": name, "lora_path": path}
        await self._send(
            "POST", "/v1/load_lora_adapter", body, self.server.timeout_s, done=(400, _LOADED)
        )

    async def unload_adapter(self, name: str) -> None:
        """See that an adapter is gone."""
        body = {"lora_name": name}
        await self._send("POST", "/v1/unload_lora_adapter", body, 60.0, done=(404, b""))

    async def reload_weights(self, path: str) -> None:
        """Take whole weights from a folder and forget what was read with the old ones."""
        body = {"method": "reload_weights", "kwargs": {"weights_path": path}}
        await self._send("POST", "/collective_rpc", body, self.server.timeout_s)
        await self._send("POST", "/reset_prefix_cache", {}, 60.0)

    async def sleep(self) -> None:
        """Leave the GPU: weights go to the host's memory, what was read is forgotten."""
        await self._send("POST", "/sleep?level=1", {}, self.server.timeout_s)

    async def wake_up(self) -> None:
        await self._send("POST", "/wake_up", {}, self.server.timeout_s)

    async def _json(self, method: str, path: str, body: Any, timeout_s: float) -> Any:
        raw = await self._send(method, path, body, timeout_s)
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as err:
            raise _unreadable(path, raw) from err

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        timeout_s: float,
        *,
        done: tuple[int, bytes] | None = None,
    ) -> bytes:
        """The body of a 200 answer, trying again where that may help.

        done: status and words of an answer that is as good as one: a try before this one took
        effect, though its own answer was lost.
        """
        failures = 0
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    status, said = await self._exchange(method, path, body)
                if status == 200 or (done and status == done[0] and done[1] in said):
                    return said
                error = self._refused(path, status, said)
            except TimeoutError as err:
                raise self._unreachable(f"{path} took longer than {timeout_s:g} s") from err
            except TransportError as err:
                error = self._unreachable(str(err))
            failures += 1
            if not error.retryable or failures >= TRIES:
                raise error
            await asyncio.sleep(PAUSE_S * 2 ** (failures - 1))

    async def _exchange(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        server = self.server
        headers: Mapping[str, str] = {"Authorization": f"Bearer {server.key}"} if server.key else {}
        origin, head = read_target(
            server.url + path, address=server.address, headers=headers, what=WHAT
        )
        if self._pools is None:
            self._pools = KeepAlive(origin, connect_timeout_s=10.0, max_idle=self._max_idle)
        content = b"" if body is None else json.dumps(body).encode()
        verb = method.encode() + head.removeprefix(b"POST")
        answer = await self._pools.send(b"%b%d\r\n\r\n%b" % (verb, len(content), content))
        try:
            return answer.status, await answer.read(MAX_ANSWER_BYTES)
        finally:
            answer.close()

    def _unreachable(self, why: str) -> TrainingError:
        return TrainingError(
            f"The vLLM server at {self.server.url} does not answer: {why}.",
            hint=f"{self.server.start_hint} Then resume the run: it goes on from its last "
            "checkpoint.".strip(),
            retryable=True,
            code="vllm_unreachable",
        )

    def _refused(self, path: str, status: int, said: bytes) -> TrainingError:
        text = said[:EXCERPT_BYTES].decode(errors="replace").strip()
        hint = _HINTS.get(path.partition("?")[0], "Its own log should say why.")
        if status == 404 and path in _HINTS:
            hint = f"{hint} {self.server.start_hint}".strip()
        elif status in (401, 403):
            hint = "Give the provider with its origin the key, under Settings → Providers."
        return TrainingError(
            f"The vLLM server at {self.server.url} answered {status} to {path}: {text}",
            hint=hint,
            retryable=status in RETRYABLE,
            code="vllm_refused",
        )


_LOADED = b"already been loaded"
_DEV = "It has to run with VLLM_SERVER_DEV_MODE=1, version 0.16 or newer."
_LORA = (
    "It has to run with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora, and to read the "
    "run's folder under the same path."
)
_HINTS = {
    "/collective_rpc": f"{_DEV} It has to read the run's folder under the same path.",
    "/reset_prefix_cache": _DEV,
    "/sleep": f"{_DEV} It also needs --enable-sleep-mode.",
    "/wake_up": f"{_DEV} It also needs --enable-sleep-mode.",
    "/v1/load_lora_adapter": _LORA,
    "/v1/completions": "Raise vllm.max_model_len, or lower max_tokens or max_turns, if it says so.",
}


def _completion(answer: Any, prompt: list[int]) -> Completion:
    """Read an answer, refusing one that is not about these very ids. Raises TrainingError."""
    try:
        choice = answer["choices"][0]
        ids, told = tuple(choice["token_ids"]), choice["prompt_token_ids"]
        logprobs = tuple(float(value) for value in choice["logprobs"]["token_logprobs"])
        done = Completion(ids, logprobs, str(choice["finish_reason"]), str(answer["model"]))
    except (KeyError, IndexError, TypeError, ValueError) as err:
        raise _unreadable("/v1/completions", answer) from err
    whole = done.finish_reason in ("stop", "length") and len(ids) == len(logprobs) > 0
    if told != prompt or not whole:
        raise _unreadable("/v1/completions", answer)
    return done


def _unreadable(path: str, said: Any) -> TrainingError:
    text = said if isinstance(said, bytes) else json.dumps(said, default=str).encode()
    return TrainingError(
        f"The vLLM server's answer to {path} is not what was asked for: "
        f"{text[:EXCERPT_BYTES].decode(errors='replace')}",
        hint="Token ids need vLLM 0.10.2 or newer, weights from a folder 0.16.",
        code="vllm_answer",
    )
