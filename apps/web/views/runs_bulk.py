"""What people do to the ticked runs of the list: compare, curves, cancel, try again, tag."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.views.decorators.http import require_POST

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.runs import queries, services
from apps.runs.models import Run, RunState
from apps.web.access import PageRequest, back, go, page
from apps.web.reading import numbers_of, text_of
from engine.errors import EngineError

MOST = 200
Deed = Callable[[Run], object]


@require_POST
@page(Role.EDITOR)
def bulk(request: PageRequest) -> HttpResponse:
    """One deed for all ticked runs; what could not be done is said run by run."""
    ids, verb = numbers_of(request.POST, "runs"), text_of(request.POST, "verb") or ""
    if not ids or len(ids) > MOST:
        raise Refused("bad_runs", f"Tick 1 to {MOST} runs first.", status=422)
    if verb in ("compare", "curves"):
        return go(request, f"/{verb}/?runs={','.join(map(str, ids))}")
    said, deed = _deed(request, verb)
    runs = [queries.find_run(project=request.actor.project, run_id=pk) for pk in ids]
    done, refused = 0, []
    for run in runs:
        try:
            deed(run)
            done += 1
        except EngineError as err:
            refused.append(str(err))
    for words in refused[:5]:
        messages.warning(request, words)
    if len(refused) > 5:
        messages.warning(request, f"{len(refused) - 5} more could not be done either.")
    return go(request, back(request, "/runs/"), f"{said}: {done} of {len(runs)} runs.")


def _deed(request: PageRequest, verb: str) -> tuple[str, Deed]:
    """The words for it and what it does to a run. Raises Refused(422) for an unknown one."""
    actor = request.actor
    if verb == "cancel":
        return "Asked to stop", lambda run: services.cancel_run(run=run, actor=actor)
    if verb == "retry":
        return "Queued again", lambda run: _retry(request, run)
    if verb not in ("tag", "untag"):
        raise Refused("bad_verb", f"There is no bulk action {verb[:20]!r}.", status=422)
    tag = text_of(request.POST, "tag")
    if tag is None:
        raise Refused("no_tag", "Write the tag beside the button first.", status=422)

    def change(run: Run) -> object:
        kept = set(run.tags.values_list("name", flat=True))
        wanted = kept | {tag} if verb == "tag" else kept - {tag}
        return services.set_tags(run=run, actor=actor, tags=wanted)

    return (f"Tagged {tag}" if verb == "tag" else f"Tag {tag} removed"), change


def _retry(request: PageRequest, run: Run) -> Run:
    """Go on with a failed or cancelled run; play the broken episodes of a finished one."""
    again = services.retry_failed if run.state == RunState.SUCCEEDED else services.resume_run
    return again(run=run, actor=request.actor)
