"""Processes, commands and memory of a launch, with figures worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Machine, load_toml, resolve
from engine.config.launch_plan import LaunchPlan, read_cluster
from engine.config.launching import plan_launch
from engine.config.memory import GIB, Work, estimate, gpu_bytes
from engine.config.model_sizes import KNOWN, ModelSize, size_by_id, size_of_config

FFT = """
[job]
model = "Qwen/Qwen3-4B"
data = "dataset:1"
[hyperparameters]
per_device_batch = 1
sequence_length = 2048
[hyperparameters.parallelism]
activation_checkpointing = true
"""
ZERO3 = "use_deepspeed = true\ndeepspeed_stage = 3\n"
RL = """
type = "rl"
[model]
base = "Qwen/Qwen3-4B"
[topology]
gpus_for_vllm = 2
gpus_for_training = 1
[vllm]
tensor_parallel_size = 2
max_model_len = 8192
"""


def plan(text: str, gpus: str) -> LaunchPlan:
    made = plan_launch(load_toml(text, name="t.toml").config, size_by_id, read_cluster(gpus))
    assert made is not None
    return made


def test_the_table_knows_how_many_weights_the_families_have() -> None:
    assert KNOWN["Qwen/Qwen3-4B"].n_params == pytest.approx(4.02e9, rel=0.005)
    assert KNOWN["Qwen/Qwen3-30B-A3B"].n_params == pytest.approx(30.5e9, rel=0.005)
    assert size_by_id("ft:Qwen/Qwen3-8B:job_0123456789abcdef") == KNOWN["Qwen/Qwen3-8B"]
    raw = {"hidden_size": 128, "num_attention_heads": 4, "num_hidden_layers": 3,
           "intermediate_size": 384, "vocab_size": 960, "tie_word_embeddings": True}  # fmt: skip
    size = size_of_config(raw)
    assert size is not None
    assert size.n_params == 3 * (4 * 128 * 128 + 3 * 128 * 384) + 960 * 128
    assert size_of_config({"hidden_size": "?"}) is None


def test_a_full_training_holds_weights_gradients_and_two_moments() -> None:
    size = KNOWN["Qwen/Qwen3-4B"]
    work = Work(size, "full", 16, "none", 1, 1, 2048, recompute=True)
    parts = {part.name: part.size_bytes for part in estimate(work)}
    assert parts["weights"] == parts["gradients"] == 2 * size.n_params
    assert parts["optimiser"] == 4 * size.n_params
    assert parts["activations"] == 2048 * 2560 * (34 + 36 * 2)
    assert parts["logits"] == 8 * 2048 * 151_936


def test_zero_3_divides_everything_and_keeps_a_copy_in_32_bits() -> None:
    size = KNOWN["Qwen/Qwen3-4B"]
    work = Work(size, "full", 16, "zero3", 8, 1, 2048, recompute=True)
    parts = {part.name: part.size_bytes for part in estimate(work)}
    assert parts["weights"] == int(2 * size.n_params / 8)
    assert parts["optimiser"] == 12 * size.n_params // 8


@pytest.mark.parametrize(
    ("gpus", "processes", "words"),
    [
        ("1 H100", 1, "$ python -m engine RUN_DIR"),
        (
            "8 H100",
            8,
            "accelerate launch --num_processes 8 --num_machines 1 --mixed_precision bf16",
        ),
        ("2x8 H100", 16, "--num_processes 16 --num_machines 2 --machine_rank $RANK"),
    ],
)
def test_the_launch_names_its_processes_and_says_that_no_gpu_ran_it(
    gpus: str, processes: int, words: str
) -> None:
    made = plan(FFT + ZERO3, gpus)
    text = "\n".join(made.lines())
    assert (made.processes, made.refusals) == (processes, [])
    assert words in text
    assert ("--zero_stage 3" in text) == (processes > 1)
    assert "not yet run on a GPU" in text


def test_cpu_processes_that_share_weights_are_started_as_the_dry_run_says() -> None:
    text = FFT.replace("activation_checkpointing = true", "fsdp = true")
    made = plan(f"{text}[training]\ncpu_processes = 2\n", "cpu")
    assert made.commands[0].startswith("env ACCELERATE_USE_FSDP=true FSDP_VERSION=2 ")
    assert "torchrun --standalone --nproc_per_node 2" in made.commands[0]
    config = load_toml(f"{text}[training]\ncpu_processes = 2\n", name="t.toml").config
    assert "hyperparameters.parallelism.fsdp" not in {
        effect.key for effect in resolve(config, Machine()).effects
    }


def test_the_best_model_of_deepspeed_stage_3_is_refused() -> None:
    best = "[training.validation]\nsave_best_model_at_end = true\n"
    (refusal,) = plan(FFT + ZERO3 + best, "8 H100").refusals
    assert "take fsdp" in refusal


def test_what_cannot_fit_is_refused_with_what_to_do() -> None:
    assert plan(FFT, "1 H100").refusals == []
    (refusal,) = plan(FFT, "1 L4").refusals
    assert "do not fit into the 24 GiB of a L4" in refusal
    assert "train_kind = lora" in refusal
    assert plan(FFT.replace("[job]", "[training]\nuse_qlora = true\n[job]"), "1 L4").refusals == []


def test_generation_and_training_share_the_gpus_as_the_topology_says() -> None:
    made = plan(RL, "4 H100")
    assert made.devices == ["GPU 0–1: vLLM, tensor parallel 2", "GPU 2: training"]
    assert made.commands[0].startswith("VLLM_SERVER_DEV_MODE=1 ")
    assert "vllm serve Qwen/Qwen3-4B" in made.commands[0]
    assert "--tensor-parallel-size 2" in made.commands[0]
    assert "--max-model-len 8192" in made.commands[0]
    assert made.commands[1] == "python -m engine RUN_DIR"
    assert made.refusals == []
    assert any("more than the 2 there are" in r for r in plan(RL, "2 H100").refusals)


def test_on_one_gpu_training_and_vllm_take_turns_in_its_memory() -> None:
    text = RL.replace("gpus_for_vllm = 2", "").replace("tensor_parallel_size = 2", "")
    made = plan(f"{text}\n[training]\nbatch_size = 4\n", "1 H200")
    assert made.devices == ["GPU 0: training and vLLM in turns, which sleeps meanwhile"]
    assert "--enable-sleep-mode" in made.commands[0]
    parts = {part.name: part.size_bytes for part in made.memory}
    assert parts["vLLM"] == int(0.4 * 141 * GIB)
    assert "KV cache" not in parts
    assert made.refusals == []
    assert "do not fit into the 80 GiB" in plan(text, "1 H100").refusals[0]


def test_a_generator_that_is_too_small_is_refused() -> None:
    (refusal,) = plan(RL.replace("Qwen3-4B", "Qwen3-32B") + "[lora]\n", "4 L4").refusals[:1]
    assert "of vLLM do not fit into 0.9 of the 24 GiB of a L4" in refusal


def test_a_server_that_runs_already_is_named_with_its_command() -> None:
    made = plan(RL.replace("[vllm]", '[vllm]\nurl = "http://127.0.0.1:8001"'), "1 H200")
    assert made.devices[1] == "http://127.0.0.1:8001: vLLM"
    assert made.commands == ["python -m engine RUN_DIR"]
    assert any("vllm serve Qwen/Qwen3-4B" in note for note in made.notes)


def test_the_shipped_training_from_reward_fits_where_it_says() -> None:
    text = (Path(__file__).parents[3] / "configs" / "rl_from_base_qwen4b.toml").read_text()
    made = plan_launch(load_toml(text, name="t.toml").config, size_by_id)
    assert made is not None
    assert made.refusals == []
    assert made.devices[0] == "GPU 0–3: vLLM, tensor parallel 4"


def test_a_number_of_gpus_is_read_or_refused() -> None:
    assert read_cluster("2x8 h100") == (2, 8, "H100")
    assert str(read_cluster("cpu")) == "CPU"
    assert gpu_bytes("NVIDIA H100 80GB") == 80 * GIB
    for bad in ("", "0", "x8", "2x", "many"):
        with pytest.raises(ValueError, match="no number of GPUs"):
            read_cluster(bad)


def test_a_large_model_from_outside_computes_activations_twice_on_a_cpu_too() -> None:
    """A small one, made here, does not: its activations are small and its prompts short."""
    smol = ModelSize(576, 30, 9, 3, 64, 1536, 49_152, tied=True)
    ours = ModelSize(128, 3, 4, 4, 32, 384, 1284, tied=True)
    text = 'type = "rl"\n[model]\nbase = "m"\n[rollout]\nobservation = "compact"\n'
    config, parts = load_toml(text, name="t.toml").config, {}
    for name, size in {"from outside": smol, "ours": ours}.items():
        made = plan_launch(config, {"m": size}.get, read_cluster("cpu"))
        assert made is not None
        parts[name] = {part.name: part for part in made.memory}["activations"]
    tokens = 16 * (1024 + 256)
    assert parts["from outside"].size_bytes == tokens * 576 * (34 * 2 + 30 * 2)
    assert parts["ours"].size_bytes == 16 * (256 + 256) * 128 * 34 * 2 * 3
