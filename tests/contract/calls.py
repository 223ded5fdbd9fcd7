"""The calls that `synth-ai train` makes, in the form of the recordings, for checkouts without them.

Written after the contract; `recorded()` reads the real recordings, which hold whole bodies.
"""

from __future__ import annotations

import json
from typing import Any

from tests.samples import sample

JSONL = b"".join(
    json.dumps(
        {
            "messages": [
                {"role": "system", "content": "Play."},
                {"role": "user", "content": f"tree {n}"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "call_0",
                            "type": "function",
                            "function": {
                                "name": "interact_many",
                                "arguments": '{"actions":["do"]}',
                            },
                        }
                    ],
                },
            ]
        }
    ).encode()
    + b"\n"
    for n in range(4)
)
JOB_KEYS = (
    "id job_id object job_type status model created_at fine_tuned_model error training_file_id "
    "hyperparameters metadata"
)
FILE_KEYS = "id object purpose bytes status created_at"
SFT = {
    "model": "Qwen/Qwen3-4B",
    "hyperparameters": {
        "n_epochs": 1, "batch_size": 1, "gradient_accumulation_steps": 64, "sequence_length": 4096,
        "learning_rate": 5e-06, "warmup_ratio": 0.03, "train_kind": "fft",
        "evaluation_strategy": "steps", "eval_steps": 20, "save_best_model_at_end": True,
        "metric_for_best_model": "val.loss", "greater_is_better": False,
    },
    "training_type": "sft_offline",
    "metadata": {
        "effective_config": {
            "compute": {"gpu_type": "H100", "gpu_count": 1, "nodes": 1},
            "data": {"topology": {}},
            "training": {"mode": "sft_offline", "use_qlora": False,
                         "validation": {"enabled": True}},
        }
    },
    "training_file_id": "FILE",
}  # fmt: skip
RL = {
    "job_type": "rl",
    "compute": {"gpu_type": "H100", "gpu_count": 8},
    "data": {
        "endpoint_base_url": "http://127.0.0.1:8001",
        "config": {
            "algorithm": {"type": "online", "method": "policy_gradient", "variety": "gspo"},
            "services": {"task_url": "http://127.0.0.1:8001"},
            "model": {"base": "Qwen/Qwen3-4B", "label": "crafter-rl"},
            "rollout": {"env_name": "crafter", "max_turns": 10, "episodes_per_batch": 64},
            "training": {"num_epochs": 1, "iterations_per_epoch": 10, "batch_size": 16,
                         "group_size": 4, "learning_rate": 5e-05},
        },
        "base_model": "Qwen/Qwen3-4B",
    },
    "tags": {"source": "train-cli"},
    "metadata": {"backend_base_url": "http://127.0.0.1:8000/api"},
}  # fmt: skip


def _call(method: str, path: str, body: Any, status: int, keys: str) -> dict[str, Any]:
    return {"method": method, "path": path, "headers": {}, "body": body, "status": status,
            "response": dict.fromkeys(keys.split())}  # fmt: skip


def written() -> dict[str, list[dict[str, Any]]]:
    """The calls of both versions, by name."""
    found = {}
    for version, files in (("0.2.12", "/api/learning/files"), ("0.2.16", "/api/files")):
        found[f"sft {version}"] = [
            _call("POST", files, "multipart", 200, FILE_KEYS),
            _call("GET", f"{files}/FILE", None, 200, FILE_KEYS),
            _call("POST", "/api/learning/jobs", SFT, 201, JOB_KEYS),
            _call("POST", "/api/learning/jobs/JOB/start", {}, 200, JOB_KEYS),
            _call("GET", "/api/learning/jobs/JOB", None, 200, JOB_KEYS),
        ]
    found["rl"] = [
        _call("POST", "/api/rl/jobs", RL, 201, JOB_KEYS),
        _call("GET", "/api/rl/jobs/JOB", None, 200, JOB_KEYS),
    ]
    return found


def recorded(name: str) -> list[dict[str, Any]]:
    """The calls of a recording; skips loudly in a checkout without it."""
    calls = json.loads(sample(name).read_text())["calls"]
    return [call for call in calls if "verify_task_app" not in call["path"]]
