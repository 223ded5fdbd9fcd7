"""GGUF files that are a header and next to nothing else."""

from __future__ import annotations

import struct
from pathlib import Path


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def write_gguf(path: Path, shapes: list[tuple[int, ...]]) -> Path:
    """A header as llama.cpp writes it: a word, a number, a vocabulary, then the tensors."""
    words = ["the", "", "cow 🐄"]
    vocabulary = struct.pack("<IIQ", 9, 8, len(words)) + b"".join(_text(word) for word in words)
    raw = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), 3)
    raw += _text("general.architecture") + struct.pack("<I", 8) + _text("llama")
    raw += _text("llama.context_length") + struct.pack("<II", 4, 4096)
    raw += _text("tokenizer.ggml.tokens") + vocabulary
    for number, shape in enumerate(shapes):
        raw += _text(f"blk.{number}") + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        raw += struct.pack("<IQ", 12, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw + bytes(64))
    return path
