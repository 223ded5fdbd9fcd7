"""Compiles requirements/{web,train,dev}.lock from pyproject.toml: `make lock`.

Hashes for every file, nothing of whoever compiles it (indexes, links), and torch outside: its CPU
and CUDA builds have different hashes (synthweb/train_parts.py asks for it apart).
"""

from __future__ import annotations

import subprocess
import sys

from synthweb import bootstrap

FLAGS = (
    "--quiet",
    "--generate-hashes",
    "--strip-extras",
    "--allow-unsafe",
    "--no-emit-index-url",
    "--no-emit-find-links",
)
TORCH_APART = (*(flag for flag in FLAGS if flag != "--allow-unsafe"), "--unsafe-package", "torch")
AS_WEB = ("--constraint", "requirements/web.lock")
# In this order: tests run where all three are installed, so each follows those above it.
LOCKS: dict[str, tuple[str, ...]] = {
    "web": FLAGS,
    "train": (*TORCH_APART, "--extra", "train", *AS_WEB),
    "dev": (*FLAGS, "--extra", "dev", *AS_WEB, "--constraint", "requirements/train.lock"),
}


def main() -> int:
    """Compile all locks."""
    for name, flags in LOCKS.items():
        print(f"requirements/{name}.lock …", flush=True)
        command = [sys.executable, "-m", "piptools", "compile", *flags]
        output = ["--output-file", f"requirements/{name}.lock", "pyproject.toml"]
        subprocess.run([*command, *output], cwd=bootstrap.ROOT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
