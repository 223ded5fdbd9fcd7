"""Which games and turns a filter means, and the filter in words. Reads only.

Broken games (model or task error) are never data. Games come best first: most achievements, then
highest return, then oldest, so the same filter over the same games gives the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, QuerySet

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.runs.models import Run
from apps.traces.models import Episode, Label, Unlock
from engine.traces.curation import in_split, turns_before
from engine.traces.record import Turn

if TYPE_CHECKING:
    from engine.config import DatasetFilter  # 10 MB: only where a filter is read


def read_filter(values: Mapping[str, Any]) -> DatasetFilter:
    """A filter out of plain values. Raises Refused(422) naming each field that is wrong."""
    from pydantic import ValidationError

    from engine.config import DatasetFilter

    try:
        return DatasetFilter.model_validate(dict(values))
    except ValidationError as err:
        fields = {".".join(map(str, e["loc"])) or "filter": e["msg"] for e in err.errors()}
        first = next(iter(fields.items()))
        raise Refused("bad_filter", f"{first[0]}: {first[1]}", status=422, fields=fields) from err


def select_episodes(*, project: Project, wanted: DatasetFilter) -> list[int]:
    """The ids of the games that a filter means, best first. Raises Refused for unknown runs."""
    rows = _narrowed(project, wanted)
    ordered = rows.order_by("-n_achievements", "-episode_return", "id")
    if wanted.max_per_seed is None and wanted.split == "all":
        return list(ordered.values_list("pk", flat=True)[: wanted.limit])
    seen: Counter[tuple[str, int]] = Counter()
    chosen: list[int] = []
    for pk, version, seed in ordered.values_list("pk", "world_version", "seed").iterator():
        if not in_split(str(seed), wanted.split, wanted.validation_share):
            continue
        seen[version, seed] += 1
        if wanted.max_per_seed is None or seen[version, seed] <= wanted.max_per_seed:
            chosen.append(pk)
            if len(chosen) == wanted.limit:
                break
    return chosen


def select_turns(turns: list[Turn], wanted: DatasetFilter) -> list[Turn]:
    """The turns of one game that become records, in order."""
    kept = turns
    if wanted.turns_before_unlock is not None:
        unlocking = [turn.index for turn in turns if turn.unlocked]
        near = turns_before(unlocking, wanted.turns_before_unlock)
        kept = [turn for turn in turns if turn.index in near]
    if wanted.drop_failed_calls:
        kept = [turn for turn in kept if not turn.error_code]
    return kept


def describe_filter(wanted: DatasetFilter) -> str:
    """The filter as a sentence."""
    n_chosen = len(wanted.episodes)
    games = [f"games of {wanted.task}"]
    if n_chosen:
        games = [f"{n_chosen} chosen game{'s' if n_chosen > 1 else ''} of {wanted.task}"]
    if wanted.runs:
        games.append(f"of run{'s' if len(wanted.runs) > 1 else ''} {', '.join(wanted.runs)}")
    if wanted.model:
        games.append(f"played by {wanted.model}")
    if wanted.labels:
        games.append(f"labelled {', '.join(wanted.labels)}")
    rules = _bounds("achievements", wanted.min_unique, wanted.max_unique)
    rules += _bounds("return", wanted.min_return, wanted.max_return)
    rules += [f"{name} achieved" for name in wanted.require]
    rules += [f"{name} not achieved" for name in wanted.exclude]
    words = " ".join(games)
    if rules:
        words += f" with {', '.join(rules)}"
    if wanted.max_per_seed:
        words += f"; at most {wanted.max_per_seed} of each world"
    if wanted.limit:
        words += f"; the best {wanted.limit} of them"
    n = wanted.turns_before_unlock
    if n:
        words += f"; only {'the turn' if n == 1 else f'the {n} turns'} that led to an achievement"
    words += "; failed calls left out" if wanted.drop_failed_calls else "; failed calls kept"
    if wanted.max_per_achievement:
        words += f"; at most {wanted.max_per_achievement} turns that led to one achievement"
    if wanted.dedupe:
        words += "; each conversation once"
    if wanted.split != "all":
        share = wanted.validation_share
        share = share if wanted.split == "validation" else 1 - share
        words += f"; only the {wanted.split} side of the worlds, {share:.0%} of them"
    return f"{words[0].upper()}{words[1:]}."


def _bounds(name: str, low: float | None, high: float | None) -> list[str]:
    if low is not None and high is not None:
        return [f"{name} from {low:g} to {high:g}"]
    if low is not None:
        return [f"{name} of at least {low:g}"]
    return [f"{name} of at most {high:g}"] if high is not None else []


def _narrowed(project: Project, wanted: DatasetFilter) -> QuerySet[Episode]:
    runs = Run.objects.filter(project=project)
    if wanted.runs:
        runs = runs.filter(pk__in=run_ids(project, wanted.runs))
    rows = Episode.objects.filter(run_id__in=runs.values("pk"), broken=False, task=wanted.task)
    if wanted.episodes:
        rows = rows.filter(pk__in=wanted.episodes)
    if wanted.model:
        rows = rows.filter(model=wanted.model)
    limits = {
        "episode_return__gte": wanted.min_return,
        "episode_return__lte": wanted.max_return,
        "n_achievements__gte": wanted.min_unique,
        "n_achievements__lte": wanted.max_unique,
    }
    rows = rows.filter(**{key: value for key, value in limits.items() if value is not None})
    unlock = Unlock.objects.filter(episode=OuterRef("pk"))
    for name in wanted.require:
        rows = rows.filter(Exists(unlock.filter(name=name)))
    if wanted.exclude:
        rows = rows.filter(~Exists(unlock.filter(name__in=wanted.exclude)))
    for name in wanted.labels:
        rows = rows.filter(Exists(Label.objects.filter(episode=OuterRef("pk"), name=name)))
    return rows


def run_ids(project: Project, names: Sequence[str]) -> list[int]:
    """Run numbers as the filter names them. Raises Refused(422) for what is no run of ours."""
    ids: list[int] = []
    for name in names:
        if not (name.isascii() and name.isdigit() and len(name) < 18):
            raise Refused(
                "unknown_run", f"{name!r} is no run number.", status=422, fields={"runs": name}
            )
        ids.append(int(name))
    known = set(Run.objects.filter(project=project, pk__in=ids).values_list("pk", flat=True))
    for run_id in ids:
        if run_id not in known:
            raise Refused(
                "unknown_run",
                f"There is no run {run_id} in this project.",
                status=422,
                fields={"runs": str(run_id)},
            )
    return ids
