"""A stand-in for vLLM's server: the routes that a training uses, answered by a real small model.

`python -m tests.servers.vllm_server serve MODEL --port 8001 [what vllm serve takes …]`; MODEL is a
checkpoint's folder. It is as strict as vLLM is: adapters need --enable-lora and
VLLM_ALLOW_RUNTIME_LORA_UPDATING, weights and sleep VLLM_SERVER_DEV_MODE=1; without
`--logprobs-mode processed_logprobs` log probabilities are those at temperature 1; after a reload it
goes on with the old weights until /reset_prefix_cache (vLLM: with what it had read by them).
Sampling is a plain loop over transformers, none of our own decoding.

It misbehaves by POST /misbehave {"words": [...]}, one word for each completion or reload from then
on (it forgets the calls that it got):
`ok`; `500`; `hang` (never answers); `stale` (says that it took new weights, and did not); `other`
(answers in the name of another model); `ids` (claims other prompt ids than it was given).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import threading
from collections import deque
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

DEV, LORA = "VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
BASE = "served-base"  # the name that the stand-in gives its model


class Vllm:
    """The model, its adapters, and what it was told to do wrong."""

    def __init__(self, options: argparse.Namespace) -> None:
        from transformers import AutoModelForCausalLM

        self.options = options
        self.load = lambda path: AutoModelForCausalLM.from_pretrained(path).eval()
        self.model: Any = self.load(options.model)
        self.pending: Any = None  # reloaded weights that wait for the cache to be forgotten
        self.adapters: dict[str, str] = {}
        self.asleep = False
        self.words: deque[str] = deque()
        self.calls: list[str] = []
        self.lock = threading.Lock()

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON of one completion."""
        import torch

        with self.lock, torch.inference_mode():
            if body["model"] in self.adapters:
                self.model.set_adapter(body["model"])
                ids, logprobs, reason = self._sample(body)
            elif self.adapters:
                with self.model.disable_adapter():
                    ids, logprobs, reason = self._sample(body)
            else:
                ids, logprobs, reason = self._sample(body)
        told = {"tokens": [f"token_id:{i}" for i in ids], "token_logprobs": logprobs}
        choice = {"index": 0, "text": "", "finish_reason": reason, "logprobs": told}
        if body.get("return_token_ids"):
            choice |= {"token_ids": ids, "prompt_token_ids": body["prompt"]}
        return {"object": "text_completion", "model": body["model"], "choices": [choice]}

    def _sample(self, body: dict[str, Any]) -> tuple[list[int], list[float], str]:
        import torch

        heat, generator = float(body["temperature"]), torch.Generator().manual_seed(body["seed"])
        processed = self.options.logprobs_mode == "processed_logprobs"
        ids, logprobs, past = list[int](), list[float](), None
        fed = torch.tensor([body["prompt"]])
        while len(ids) < body["max_tokens"]:
            out = self.model(input_ids=fed, past_key_values=past, use_cache=True)
            past, logits = out.past_key_values, out.logits[0, -1].float()
            chances = (logits / (heat or 1.0)).log_softmax(-1)
            token = int(torch.multinomial(chances.exp(), 1, generator=generator)) if heat else int(
                logits.argmax()
            )  # fmt: skip
            ids.append(token)
            logprobs.append(float((chances if processed else logits.log_softmax(-1))[token]))
            if token in body["stop_token_ids"]:
                return ids, logprobs, "stop"
            fed = torch.tensor([[token]])
        return ids, logprobs, "length"

    def add(self, name: str, path: str) -> None:
        """Load an adapter from its folder."""
        from peft import PeftModel

        with self.lock:
            if isinstance(self.model, PeftModel):
                self.model.load_adapter(path, adapter_name=name)
            else:
                self.model = PeftModel.from_pretrained(self.model, path, adapter_name=name).eval()
            self.adapters[name] = path

    def drop(self, name: str) -> None:
        with self.lock:
            del self.adapters[name]
            if self.adapters:
                self.model.delete_adapter(name)
            else:
                self.model = self.model.unload()


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message}}, status_code=status)


class Answers:
    """What each route says."""

    def __init__(self, vllm: Vllm) -> None:
        self.vllm = vllm

    async def health(self, _: Request) -> Response:
        return Response()

    async def models(self, _: Request) -> Response:
        cards: list[dict[str, Any]] = [
            {"id": BASE, "root": self.vllm.options.model, "parent": None}
        ]
        cards += [{"id": name, "parent": BASE} for name in self.vllm.adapters]
        return JSONResponse({"data": cards})

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        word = await self.misbehaves()
        if word == "500":
            return _error(500, "out of order")
        if self.vllm.asleep:
            return _error(500, "the engine sleeps")
        if body["model"] not in (BASE, *self.vllm.adapters):
            return _error(404, f"The model `{body['model']}` does not exist.")
        answer = await asyncio.to_thread(self.vllm.complete, body)
        if word == "other":
            answer["model"] = "somebody-else"
        if word == "ids":
            answer["choices"][0]["prompt_token_ids"] = [1, *body["prompt"]]
        return JSONResponse(answer)

    async def load_adapter(self, request: Request) -> Response:
        body = await request.json()
        if body["lora_name"] in self.vllm.adapters:
            return _error(400, f"The lora adapter '{body['lora_name']}' has already been loaded.")
        rank = json.loads((Path(body["lora_path"]) / "adapter_config.json").read_text())["r"]
        if rank > self.vllm.options.max_lora_rank:
            return _error(400, f"LoRA rank {rank} is greater than max_lora_rank")
        await asyncio.to_thread(self.vllm.add, body["lora_name"], body["lora_path"])
        return Response("Success")

    async def unload_adapter(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        if name not in self.vllm.adapters:
            return _error(404, f"The lora adapter '{name}' cannot be found.")
        await asyncio.to_thread(self.vllm.drop, name)
        return Response("Success")

    async def rpc(self, request: Request) -> Response:
        body = await request.json()
        if body["method"] != "reload_weights":
            return _error(500, f"no method {body['method']}")
        if await self.misbehaves() != "stale":
            path = body["kwargs"]["weights_path"]
            self.vllm.pending = await asyncio.to_thread(self.vllm.load, path)
        return JSONResponse({"results": [None]})

    async def reset(self, _: Request) -> Response:
        if self.vllm.pending is not None:
            self.vllm.model, self.vllm.pending = self.vllm.pending, None
        return JSONResponse({"success": True})

    async def sleep(self, request: Request) -> Response:
        self.vllm.asleep = request.url.path == "/sleep"
        return Response()

    async def misbehaves(self) -> str:
        word = self.vllm.words.popleft() if self.vllm.words else "ok"
        if word == "hang":
            await asyncio.sleep(3600)
        return word

    async def misbehave(self, request: Request) -> Response:
        self.vllm.words = deque((await request.json())["words"])
        self.vllm.calls.clear()
        return Response()

    async def calls(self, _: Request) -> Response:
        return JSONResponse(self.vllm.calls)


def make_app(vllm: Vllm) -> Any:
    """The routes; those that vLLM has to be allowed are not there without."""
    answers = Answers(vllm)
    routes = [
        Route("/health", answers.health),
        Route("/v1/models", answers.models),
        Route("/v1/completions", answers.complete, methods=["POST"]),
        Route("/misbehave", answers.misbehave, methods=["POST"]),
        Route("/calls", answers.calls),
    ]
    if vllm.options.enable_lora and os.environ.get(LORA):
        routes += [
            Route("/v1/load_lora_adapter", answers.load_adapter, methods=["POST"]),
            Route("/v1/unload_lora_adapter", answers.unload_adapter, methods=["POST"]),
        ]
    if os.environ.get(DEV) == "1":
        routes += [
            Route("/collective_rpc", answers.rpc, methods=["POST"]),
            Route("/reset_prefix_cache", answers.reset, methods=["POST"]),
        ]
        if vllm.options.enable_sleep_mode:
            routes += [
                Route(path, answers.sleep, methods=["POST"]) for path in ("/sleep", "/wake_up")
            ]
    app = Starlette(routes=routes)

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] not in ("/calls", "/misbehave", "/health"):
            vllm.calls.append(scope["path"])
        await app(scope, receive, send)

    return noted


def main() -> None:
    """The arguments of `vllm serve` that a training gives; others end it as they end vLLM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--generation-config", default="auto")
    parser.add_argument("--logprobs-mode", default="raw_logprobs")
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--max-lora-rank", type=int, default=16)
    parser.add_argument("--enable-sleep-mode", action="store_true")
    options = parser.parse_args()
    import torch
    import uvicorn

    torch.set_num_threads(1)
    app = make_app(Vllm(options))
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
