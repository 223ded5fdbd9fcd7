"""Where a task app elsewhere asks the model that is being trained: a small server in this process.

Each episode has an address of its own that nobody can guess, so no key is needed; what is sampled
there is kept in order, with its token ids and log probabilities. Not here: who plays
(`engine/train/rl_remote.py`), the model server of the product (`app.py`).
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import uvicorn
from jinja2 import TemplateError
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.errors import ConfigError
from engine.llm.types import ChatRequest, Policy, Reply, Sampling
from engine.rollout.recording import EpisodeSpec
from engine.serve.replies import ChatBody, error_body

HOST = "127.0.0.1"
MAX_BODY_BYTES = 10 << 20
UNREADABLE = (TemplateError, TypeError, KeyError, ValueError)  # of messages by a chat template


class Recorder:
    """Answers calls by `policy`, always with `sampling`: what is trained is what was sampled.

    failed: why the policy cannot answer any more.
    """

    def __init__(self, policy: Policy, sampling: Sampling, port: int) -> None:
        self.policy, self.sampling, self.port = policy, sampling, port
        self.failed: Exception | None = None
        self.n_calls = 0
        self._episodes: dict[str, tuple[EpisodeSpec, list[Reply]]] = {}
        self._names: dict[EpisodeSpec, str] = {}
        self.app = Starlette(
            routes=[
                Route("/{name}/chat/completions", self.complete, methods=["POST"]),
                Route("/{name}/v1/chat/completions", self.complete, methods=["POST"]),
            ]
        )

    def open(self, spec: EpisodeSpec) -> str:
        """The inference_url of an episode that begins."""
        name = self._names[spec] = secrets.token_urlsafe(24)
        self._episodes[name] = (spec, [])
        return f"http://{HOST}:{self.port}/{name}"

    def close(self, spec: EpisodeSpec) -> list[Reply]:
        """What was sampled for an episode, in order; its address answers no more."""
        name = self._names.pop(spec, "")
        return self._episodes.pop(name, (spec, []))[1]

    async def complete(self, request: Request) -> Response:
        found = self._episodes.get(request.path_params["name"])
        if found is None:
            return _error(404, "unknown_episode", "no episode plays at this address")
        if self.failed is not None:
            return _error(500, "model_failed", str(self.failed))
        spec, replies = found
        try:
            body = ChatBody.model_validate_json(await _read(request))
            reply = await self.policy.reply(self._request(body, spec, len(replies)))
        except (ValidationError, *UNREADABLE) as err:
            return _error(400, "bad_request", f"the request cannot be read: {err}"[:500])
        except Exception as err:
            self.failed = err  # raised to the training when its games are over
            return _error(500, "model_failed", str(err)[:500])
        replies.append(reply)
        self.n_calls += 1
        return JSONResponse(_answer(body, reply))

    def _request(self, body: ChatBody, spec: EpisodeSpec, index: int) -> ChatRequest:
        key = (spec.seed, spec.repeat, index)
        choice = body.tool_choice or "auto"
        return ChatRequest(body.messages, body.offered_tools, choice, self.sampling, key)


@asynccontextmanager
async def recording(policy: Policy, sampling: Sampling, port: int = 0) -> AsyncIterator[Recorder]:
    """A recorder that answers on this machine within the block; port 0 takes a free one.

    Raises ConfigError for a port that another program has.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(256)
    except OSError as err:
        listener.close()
        raise ConfigError(
            f"services.answer_port = {port}: {HOST}:{port} cannot be listened at: {err}.",
            hint="Name a free port, and one of its own for each training that runs at a time.",
        ) from err
    recorder = Recorder(policy, sampling, listener.getsockname()[1])
    server = uvicorn.Server(
        uvicorn.Config(
            recorder.app, log_level="warning", access_log=False, lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )  # fmt: skip
    server.capture_signals = nullcontext  # type: ignore[assignment]  # the job has them already
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield recorder
    finally:
        server.should_exit = True
        await serving
        listener.close()


async def _read(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise ValueError(f"the body is larger than {MAX_BODY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _answer(body: ChatBody, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.content}
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in reply.tool_calls
        ]
    n_prompt, n_completion = reply.usage.prompt_tokens, reply.usage.completion_tokens
    return {
        "id": f"chatcmpl-{secrets.token_hex(8)}",
        "object": "chat.completion",
        "model": body.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
        "usage": {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_completion,
            "total_tokens": n_prompt + n_completion,
        },
    }


def _error(status: int, code: str, message: str) -> JSONResponse:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return JSONResponse(error_body(code, message, kind), status_code=status)
