"""A foreign model becomes a checkpoint of ours: tried out, made complete, written as safetensors.

Lives here: loading it as it will be served and trained, its chat template, GGUF. Which files are
taken is decided by `engine/config/model_folder.py`, templates by `chat.py`; copying and progress
are the job's (`engine/jobs/import_model.py`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from engine.config.model_folder import ModelFolder, read_json
from engine.errors import ConfigError, TrainingError
from engine.train.chat import usable_template
from engine.train.model import load_tokenizer

RESERVE_BYTES = 1 << 30  # what Python, torch and the rest of the machine need besides
SHOWN = 3  # names of weights in a message
TEMPLATE = "chat_template.jinja"


class Tried(NamedTuple):
    """What a model turned out to be. notes: what was done to it, in sentences."""

    architecture: str
    n_parameters: int
    context: int
    notes: list[str]


def check_memory(n_weights: int, *, unpacks: bool = False) -> None:
    """Refuse what can never be held here. Raises TrainingError.

    unpacks: it is unpacked first, which is done in 32 bits without the GPU.
    """
    places = []
    if torch.cuda.is_available():
        places.append((torch.cuda.mem_get_info()[1], 2, "this machine's GPU"))
    if unpacks or not places:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        places.append((total, 4, "this machine, without a GPU,"))
    for total, width, where in places:
        needed = n_weights * width + RESERVE_BYTES
        if needed > total:
            raise TrainingError(
                f"It has {n_weights:,} weights: {needed / 1e9:.1f} GB in memory, and {where} has "
                f"{total / 1e9:.1f} GB.",
                hint="Import a smaller model, or run a worker on a larger machine.",
                code="too_large",
            )


def try_out(folder: Path) -> Tried:
    """Load a staged folder as it will be used, and ask it for one token; mend what it lacks.

    Its chat template and padding token are completed in place. Raises TrainingError when it is no
    causal language model, lacks weights, or computes no numbers.
    """
    tokenizer = load_tokenizer(folder)
    notes = [_complete_tokenizer(folder, tokenizer)]
    tokenizer = load_tokenizer(folder)
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError) as err:
        raise TrainingError(
            f"transformers cannot load it as a causal language model: {_first_line(err)}",
            hint="Only architectures that transformers knows are taken; code in a model's folder "
            "is never run.",
            code="not_loadable",
        ) from err
    _check_complete(model, tokenizer, found)
    _check_numbers(model, tokenizer)
    config = model.config
    return Tried(
        type(model).__name__,
        sum(p.numel() for p in model.parameters()),
        int(getattr(config, "max_position_embeddings", 0) or 0),
        [note for note in notes if note],
    )


def convert_gguf(source: ModelFolder, staged: Path) -> str:
    """Write what a GGUF file holds as safetensors with a tokenizer. Returns a note about it.

    Its blocks become whole numbers again: what quantising took stays lost. Raises ConfigError when
    the package gguf is missing, TrainingError when transformers cannot read the file.
    """
    assert source.gguf is not None  # noqa: S101
    name = source.gguf.name
    from transformers import GgufConfig
    from transformers.utils import is_gguf_available

    if not is_gguf_available():
        raise ConfigError(
            "Reading a GGUF file needs the package gguf, which is not installed here.",
            hint="`pip install gguf` where the worker runs, or import the model as safetensors.",
            code="package_missing",
        )
    options: dict[str, Any] = {"gguf_file": name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.path, **options)
        model = AutoModelForCausalLM.from_pretrained(
            source.path,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            **options,
        )
        model.save_pretrained(staged)
        tokenizer.save_pretrained(staged)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError) as err:
        raise TrainingError(
            f"{name}: transformers cannot read this GGUF file: {_first_line(err)}",
            hint="Import the model's safetensors instead.",
            code="not_loadable",
        ) from err
    return f"Unpacked from {name}: its weights are as exact as that file's blocks."


def _complete_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerBase) -> str:
    """Give it a template that carries tools and a token to pad with; what was changed, in words."""
    if tokenizer.eos_token_id is None:
        raise TrainingError(
            "Its tokenizer names no end-of-text token: nothing would say when an answer ends.",
            hint="Set eos_token in tokenizer_config.json and import it again.",
            code="no_stop_token",
        )
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    template, note = usable_template(tokenizer)
    if note:
        config.pop("chat_template", None)
        (folder / TEMPLATE).write_text(template, encoding="utf-8")
    if tokenizer.pad_token_id is None:
        config["pad_token"] = str(tokenizer.eos_token)
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
    return note


def _check_complete(model: Any, tokenizer: PreTrainedTokenizerBase, found: dict[str, Any]) -> None:
    """transformers fills weights that are not there with random ones, and says so only here."""
    missing = sorted(found["missing_keys"])
    if missing:
        raise TrainingError(
            f"Its files lack {len(missing)} weights that its config names, such as "
            f"{', '.join(missing[:SHOWN])}.",
            hint="Is it a model of another kind (an encoder, a reward model)? Or download it "
            "again.",
            code="weights_missing",
        )
    rows = int(model.get_input_embeddings().weight.shape[0])
    if len(tokenizer) > rows:
        raise TrainingError(
            f"Its tokenizer knows {len(tokenizer)} tokens, its weights {rows}: they do not belong "
            "together.",
            code="wrong_tokenizer",
        )


@torch.inference_mode()
def _check_numbers(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    try:
        text = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        ids = tokenizer(str(text), add_special_tokens=False, return_tensors="pt")["input_ids"]
        finite = bool(torch.isfinite(model(ids).logits).all())
    except Exception as err:  # whatever a foreign template or model does
        message = f"It cannot answer a system and a user message: {_first_line(err)}"
        raise TrainingError(message, code="cannot_answer") from err
    if not finite:
        raise TrainingError("It computes no finite numbers.", code="cannot_answer")


def _first_line(err: Exception) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:300]
