"""The published `synth-ai`, installed into a venv of its own, unpatched.

All that it depends on is 1.4 GB: it is installed without, beside the packages that the commands
import. A venv is made once and kept below `.pytest_cache`, under the hash of what it holds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

from synthweb.bootstrap import ROOT

VERSIONS = ("0.2.12", "0.2.16")
IMPORTED = [
    *("aiohappyeyeballs", "aiohttp", "aiosignal", "annotated-doc", "annotated-types", "anyio"),
    *("attrs", "certifi", "cffi", "charset-normalizer", "click", "deprecated", "fastapi"),
    *("frozenlist", "h11", "httpcore", "httpx", "idna", "importlib-metadata", "markdown-it-py"),
    *("mdurl", "multidict", "opentelemetry-api", "opentelemetry-sdk"),
    *("opentelemetry-semantic-conventions", "propcache", "pycparser", "pydantic"),
    *("pydantic-core", "pygments", "pynacl", "python-dotenv", "requests", "rich", "sniffio"),
    *("starlette", "typing-extensions", "typing-inspection", "urllib3", "wrapt", "yarl", "zipp"),
]
PATIENCE_S = 200


def install(version: str) -> Path:
    """The venv of a version; made if it is not there yet. Skips, loudly, without an index."""
    wanted = [f"synth-ai=={version}", *IMPORTED]
    digest = hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:12]
    home = ROOT / ".pytest_cache" / f"synth-ai-{version}-{digest}"
    if (home / "bin" / "synth-ai").exists():
        return home
    staged = home.with_name(f"{home.name}.{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)
    venv.create(staged, with_pip=True, symlinks=True)
    pip = [str(staged / "bin" / "python"), "-m", "pip", "install", "-q", "--no-deps", *wanted]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        shutil.rmtree(staged, ignore_errors=True)
        pytest.skip(f"synth-ai {version} cannot be installed here: {done.stderr.strip()[-300:]}")
    shutil.rmtree(home, ignore_errors=True)
    staged.rename(home)
    return home


class Cli:
    """Runs the commands of one version with the variables of an instance, in a folder."""

    def __init__(self, version: str, folder: Path, variables: dict[str, str]) -> None:
        self.python = install(version) / "bin" / "python"
        self.folder, self.variables = folder, dict[str, str]()
        self.set_variables(variables)

    def set_variables(self, changed: Mapping[str, str]) -> None:
        """Give the commands these variables, as environment and as env file."""
        self.variables |= changed
        lines = (f"{name}={value}\n" for name, value in self.variables.items())
        (self.folder / "cli.env").write_text("".join(lines))

    def train(self, kind: str, config: str, *more: str) -> str:
        """`synth-ai train --type KIND --config CONFIG …`; what it printed. Fails unless 0."""
        return self._run(
            "-c", "import sys; from synth_ai.cli import cli; sys.exit(cli())",
            "train", "--type", kind, "--config", config, "--env-file", "cli.env",
            "--poll-interval", "1", "--poll-timeout", str(PATIENCE_S), *more,
        )  # fmt: skip

    def script(self, code: str) -> str:
        """Python that uses the package; what it printed."""
        return self._run("-c", code)

    def _run(self, *arguments: str) -> str:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=self.folder,
            env={**kept, **self.variables, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S + 60,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout
