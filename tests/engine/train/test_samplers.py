"""Which weights a vLLM server plays with, and what its lost answers do to a training."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import TrainingError
from engine.lease import Cancellation
from engine.llm import vllm
from engine.llm.vllm import VllmAddress, VllmClient
from engine.train.policy import load_policy
from engine.train.samplers import VllmSampler
from tests.engine.train.foreign import write_foreign
from tests.engine.train.players import plan_of, rl_config
from tests.servers.adapter_server import AdapterServer

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "PAUSE_S", 0.01)


def ask(server: AdapterServer, call: Callable[[VllmClient], Awaitable[None]]) -> None:
    async def asked() -> None:
        client = VllmClient(VllmAddress(server.origin, timeout_s=5))
        try:
            await call(client)
        finally:
            client.close()

    asyncio.run(asked())


def sampler_of(server: AdapterServer, folder: Path, **training: Any) -> VllmSampler:
    config = rl_config(lockstep=False, **training)
    config["model"]["trainer_mode"] = "lora"
    plan = plan_of({**config, "vllm": {"url": server.origin}})
    policy = load_policy(write_foreign(folder / "model"), plan.method, plan.lora, None)
    address = VllmAddress(server.origin, timeout_s=5)
    return VllmSampler(plan, policy, address, folder / "weights", Cancellation())


@pytest.mark.parametrize("word", ["500", "close"])
def test_a_call_that_took_effect_though_its_answer_was_lost_is_done(word: str) -> None:
    with AdapterServer(word, "ok", word) as server:
        ask(server, lambda client: client.load_adapter("a", "/folder"))
        assert server.adapters == {"a"}
        ask(server, lambda client: client.unload_adapter("a"))
        assert server.adapters == set()
        assert server.heard == [(LOAD, "a")] * 2 + [(UNLOAD, "a")] * 2


def test_an_adapter_that_is_refused_for_another_reason_ends_it() -> None:
    with AdapterServer() as server, pytest.raises(TrainingError, match="max_lora_rank") as caught:
        ask(server, lambda client: client.load_adapter("too-large", "/folder"))
    assert caught.value.code == "vllm_refused"


def test_without_weight_sync_only_evaluations_get_the_weights_as_they_are(tmp_path: Path) -> None:
    with AdapterServer() as server:
        sampler = sampler_of(server, tmp_path, weight_sync={"enable": False})
        for version, now, loads in ((1, False, 1), (2, False, 1), (3, True, 2), (3, False, 2)):
            sampler.ready(version, now=now)
            assert [path for path, _ in server.heard].count(LOAD) == loads
        assert server.adapters == {sampler.model}
        sampler.close()
        assert server.adapters == set()


@pytest.mark.parametrize("word", ["hang", "500"])
def test_a_server_that_does_not_let_go_neither_ends_nor_holds_up_a_training(
    tmp_path: Path, word: str
) -> None:
    with AdapterServer("ok", *[word] * 9) as server:
        sampler = sampler_of(server, tmp_path)
        sampler.ready(1)
        started = time.monotonic()
        sampler.close()
        assert time.monotonic() - started < 5
        assert server.heard[-1] == (UNLOAD, sampler.model)
        assert not sampler.folder.exists()
