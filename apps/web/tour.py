"""The tour of somebody who has just started an instance: three steps, marked done by what is there.

Nothing is remembered but whether the user has closed it (`User.tour_open`).
"""

from __future__ import annotations

from typing import NamedTuple

from apps.accounts.models import AuditEntry
from apps.accounts.queries import Actor
from apps.launch.models import Pipeline
from apps.runs.models import Run


class TourStep(NamedTuple):
    """One thing to do: where it is done, and whether it was."""

    title: str
    words: str
    href: str
    link: str
    done: bool


def tour_of(actor: Actor, tuned_run: int | None) -> list[TourStep]:
    """The steps, [] for who has closed the tour or may not do them. Three queries while it is open.

    tuned_run: an evaluation of a model that was trained here.
    """
    if not (actor.user.tour_open and actor.may_edit):
        return []
    looped = Pipeline.objects.filter(project=actor.project).exists()
    forked = Run.objects.filter(project=actor.project, kind="fork").exists()
    taken = AuditEntry.objects.filter(project=actor.project, verb="dataset.exported").exists()
    tuned = f"/runs/{tuned_run}/#scores-h" if tuned_run else "/runs/?kind=eval"
    return [
        TourStep("Run the loop", "A weak model plays, learns from good games and plays again.",
                 "#loop-h", "Press Demo below", looped),
        TourStep("Ask what if", "Beside each achievement of a run, “first” opens the game that did "
                 "it. Fork it there: what would the model before have done?",
                 tuned, "Open an evaluation", forked),
        TourStep("Take it home", "A model's page leads to the data it learned from: export it. "
                 "Each page says how to do the same from a terminal.",
                 "/checkpoints/", "Open the models", taken),
    ]  # fmt: skip
