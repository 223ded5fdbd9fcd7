"""What a folder with a foreign model holds, seen without loading it: which files are taken, how
many weights they are, and what speaks against taking them.

Weights are safetensors or one GGUF file; a pickle is never read (S7). Loading: `engine/train`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from engine.config.gguf import read_gguf_count
from engine.errors import ConfigError

WEIGHTS, INDEX, GGUF = "model.safetensors", "model.safetensors.index.json", ".gguf"
TEXT = frozenset((".json", ".jinja", ".txt", ".md", ".model"))  # of the tokenizer, and the card
PICKLES = frozenset((".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack"))
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
MAX_HEADER_BYTES = 100 << 20
MAX_TEXT_BYTES = 256 << 20
SHOWN_CHARS = 200  # of a path in a message


class Chosen(NamedTuple):
    """Names of files: those that a model needs, and those that stay where they are."""

    taken: list[str]
    left_out: list[str]


class ModelFolder(NamedTuple):
    """A model that may be taken: its files below `path`, n_weights numbers in all."""

    path: Path
    files: Chosen
    size_bytes: int
    n_weights: int

    @property
    def gguf(self) -> Path | None:
        """The one file that holds everything, if it is a GGUF."""
        names = [name for name in self.files.taken if name.endswith(GGUF)]
        return self.path / names[0] if names else None

    @property
    def unpacked_bytes(self) -> int:
        """What a checkpoint of it takes: a GGUF file's weights become 32 bits wide."""
        return self.size_bytes if self.gguf is None else 4 * self.n_weights


def choose_files(names: Iterable[str], where: str, index: Mapping[str, Any] | None) -> Chosen:
    """What is taken of the files of a folder or repository, by their names alone.

    index: what model.safetensors.index.json holds, where it is there. Raises ConfigError.
    """
    names = sorted(names)
    top = [name for name in names if "/" not in name]
    if "adapter_config.json" in top:
        raise _bad(
            f"{where} holds an adapter without the weights that it belongs to.",
            "Merge it into its base (peft: merge_and_unload), save that, and import the folder.",
        )
    gguf = [name for name in top if name.endswith(GGUF)]
    shards = _shards(index) if index else {WEIGHTS} & set(top)
    if not shards and len(gguf) == 1:
        return Chosen(gguf, [name for name in names if name not in gguf])
    if not shards:
        raise _no_weights(where, top, gguf)
    missing = sorted(shards - set(top))
    if missing:
        raise _bad(f"{where} lacks {missing[0]}, which its index names.", "Download it again.")
    if "config.json" not in top:
        raise _bad(
            f"{where} has no config.json: nothing says what its weights are.",
            "Import the whole folder, as save_pretrained writes it.",
        )
    if not set(TOKENIZERS) & set(top):
        raise _bad(f"{where} has no tokenizer.", f"One of {', '.join(TOKENIZERS)} is needed.")
    taken = [n for n in top if n in shards or (Path(n).suffix in TEXT and not n.startswith("."))]
    return Chosen(taken, [name for name in names if name not in taken])


def look_into(path: Path, inside: Path | None = None) -> ModelFolder:
    """A model's folder, or one GGUF file, on this machine.

    inside: nothing may lie outside of this folder, links followed. Raises ConfigError saying what
    is wrong with it.
    """
    try:
        return _look_into(path, inside)
    except (OSError, ValueError, RuntimeError) as err:  # links in a circle are a RuntimeError
        why = getattr(err, "strerror", None) or err
        hint = "Check the path, and that the server's user may read all of it."
        raise _bad(f"{str(path)[:SHOWN_CHARS]} cannot be read: {why}.", hint) from err


def _look_into(path: Path, inside: Path | None) -> ModelFolder:
    path = _within(path, inside)
    if path.is_file() and path.suffix == GGUF:
        n_weights = count_gguf(path)
        return ModelFolder(path.parent, Chosen([path.name], []), path.stat().st_size, n_weights)
    if not path.is_dir():
        raise _bad(f"There is no folder {path}.", "Name the folder that holds config.json.")
    here = [child for child in sorted(path.iterdir()) if child.is_file()]
    index = read_json(path / INDEX) if (path / INDEX).is_file() else None
    files = choose_files((child.name for child in here), path.name, index)
    for name in files.taken:
        _within(path / name, inside)
        if Path(name).suffix in TEXT and (path / name).stat().st_size > MAX_TEXT_BYTES:
            raise _bad(f"{name} is larger than {MAX_TEXT_BYTES >> 20} MiB.", "Is it a tokenizer?")
    size = sum((path / name).stat().st_size for name in files.taken)
    n_weights = sum(count_weights(path / n) for n in files.taken if n.endswith(".safetensors"))
    if any(name.endswith(".safetensors") for name in files.taken):
        read_json(path / "config.json")
    n_weights += sum(count_gguf(path / name) for name in files.taken if name.endswith(GGUF))
    return ModelFolder(path, files, size, n_weights)


def count_weights(path: Path) -> int:
    """The numbers in a safetensors file, by its header. Raises ConfigError when it is none."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 2 <= size <= MAX_HEADER_BYTES:
                raise ValueError(f"a header of {size} bytes")
            header = json.loads(file.read(size))
        tensors = [value for name, value in header.items() if name != "__metadata__"]
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors), default=0)
        if 8 + size + end != path.stat().st_size:
            raise ValueError("it is cut off")
        return sum(math.prod(tensor["shape"]) for tensor in tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise _bad(f"{path.name} is no safetensors file: {err}", "Download it again.") from err


def count_gguf(path: Path) -> int:
    """The numbers in a GGUF file, by its header. Raises ConfigError when it is none."""
    try:
        return read_gguf_count(path)
    except (OSError, ValueError, RecursionError) as err:
        raise _bad(f"{path.name} is no GGUF file: {err}", "Download it again.") from err


def _shards(index: Mapping[str, Any]) -> set[str]:
    files = index.get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise _bad(f"{INDEX} says of no weight in which file it is.", "Download it again.")
    return set(files.values())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ConfigError naming the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
        raise _bad(f"{path.name} cannot be read: {err}", "Download it again.") from err
    if not isinstance(found, dict):
        raise _bad(f"{path.name} holds no JSON object.", "Download it again.")
    return found


def _within(path: Path, inside: Path | None) -> Path:
    real = path.resolve()
    if inside is not None and not real.is_relative_to(inside.resolve()):
        raise ConfigError(
            f"{path} lies outside of {inside}.",
            hint="Put the model below that folder (SYNTHWEB_BASE_MODELS), or let the operator "
            "import it with `manage.py import_model`.",
            code="outside",
        )
    return real


def _no_weights(where: str, top: list[str], gguf: list[str]) -> ConfigError:
    pickles = [name for name in top if Path(name).suffix in PICKLES]
    if len(gguf) > 1:
        return _bad(f"{where} holds {len(gguf)} GGUF files.", f"Name one: {', '.join(gguf)}.")
    if pickles:
        return ConfigError(
            f"{where} has its weights as a pickle ({pickles[0]}), which could run code when it is "
            "read: it is not imported.",
            hint="Convert it where you trust it: AutoModelForCausalLM.from_pretrained(…)"
            ".save_pretrained(FOLDER) writes safetensors.",
            code="pickle_refused",
        )
    return _bad(
        f"{where} holds no weights: neither {WEIGHTS} nor {INDEX} nor a GGUF file.",
        "Name the folder as save_pretrained writes it.",
    )


def _bad(message: str, hint: str) -> ConfigError:
    return ConfigError(message, hint=hint, code="bad_model")
