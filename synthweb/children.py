"""Which processes make up an instance, in the order of their start. One line a child."""

from __future__ import annotations

import socket
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from synthweb import broker, settings

PYTHON = sys.executable
MANAGE = str(settings.BASE_DIR / "manage.py")
# glibc keeps a heap for each thread otherwise: tens of megabytes in a process of eight.
SMALL = {"MALLOC_ARENA_MAX": "2"}
NO_PAGES = {**SMALL, "SYNTHWEB_PAGES": "0"}


class Child(NamedTuple):
    name: str
    command: list[str]
    environment: Mapping[str, str] = {}
    once: bool = False  # a one-shot: started again only if a signal killed it
    is_ready: Callable[[], bool] | None = None  # the next child waits for it
    ready_s: float = 10.0


def children() -> list[Child]:
    """Broker (unless REDIS_URL names one), web, task app, worker, ticker, training parts."""
    found = [
        Child("web", [PYTHON, "-m", "synthweb.server"], SMALL, is_ready=web_answers, ready_s=60),
        Child(
            "task-app",
            task_app_command(),
            task_app_environment(),
            is_ready=task_app_answers,
            ready_s=60,
        ),
        Child("worker", worker_command(), {"OMP_WAIT_POLICY": "PASSIVE", **NO_PAGES}),
    ]
    if has_module("apps.worker.management.commands.tick"):
        found.append(Child("ticker", [PYTHON, MANAGE, "tick", "--loop"], NO_PAGES))
    if not settings.REDIS_URL:
        command = broker.server_command(settings.BROKER_SOCKET)
        found.insert(0, Child("broker", command, is_ready=broker_answers))
    if settings.INSTALL_TRAIN:
        install = [PYTHON, "-m", "synthweb.bootstrap", "train"]
        found.append(Child("train-install", install, once=True))
    return found


def has_module(name: str) -> bool:
    """Is this module part of the checkout? Unlike find_spec, a missing parent is a plain no."""
    return (settings.BASE_DIR / name.replace(".", "/")).with_suffix(".py").exists()


def worker_command() -> list[str]:
    """One Celery worker in threads: each holds the supervisor of one engine child."""
    needs = [need for need, count in settings.SLOTS.items() if count]
    return [
        *(PYTHON, "-m", "celery", "-A", "synthweb", "worker"),
        *("-P", "threads", "-c", str(max(1, sum(settings.SLOTS.values())))),
        *("-Q", ",".join(needs), "--without-gossip", "--without-mingle"),
        *("--loglevel", settings.LOG_LEVEL),
    ]


def task_app_command() -> list[str]:
    """Every task app over HTTP, without Django: `engine/http`."""
    return [
        *(PYTHON, "-m", "engine.http", "--host", settings.HOST),
        *("--port", str(settings.TASK_APP_PORT), "--trace-db", str(settings.TASK_APP_TRACES)),
    ]


def task_app_environment() -> dict[str, str]:
    """Its keys, and what of this machine a rollout may call: what `make up` itself starts."""
    ports = [f"http://{name}:{settings.TASK_APP_PORT}" for name in ("127.0.0.1", "localhost")]
    webs = [f"http://{name}:{settings.PORT}" for name in ("127.0.0.1", "localhost")]
    own = [settings.PUBLIC_URL, settings.INTERNAL_URL, settings.TASK_APP_INTERNAL_URL]
    return {
        **SMALL,
        "SYNTHWEB_HOME": str(settings.SYNTHWEB_HOME),
        "ENVIRONMENT_API_KEY": settings.ENVIRONMENT_API_KEY,
        "ENVIRONMENT_API_KEY_ALIASES": ",".join(settings.ENVIRONMENT_API_KEY_ALIASES),
        "SYNTHWEB_ALLOW_HOSTS": ",".join(settings.ALLOW_HOSTS),
        "TASK_APP_OWN_URLS": ",".join(dict.fromkeys((*own, *webs, *ports))),
    }


def task_app_answers() -> bool:
    """Does our task app answer on its port?"""
    return _answers(f"{settings.TASK_APP_INTERNAL_URL}/")


def broker_answers() -> bool:
    """Does the embedded broker take connections?"""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(settings.BROKER_SOCKET))
    except OSError:
        return False
    return True


def web_answers() -> bool:
    """Does our own web process answer on its port?"""
    return _answers(f"{settings.INTERNAL_URL}/healthz")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def logs_dir() -> Path:
    """Where the children write what they print."""
    return settings.SYNTHWEB_HOME / "logs"
