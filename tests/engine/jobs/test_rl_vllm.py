"""Learning from reward with a vLLM server as the generator, played by its stand-in: a process of
its own with a real model, which takes new weights from folders as vLLM does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.config import ConfigErrors, load_json
from engine.config.vllm_command import serve_command, why_not
from engine.errors import TrainingError
from engine.lease import Cancellation
from engine.train.samplers import VllmSampler
from engine.train.vllm_process import LOG, Places, VllmProcess, share_gpus
from tests.engine.jobs.processes import events, run_here, start, wait_for
from tests.engine.train.players import make_trainer, plan_of, rl_config, rl_directory
from tests.servers.vllm_process import Running, serve_vllm
from tests.servers.vllm_server import BASE

RATE = 1e-2  # so large that old weights are told from new ones


@pytest.fixture(scope="module")
def shared(player: Path) -> Iterator[Running]:
    with serve_vllm(player) as running:
        yield running


@pytest.fixture
def server(shared: Running, player: Path) -> Running:
    """The stand-in with the player's weights, behaving well, with the calls of this test only."""
    shared.misbehave()  # what the test before has left of it would meet the next line
    shared.reload(player)
    shared.misbehave()
    return shared


def by_vllm(url: str, **more: Any) -> dict[str, Any]:
    config = rl_config(lockstep=False, iterations_per_epoch=2, learning_rate=RATE)
    return {**config, "vllm": {"url": url, **more}}


def run(tmp_path: Path, player: Path, config: dict[str, Any]) -> tuple[int, Path]:
    directory = rl_directory(tmp_path / "run", player, config)
    return run_here(directory), directory


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "lora"])
def test_it_learns_from_what_the_server_samples_with_the_newest_weights(
    player: Path, server: Running, tmp_path: Path, mode: str
) -> None:
    config = by_vllm(server.url)
    config["model"]["trainer_mode"] = mode
    code, directory = run(tmp_path, player, config)
    assert code == 0, events(directory, "result")
    first, second = (m["values"] for m in events(directory, "metric"))
    for values in (first, second):  # before anything was learned, and after the hand-over
        assert values["sync.logprob_distance"] < 1e-3
        assert values["train.loss"] != 0
        assert 0 < values["time.sync"] < 30
        assert values["generate.tokens_per_second"] > 0
    assert any(c["final"] and c["method"] == mode for c in events(directory, "checkpoint"))
    assert [card["id"] for card in server.get("/v1/models")["data"]] == [BASE]  # nothing is left
    route = "/v1/load_lora_adapter" if mode == "lora" else "/collective_rpc"
    assert server.get("/calls").count(route) == 2
    assert not (directory / "generator").exists()


@pytest.mark.slow
def test_weights_go_over_as_often_as_the_config_says(
    player: Path, server: Running, tmp_path: Path
) -> None:
    config = by_vllm(server.url)
    config["training"] |= {"weight_sync_interval": 2, "iterations_per_epoch": 3}
    code, directory = run(tmp_path, player, config)
    assert code == 0, events(directory, "result")
    assert server.get("/calls").count("/collective_rpc") == 2
    apart = [m["values"]["sync.logprob_distance"] for m in events(directory, "metric")]
    assert apart[0] < 1e-3
    assert apart[1] > 1e-3  # played by the weights before
    assert apart[2] < 1e-3


@pytest.mark.slow
def test_a_server_that_kept_old_weights_ends_the_training(
    player: Path, server: Running, tmp_path: Path
) -> None:
    trainer, _ = make_trainer(plan_of(by_vllm(server.url)), player, tmp_path / "c")
    trainer.sampler = trainer.player.sampler = sampler_of(trainer, server, tmp_path)
    assert trainer._iterate()
    server.misbehave("stale")
    with pytest.raises(TrainingError, match="samples from other weights") as caught:
        trainer._iterate()
    assert caught.value.code == "vllm_weights"
    assert "processed_logprobs" in caught.value.hint


def sampler_of(trainer: Any, server: Running, folder: Path, **more: Any) -> VllmSampler:
    from engine.llm.vllm import VllmAddress

    address = VllmAddress(server.url, timeout_s=20)
    return VllmSampler(
        trainer.plan, trainer.policy, address, folder / "weights", Cancellation(), **more
    )


@pytest.mark.slow
def test_log_probabilities_at_another_temperature_are_noticed(player: Path, tmp_path: Path) -> None:
    with serve_vllm(player, "--logprobs-mode", "raw_logprobs") as server:
        config = by_vllm(server.url)
        config["rollout"]["policy_config"]["temperature"] = 0.5
        code, directory = run(tmp_path, player, config)
    assert code != 0
    assert events(directory, "result")[-1]["error"]["code"] == "vllm_weights"


@pytest.mark.slow
def test_a_server_that_was_killed_is_named_with_what_to_do(player: Path, tmp_path: Path) -> None:
    with serve_vllm(player) as server:
        config = by_vllm(server.url)
        config["training"]["iterations_per_epoch"] = 1000
        directory = rl_directory(tmp_path / "run", player, config)
        process = start(directory)
        wait_for(directory, "metric")
        server.kill()
        assert process.wait(timeout=60) != 0
    error = events(directory, "result")[-1]["error"]
    assert error["code"] == "vllm_unreachable"
    assert server.url in error["message"]
    assert f"vllm serve {player}" in error["hint"]
    assert "resume the run" in error["hint"]
    assert events(directory, "checkpoint")  # to go on from


@pytest.mark.slow
def test_one_that_hangs_or_stumbles(player: Path, server: Running, tmp_path: Path) -> None:
    plan = plan_of(by_vllm(server.url))
    trainer, notes = make_trainer(plan, player, tmp_path / "c")
    trainer.player.sampler = sampler_of(trainer, server, tmp_path)
    trainer.player.sampler.ready(1)
    server.misbehave("500", "500")  # two calls are tried again
    assert len(trainer.player.play(1, notes.store).traces) == plan.episodes
    for word, message in (("other", "somebody-else"), ("ids", "not what was asked for")):
        server.misbehave(word)
        with pytest.raises(TrainingError, match=message):
            trainer.player.play(1, notes.store)


@pytest.mark.slow
def test_r14_cancel_does_not_wait_for_a_server_that_hangs(
    player: Path, server: Running, tmp_path: Path
) -> None:
    config = by_vllm(server.url)
    config["training"]["iterations_per_epoch"] = 1000
    directory = rl_directory(tmp_path / "run", player, config)
    process = start(directory)
    wait_for(directory, "metric")
    server.misbehave(*["hang"] * 50)
    time.sleep(1)  # not for a state: long enough that all games wait for an answer
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=15) == 4
    assert any(not c["final"] for c in events(directory, "checkpoint"))


@pytest.mark.slow
def test_a_hang_ends_after_the_time_that_the_config_gives(
    player: Path, server: Running, tmp_path: Path
) -> None:
    server.misbehave("ok", "hang")  # the hand-over, then the first answer
    code, directory = run(tmp_path, player, by_vllm(server.url, timeout_s=2))
    assert code != 0
    error = events(directory, "result")[-1]["error"]
    assert "took longer than 2 s" in error["message"]


@pytest.fixture
def vllm_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `vllm` on the PATH that is the stand-in."""
    script = tmp_path / "bin" / "vllm"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.servers.vllm_server "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")


@pytest.mark.slow
@pytest.mark.usefixtures("vllm_command")
def test_a_server_of_its_own_sleeps_while_the_model_learns_and_ends_with_it(
    player: Path, tmp_path: Path
) -> None:
    config = rl_config(lockstep=False, iterations_per_epoch=2)
    plan = plan_of({**config, "vllm": {"max_model_len": 2048}})
    trainer, notes = make_trainer(plan, player, tmp_path / "c")
    with VllmProcess(plan, player, tmp_path, Places(("0",), 0, True), Cancellation()) as process:
        server = Running(process.process, process.address.url)
        trainer.sampler = trainer.player.sampler = sampler_of(
            trainer, server, tmp_path, colocated=True
        )
        trainer.train()
        calls = server.get("/calls")
    assert sorted(notes.points) == [1, 2]
    assert (calls.count("/sleep"), calls.count("/wake_up")) == (2, 1)
    assert process.process.poll() is not None
    assert notes.points[2]["sync.logprob_distance"] < 1e-3


@pytest.mark.slow
def test_a_server_that_does_not_start_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "vllm"
    script.write_text("#!/bin/sh\necho CUDA out of memory\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    process = VllmProcess(plan_of(rl_config()), tmp_path, tmp_path, Places(("0",), 0, True),
                          Cancellation())  # fmt: skip
    with pytest.raises(TrainingError, match=r"ended with code 3(.|\n)*CUDA out of memory"), process:
        pass
    assert (tmp_path / LOG).is_file()


def test_gpus_are_shared_as_the_topology_says() -> None:
    plan = plan_of({**rl_config(), "topology": {"gpus_for_vllm": 2}})
    assert share_gpus(plan, 4, {}) == Places(("0", "1"), 2, False)
    assert share_gpus(plan, 4, {"CUDA_VISIBLE_DEVICES": "4,5,6,7"}).vllm == ("4", "5")
    assert share_gpus(plan, 1, {}) == Places(("0",), 0, True)
    with pytest.raises(TrainingError, match="leaves none"):
        share_gpus(plan, 2, {})
    together = plan_of({**rl_config(), "topology": {"gpus_for_vllm": 0}})
    assert share_gpus(together, 8, {}).colocated


def test_a_config_chooses_vllm_by_its_keys_also_when_it_is_frozen() -> None:
    from engine.config import Machine, resolve

    for extra, wanted in (({}, False), ({"vllm": {"max_model_len": 4096}}, True)):
        config = load_json({**rl_config(lockstep=False), **extra}).config
        again = load_json(resolve(config, Machine()).config).config
        assert again.plan().generation.wanted is wanted  # type: ignore[attr-defined]
        assert again.plan().generation == config.plan().generation  # type: ignore[attr-defined]


def test_what_vllm_cannot_do_is_refused_with_the_reason() -> None:
    for change in ({"lockstep": True}, {}):
        config = {**rl_config(**change), "vllm": {"url": "http://127.0.0.1:1"}}
        config["training"] = {**config["training"], "lockstep": bool(change)}
        if not change:
            config["rollout"]["policy_config"]["top_p"] = 0.9
        with pytest.raises(ConfigErrors, match="vLLM cannot generate"):
            load_json(config)
    assert "lora" in why_not(plan_of({**rl_config(), "model": {"base": "a", "trainer_mode":
                                                                "qlora"}}))  # fmt: skip


def test_the_command_rounds_the_rank_up_to_one_that_vllm_takes() -> None:
    plan = plan_of({**rl_config(), "lora": {"r": 12}})
    command = serve_command(plan, "m", port="1", colocated=False)
    assert command[command.index("--max-lora-rank") + 1] == "16"
