"""Asking a remote task app what it is before games go there, and saying what is wrong with it.

Lives here: the calls, the report, the words. Not here: which address is a task app
(`task_apps.py`), the rules of outgoing calls (`apps/providers`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.launch.services.task_apps import is_own, plays_here, task_app_of
from apps.providers.asking import Answer, ask
from apps.providers.models import Provider, ProviderKind
from apps.providers.queries import key_of
from apps.providers.services import TestResult, test_provider
from apps.providers.urls import origin_of
from engine.config import Loaded, PlayConfig, RlConfig

SAID_CHARS = 300
OWN = "this instance"  # whose key our own task app gets


@dataclass(frozen=True)
class Called:
    """One call of a check. status 0: nothing came back."""

    path: str
    status: int
    took_ms: float
    said: str


@dataclass(frozen=True)
class TaskAppReport:
    """What a task app answered. `key_of` names whose key was sent, "" when none was.

    `info` is its task_info (the first one, where it gives a list); `message` and `hint` say in
    words what is wrong and what to do, or that all is well.
    """

    ok: bool
    url: str
    message: str
    hint: str = ""
    key_of: str = ""
    task: str = ""
    calls: tuple[Called, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def words(self) -> str:
        """The whole report as text: what was called, what came back, what to do."""
        lines = [self.message]
        lines += [f"GET {c.path}: {c.status or 'no answer'} ({c.said})" for c in self.calls]
        return " ".join((*lines, self.hint)).strip()


def check_task_app(project: Project, loaded: Loaded) -> None:
    """Ask the task app that a config names before games go there; others pass at once.

    Raises Refused(422) with the report. Blocks up to 20 s: never inside a transaction.
    """
    config = loaded.config
    if isinstance(config, RlConfig):
        url = config.plan().task_app_url
    elif isinstance(config, PlayConfig):
        url = config.play().task_app_url
    else:
        return
    if plays_here(url):
        return
    report = probe_task_app(project=project, url=url)
    if not report.ok:
        raise Refused("task_app", report.words(), report.hint, status=422)


def probe_task_app(*, project: Project, url: str) -> TaskAppReport:
    """Ask a task app for /health and /task_info, with the key that belongs to its origin.

    Never raises for what the address is or answers: the report says it. An origin without a record
    gets no key. Blocks up to 20 s; call it outside of transactions.
    """
    base = url.rstrip("/")
    try:
        origin_of(base)
        key, owner = _key_for(project, base)
    except Refused as err:
        return TaskAppReport(False, url, err.message, err.hint)
    calls: list[Called] = []
    for path, read in (("/health", _read_health), ("/task_info", _read_info)):
        answer = ask(base + path, key)
        calls.append(_called(path, answer))
        problem = _refusal(answer, owner) or read(answer)
        if problem:
            message = f"The task app at {url} cannot be used: {path} {problem[0]}"
            return TaskAppReport(False, url, message, problem[1], owner, calls=tuple(calls))
    info = _info_of(answer)
    task = _task_of(info)
    message = f"The task app at {url} answers: {task or 'a task without a name'}."
    return TaskAppReport(True, url, message, "", owner, task, tuple(calls), info)


def test_endpoint(*, provider: Provider) -> TestResult:
    """What the test button says: a model API's models, or the whole check of a task app."""
    if provider.kind != ProviderKind.TASK_APP:
        return test_provider(provider=provider)
    report = probe_task_app(project=provider.project, url=provider.base_url)
    took_ms = sum(call.took_ms for call in report.calls)
    return TestResult(report.ok, report.message if report.ok else report.words(), took_ms, [])


test_endpoint.__test__ = False  # type: ignore[attr-defined]  # a verb, not a test


def _key_for(project: Project, url: str) -> tuple[str, str]:
    """(key, whose it is) for an address; ("", "") when no record has its origin."""
    record = task_app_of(project, url)
    if record is not None:
        return key_of(record), record.name if record.encrypted_key else ""
    return (settings.ENVIRONMENT_API_KEY, OWN) if is_own(url) else ("", "")


Problem = tuple[str, str]  # what is wrong, what to do


def _refusal(answer: Answer, owner: str) -> Problem | None:
    """What is wrong whatever was asked for: no answer, no right, a redirect, another status."""
    status = answer.status
    if not status:
        return f"gave no answer: {answer.error}", "Start it, or mend the address."
    if status in (401, 403) or (status == 400 and b"unauthor" in answer.body.lower()):
        if owner:
            wrong = f"refused the key of {owner} (status {status})."
            return wrong, "Enter its ENVIRONMENT_API_KEY again under Settings → Providers."
        return (
            f"wants a key (status {status}), and none was sent: no record has its origin.",
            "Add it under Settings → Providers as a remote task app, with its ENVIRONMENT_API_KEY.",
        )
    if 300 <= status < 400:
        return f"redirects (status {status}), which is not followed.", "Name the final address."
    if status == 404:
        return "is not there (404).", "Name the address under which /health and /task_info lie."
    if status >= 400:
        return f"answered {status}.", "Its own log should say why."
    return None


def _read_health(answer: Answer) -> Problem | None:
    data = _json(answer)
    if not isinstance(data, dict):
        return "is no JSON object.", "Name a task app, not a page."
    if data.get("healthy") is False:
        return "says that it is not healthy.", "Its own log should say why."
    return None


def _read_info(answer: Answer) -> Problem | None:
    if _info_of(answer):
        return None
    return "names no task.", "It has to answer task_info as Synth's task apps do."


def _info_of(answer: Answer) -> dict[str, Any]:
    """The task info; of a list the first. Empty when it is neither."""
    data = _json(answer)
    if isinstance(data, list):
        data = data[0] if data else None
    known = ("task", "taskset", "dataset", "environments")
    return data if isinstance(data, dict) and any(name in data for name in known) else {}


def _task_of(info: dict[str, Any]) -> str:
    for name in ("task", "taskset", "dataset"):
        part = info.get(name)
        if isinstance(part, dict) and isinstance(part.get("id"), str):
            return str(part["id"])[:200]
    return ""


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _called(path: str, answer: Answer) -> Called:
    said = answer.error or answer.body[: SAID_CHARS * 4].decode(errors="replace")[:SAID_CHARS]
    return Called(path, answer.status, answer.took_ms, said)
