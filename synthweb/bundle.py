"""A task app as a folder that stands by itself: to read, to run anywhere, to deploy.

Lives here: what is in the folder and the check that it works. Not here: the command
(`deploy_task_app`), the application (`engine/http`), which is the very one that `make up` runs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from string import Template
from typing import Any

from synthweb import env
from synthweb.bootstrap import ROOT
from synthweb.ports import port_is_free

TEMPLATES = Path(__file__).with_name("bundle_files")
PARTS = ("events", "http", "llm", "rollout", "tasks", "traces")
MODULES = ("__init__.py", "errors.py", "lease.py")
NEEDS = ("crafter", "h11", "httpx", "numba", "numpy", "pillow", "pydantic", "starlette", "uvicorn")
NEEDS_OF = {"math": ("math-verify", "reasoning-gym")}
CHECK_KEY = "check-key-of-this-start-only"
START_S = 60.0


class BundleError(RuntimeError):
    """The folder cannot be written or does not work; the message says why."""


def write_bundle(folder: Path, *, task: str, name: str) -> list[Path]:
    """Write the bundle of a task (canonical name) and return its files.

    Raises BundleError for a folder that holds something else.
    """
    ours = (folder / "modal_app.py").exists() and (folder / "engine" / "http").exists()
    if folder.exists() and any(folder.iterdir()) and not ours:
        raise BundleError(f"{folder} holds other files; name an empty folder with --out.")
    shutil.rmtree(folder, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in PARTS:
        shutil.copytree(ROOT / "engine" / part, folder / "engine" / part, ignore=ignore)
    for module in MODULES:
        shutil.copy(ROOT / "engine" / module, folder / "engine" / module)
    (folder / "requirements.txt").write_text("\n".join(requirements(task)) + "\n")
    for source in sorted(TEMPLATES.iterdir()):
        text = Template(source.read_text()).safe_substitute(TASK=task, NAME=name)
        (folder / source.name.removesuffix(".in")).write_text(text)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def requirements(task: str) -> list[str]:
    """The pinned packages that the bundle imports, at the versions that are tested here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    by_name = {re.split(r"[\[=<>; ]", line)[0].lower(): line for line in pinned}
    return [by_name[name] for name in (*NEEDS, *NEEDS_OF.get(task, ()))]


def check_bundle(folder: Path, *, environment: str) -> list[str]:
    """Start the bundle from its folder alone and call it; what was seen, line by line.

    environment: the name of its environment. Raises BundleError with the log of a failed start.
    """
    port = next(port for port in range(18_400, 19_400) if port_is_free("127.0.0.1", port))
    log = folder.with_name(f"{folder.name}.check.log")
    kept = env.inherited(("PATH", "HOME", "LANG"))
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, "ENVIRONMENT_API_KEY": CHECK_KEY, "TRACE_DB": "", "PYTHONPATH": ""},
            stdout=out,
            stderr=out,
        )
    try:
        base = f"http://127.0.0.1:{port}"
        _wait(base, process, log)
        seen = _try_calls(base, environment)
    finally:
        process.terminate()
        process.wait(20)
    log.unlink()
    return [*_check_origin(folder), *seen]


def _check_origin(folder: Path) -> list[str]:
    """The engine that ran was the bundle's own, not this checkout's."""
    code = "import engine.http.app as app; print(app.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    if not done.stdout.startswith(str(folder.resolve())):
        raise BundleError(f"The engine came from {done.stdout or done.stderr}, not the bundle.")
    return ["imports its own engine"]


def _wait(base: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _call(f"{base}/")
            return
        except OSError:
            time.sleep(0.1)
    said = log.read_text(errors="replace")[-2000:]
    raise BundleError(f"The bundle did not start within {START_S:g} s:\n{said}")


def _try_calls(base: str, environment: str) -> list[str]:
    """/health, /task_info and one short episode of the environment."""
    routes = f"{base}/env/{environment}"
    try:
        _call(f"{base}/health")
        info = _call(f"{base}/task_info?seed=1")
        made = _call(f"{routes}/initialize", {"seed": 1})
        call = {"tool": info["inference"]["tool"]["name"], "args": _arguments(info)}
        action = {"env_id": made["env_id"], "action": {"tool_calls": [call]}}
        played = _call(f"{routes}/step", action)
        _call(f"{routes}/terminate", {"env_id": made["env_id"]})
    except (OSError, ValueError, KeyError) as err:
        said = err.read()[:500] if isinstance(err, urllib.error.HTTPError) else err
        raise BundleError(f"The bundle started and does not work: {said!r}") from err
    task = info["task"]["name"]
    return [
        "answers /health",
        f"answers /task_info: {task}",
        f"plays a step of {environment}: step_idx {played['step_idx']}",
    ]


def _arguments(info: dict[str, Any]) -> dict[str, Any]:
    actions = info["action_space"]["actions"]
    return {"actions": [actions[0]]} if len(actions) > 1 else {"answer": "0"}


def _call(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"X-API-Key": CHECK_KEY})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.loads(answer.read())
