"""The first of some games in which an achievement was unlocked, and at which step."""

from __future__ import annotations

from dataclasses import replace

from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.traces.models import Unlock
from apps.traces.queries.episodes import EpisodeQuery, narrow_episodes


def first_unlock(*, project: Project, query: EpisodeQuery) -> Unlock:
    """Where `query.achievement` was unlocked in the earliest game that the query means.

    Games stand in the order in which they ended. A branch counts only for what was unlocked after
    its fork: what came before was played by somebody else. Two queries, the first of which walks
    the games of the run or model until one has it. Raises Refused: 422 without an achievement, 404
    if no game has it.
    """
    name = query.achievement
    if not name:
        raise Refused("no_achievement", "Say which one: ?achievement=place_table.", status=422)
    forked = Coalesce(OuterRef("forked_at_step"), 0)
    mine = Unlock.objects.filter(episode=OuterRef("pk"), name=name, step__gt=forked)
    rows = narrow_episodes(project, replace(query, achievement=None)).filter(Exists(mine))
    episode_id = rows.order_by("id").values_list("pk", flat=True).first()
    if episode_id is None:
        hint = "The list of traces shows what its games did unlock."
        raise Refused("not_found", f"No game of these unlocked {name[:60]}.", hint, status=404)
    return Unlock.objects.get(episode=episode_id, name=name)
