"""Remote task apps: which address is one, whose key it gets, what it says before games go there.

Lives here: the address in a config -> where the games are played. Not here: the games themselves
(`engine/rollout/remote.py`), the rules of outgoing calls (`apps/providers`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.launch.services.names import Found, is_placeholder
from apps.providers.asking import Answer, ask
from apps.providers.models import Provider, ProviderKind
from apps.providers.queries import key_of, limits_of, provider_for_url
from apps.providers.services import TestResult, test_provider
from apps.providers.urls import origin_of, parse_url
from apps.runs.keys import RUN_KEY, TASK_APP_KEY
from engine.config import Loaded, Play, PlayConfig, RlConfig
from engine.llm.addresses import is_public

SAID_CHARS = 300
LOOPBACK = ("127.0.0.1", "localhost", "::1")
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


def plays_here(url: str) -> bool:
    """Without a task app, with a placeholder or with our own, the games are played here."""
    return not url or is_placeholder(url) or is_own(url)


def is_own(url: str) -> bool:
    """Whether a task app's address is one of this instance."""
    bases = (f"{settings.PUBLIC_URL}/task", f"{settings.INTERNAL_URL}/task", *own_ports())
    return any(url == base or url.startswith((f"{base}/", f"{base}?")) for base in bases)


def own_ports() -> tuple[str, ...]:
    """Where our task app listens by itself."""
    return tuple(f"http://{host}:{settings.TASK_APP_PORT}" for host in ("127.0.0.1", "localhost"))


def find_task_app(project: Project, play: Play, policy: Found) -> Found | None:
    """Where the games are played, for `Run.inputs`; None: on this machine.

    It is told where the model answers, never with which key: a provider's key goes to the provider
    only, so the task app needs one of its own. Of a checkpoint of ours it gets our own address, and
    a key that ends with the run. Raises Refused(422) for what cannot be played elsewhere.
    """
    url = play.task_app_url
    if plays_here(url):
        return None
    if policy.inputs["kind"] != "openai":
        message = f"The built-in policy {play.model} plays on this machine, not in {url}."
        hint = 'Launch with --set task_app_url="", or name a model.'
        raise Refused("wrong_policy", message, hint, status=422)
    origin_of(url)
    record = task_app_of(project, url)
    ours = "checkpoint_id" in policy.inputs
    model_url = f"{settings.PUBLIC_URL}/api/inference" if ours else policy.inputs["base_url"]
    inputs = {
        **_app_inputs(url, record),
        "inference_url": model_url.rstrip("/").removesuffix("/v1"),
        **({"inference_key_env": RUN_KEY} if ours else {}),
    }
    return Found(inputs, warnings=tuple(_warnings(play, inputs, record, ours=ours)))


def find_training_app(project: Project, url: str) -> Found | None:
    """Where the games of a training are played, for `Run.inputs`; None: by the training itself.

    The task app asks the model at an address of the training's process, which only this machine
    reaches. Raises Refused(422) for a task app on another one.
    """
    if plays_here(url):
        return None
    origin_of(url)
    if parse_url(url).host not in LOOPBACK:
        raise Refused(
            "remote_task_app",
            f"The task app at {url} is on another machine: from there it cannot ask the model that "
            "is being trained here.",
            'Run it on this machine, or launch with --set services.task_url="" to play here.',
            status=422,
        )
    record = task_app_of(project, url)
    key = f"with the key of {record.name}" if record else "without a key: no record has its origin"
    words = f"The games are played by the task app at {url}, {key}."
    return Found(_app_inputs(url, record), warnings=(words,))


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


def _app_inputs(url: str, record: Provider | None) -> dict[str, Any]:
    """The address, and of its record what the player needs; the key itself is read much later."""
    if record is None:
        return {"url": url.rstrip("/")}
    return {
        "url": url.rstrip("/"),
        "provider_id": record.pk,
        "provider": record.name,
        "key_env": TASK_APP_KEY,
        "limits": limits_of(record),
    }


def _warnings(
    play: Play, inputs: dict[str, Any], record: Provider | None, *, ours: bool
) -> Iterator[str]:
    url, model_url = inputs["url"], inputs["inference_url"]
    key = f"with the key of {record.name}" if record else "without a key: no record has its origin"
    yield f"The games are played by the task app at {url}, {key}."
    if _is_local(model_url) and not _is_local(url):
        what = "our own models" if ours else "the model"
        hint = " Set SYNTHWEB_URL to the address that others reach." if ours else ""
        words = f"The task app has to ask {what} at {model_url}, which only this machine reaches."
        yield words + hint
    if not ours:
        yield f"The task app calls {model_url} with a key of its own; ours is not sent to it."
    if play.limits.tokens or play.limits.cost_usd:
        words = (
            "The task app knows neither limits.tokens nor limits.cost_usd: no episode is cut off"
        )
        yield f"{words} there, but none begins once those before used as much as all of them may."


def _is_local(url: str) -> bool:
    """Whether an address is one of this machine or of a private network, by its literal name."""
    host = parse_url(url).host
    try:
        return not is_public(host)
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal"))


def task_app_of(project: Project, url: str) -> Provider | None:
    """The project's record of the task app at this origin, which has its key; None: no record."""
    try:
        return provider_for_url(project=project, url=url, kind=ProviderKind.TASK_APP)
    except Refused as err:
        if err.code == "unknown_origin":
            return None
        raise


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
