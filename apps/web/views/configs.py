"""Configs: what can I run? The form and the TOML of one config side by side."""

from __future__ import annotations

import tomllib
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.launch import services
from apps.launch.models import Pipeline
from apps.runs.queries import find_run, get_config, list_configs, list_runs
from apps.web.access import PageRequest, draw, go, page
from apps.web.config_form import changed_fields, form_sections, put_value
from apps.web.reading import text_of, whole_of
from engine.config import KINDS, ConfigErrors, Loaded, dump_toml, kind_of
from engine.config.launch_plan import read_cluster

MAX_TOML = 500_000
SHOWN_KINDS = tuple(kind for kind in KINDS if kind != "noop")


@require_safe
@page()
def config_list(request: PageRequest) -> HttpResponse:
    filters: dict[str, Any] = {name: text_of(request.GET, name) for name in ("kind", "q")}
    cursor = text_of(request.GET, "cursor")
    found = list_configs(project=request.actor.project, cursor=cursor, **filters)
    context = {
        "page": found,
        "filters": filters,
        "kinds": SHOWN_KINDS,
        "files": sorted(path.name for path in (settings.BASE_DIR / "configs").glob("*.toml")),
    }
    return draw(request, "configs/_rows.html" if request.htmx else "configs/list.html", context)


@require_safe
@page()
def config_page(request: PageRequest, config_id: int) -> HttpResponse:
    config = get_config(project=request.actor.project, config_id=config_id)
    runs = [
        run
        for run in list_runs(project=request.actor.project, kind=config.kind, limit=60).items
        if run.config_id == config.pk
    ]
    return draw(
        request, "configs/page.html", {"config": config, "runs": runs[:12], **_dry(request, config)}
    )


@require_safe
@page()
def raw(request: PageRequest, config_id: int) -> HttpResponse:
    config = get_config(project=request.actor.project, config_id=config_id)
    return HttpResponse(config.toml, content_type="text/plain; charset=utf-8")


@page(Role.EDITOR)
def new(request: PageRequest) -> HttpResponse:
    """GET: the editor, filled from `?file=` or `?from=`. POST: store, and launch if asked."""
    if request.method != "POST":
        return draw(request, "configs/new.html", _editor(*_start(request)))
    text, name = _uploaded(request) or (_text(request), text_of(request.POST, "name") or "")
    name = name if name.endswith(".toml") else f"{name or 'config'}.toml"
    if request.POST.get("do") in ("form", "file"):
        return draw(request, "configs/new.html", _editor(_merged(request, text), name))
    parent = whole_of(request.POST, "parent")
    try:
        config = services.import_config(
            actor=request.actor,
            text=text,
            name=name,
            parent=get_config(project=request.actor.project, config_id=parent) if parent else None,
        )
    except ConfigErrors as err:
        return draw(request, "configs/new.html", _editor(text, name, err), status=422)
    if request.POST.get("do") == "launch":
        return _launched(request, config)
    return go(request, f"/configs/{config.pk}/", f"{config.name} is stored.")


@require_POST
@page(Role.EDITOR)
def check(request: PageRequest) -> HttpResponse:
    """One side of the editor changed: give both back, with every mistake at its line."""
    text = _text(request)
    if request.POST.get("side") == "form":
        text = _merged(request, text)
    return draw(request, "configs/_editor.html", _editor(text, request.POST.get("name", "")))


@require_POST
@page(Role.EDITOR)
def launch(request: PageRequest, config_id: int) -> HttpResponse:
    config = get_config(project=request.actor.project, config_id=config_id)
    return _launched(request, config)


def _launched(request: PageRequest, config: Any) -> HttpResponse:
    sets = [line for line in request.POST.get("sets", "").splitlines() if line.strip()]
    started = services.launch(actor=request.actor, config=config, sets=sets)
    room = "pipelines" if isinstance(started, Pipeline) else "runs"
    return go(request, f"/{room}/{started.pk}/", f"{config.name} is on its way.")


def _editor(text: str, name: str, err: ConfigErrors | None = None) -> dict[str, Any]:
    """Both sides of the editor for a text: lines with their mistakes, and the form if it parses."""
    loaded = None
    try:
        loaded = services.check_text(text=text, name=name or "config.toml")
    except ConfigErrors as found:
        err = err or found
    mistakes = err.mistakes if err else []
    kind, data = (loaded.kind, loaded.data) if loaded else _guess(text)
    wrong = {mistake.line for mistake in mistakes}
    lines = [(line, number in wrong) for number, line in enumerate(text.splitlines(), start=1)]
    return {
        "text": text,
        "name": name,
        "kind": kind,
        "mistakes": mistakes,
        "lines": lines if wrong - {0} else [],
        "sections": form_sections(kind, data) if kind in SHOWN_KINDS else [],
        "sound": not mistakes,
    }


def _guess(text: str) -> tuple[str, dict[str, Any]]:
    """Kind and data of a text that has mistakes; ("", {}) when it is no TOML at all."""
    try:
        data = tomllib.loads(text)
        return kind_of(data), data
    except (tomllib.TOMLDecodeError, ConfigErrors, RecursionError):
        return "", {}


def _merged(request: PageRequest, text: str) -> str:
    """The text with the fields that were changed in the form."""
    kind, data = _guess(text)
    if kind not in SHOWN_KINDS:
        return text
    sections = form_sections(kind, data)
    for field, value in changed_fields(sections, request.POST.dict()):
        text = put_value(text, field, value)
    return text


def _start(request: PageRequest) -> tuple[str, str]:
    """What the editor opens with: a file of configs/, a stored config, what a run was frozen with,
    or the smallest eval."""
    run_id = whole_of(request.GET, "run")
    if run_id:
        run = find_run(project=request.actor.project, run_id=run_id)
        return _with_sets(request, dump_toml(run.resolved)), f"run-{run.pk}-again.toml"
    parent = whole_of(request.GET, "from")
    if parent:
        config = get_config(project=request.actor.project, config_id=parent)
        return _with_sets(request, config.toml), config.name
    name = text_of(request.GET, "file") or "crafter_eval_random.toml"
    known = {path.name: path for path in (settings.BASE_DIR / "configs").glob("*.toml")}
    if name not in known:
        raise Refused("not_found", f"There is no file {name} in configs/.", status=404)
    return _with_sets(request, known[name].read_text(encoding="utf-8")), name


def _with_sets(request: PageRequest, text: str) -> str:
    """The text with `?set=key=value` put in: how other pages hand over a model or a dataset."""
    for wanted in request.GET.getlist("set"):
        key, _, value = wanted.partition("=")
        kind, data = _guess(text)
        fields = (
            [f for section in form_sections(kind, data) for f in section.fields] if kind else []
        )
        for field in fields:
            text = put_value(text, field, value) if field.key == key else text
    return text


def _text(request: PageRequest) -> str:
    text = request.POST.get("text", "").replace("\r\n", "\n")
    if len(text) > MAX_TOML or "\0" in text:
        raise Refused("bad_toml", "A config is text of at most 500 kB without NUL.", status=422)
    return text


def _uploaded(request: PageRequest) -> tuple[str, str] | None:
    file = request.FILES.get("file")
    if file is None:
        return None
    if (file.size or 0) > MAX_TOML:
        raise Refused("too_large", "A config is at most 500 kB.", status=413)
    try:
        return file.read().decode("utf-8"), file.name or "config.toml"
    except UnicodeDecodeError:
        raise Refused("bad_toml", "This file is no UTF-8 text.", status=422) from None


def _dry(request: PageRequest, config: Any) -> dict[str, Any]:
    """What a launch would do on this machine: keys without effect, warnings, what is in the way."""
    try:
        loaded = services.load_stored(config)
    except ConfigErrors as err:
        return {"mistakes": err.mistakes}
    if config.kind in ("pipeline", "dataset"):
        return {}
    shown = {"launches": _launches(request, loaded)}
    try:
        return {**shown, "dry": services.dry_run(actor=request.actor, loaded=loaded)}
    except Refused as err:
        return {**shown, "problem": err}


def _launches(request: PageRequest, loaded: Loaded) -> list[tuple[str, str]]:
    """A training's launch as the config asks for it, and on 1, 8 and 2 × 8 GPUs, in words."""
    project, asked = request.actor.project, services.show_launch
    own = asked(project=project, loaded=loaded)
    if own is None:
        return []
    shown = [("as the config asks", own)]
    for gpus in ("1 H100", "8 H100", "2x8 H100"):
        plan = asked(project=project, loaded=loaded, cluster=read_cluster(gpus))
        if plan is not None:
            shown.append((gpus.replace("x", " × "), plan))
    return [(title, "\n".join(plan.lines())) for title, plan in shown]
