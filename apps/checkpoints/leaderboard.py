"""Who plays each task best: the finished evaluations of a project, one line a model.

Every model that was evaluated stands here, the scripted players and those of providers too: they
are what a trained one is measured by.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint
from apps.runs.models import Run, RunState
from engine.rollout.scores import MainScore, main_score

MOST_EVALS = 300  # the newest that are looked at
MOST_ROWS = 20  # on a board
_SCRIPTED = ("random", "guide")  # sample nothing
_COLUMNS = (
    "id", "name", "task", "model", "result", "leaked_seeds", "resolved__temperature",
    "resolved__max_turns", "inputs__policy__kind",
)  # fmt: skip


class Standing(NamedTuple):
    """A model's newest evaluation on worlds it has not seen; a leaked one if there is no other."""

    model: str
    uid: str  # of its checkpoint; "" for a model that is not ours
    run_id: int
    run_name: str
    n: int
    main: MainScore
    temperature: float | None  # None for a scripted player
    max_turns: int | None
    leaked: bool
    n_evals: int


class Board(NamedTuple):
    """One task. Leaked scores stand below the honest ones, however high they are."""

    task: str
    measure: str
    rows: list[Standing]
    top: float  # the right end of its plots


def leaderboards(*, project: Project) -> list[Board]:
    """A board for each task with a finished evaluation, by name. Two queries."""
    rows = Run.objects.filter(project=project, kind="eval", state=RunState.SUCCEEDED)
    best: dict[tuple[str, str, str], Standing] = {}
    for row in rows.order_by("-id").values(*_COLUMNS)[:MOST_EVALS]:
        if main := main_score(row["result"]):
            key = (row["task"], main.name, row["model"])
            best[key] = _newer(best.get(key), _standing(row, main))
    uids = _uids(project, {model for _, _, model in best})
    boards: dict[tuple[str, str], list[Standing]] = {}
    for (task, measure, model), standing in best.items():
        line = standing._replace(uid=uids.get(model, ""))
        boards.setdefault((task, measure), []).append(line)
    return [_board(task, measure, lines) for (task, measure), lines in sorted(boards.items())]


def _standing(row: dict[str, Any], main: MainScore) -> Standing:
    scripted = row["inputs__policy__kind"] in _SCRIPTED
    return Standing(
        model=row["model"],
        uid="",
        run_id=row["id"],
        run_name=row["name"],
        n=main.n,
        main=main,
        temperature=None if scripted else row["resolved__temperature"],
        max_turns=row["resolved__max_turns"],
        leaked=bool(row["leaked_seeds"]),
        n_evals=1,
    )


def _newer(kept: Standing | None, older: Standing) -> Standing:
    """Of two evaluations of a model the newer, unless only the older is honest."""
    if kept is None:
        return older
    chosen = older if kept.leaked and not older.leaked else kept
    return chosen._replace(n_evals=kept.n_evals + 1)


def _board(task: str, measure: str, lines: list[Standing]) -> Board:
    lines.sort(key=lambda line: (line.leaked, -line.main.mean))
    top = 1.0 if measure == "accuracy" else max([1.0, *(line.main.high for line in lines)]) * 1.05
    return Board(task, measure, lines[:MOST_ROWS], top)


def _uids(project: Project, models: set[str]) -> dict[str, str]:
    rows = Checkpoint.objects.filter(project=project, deleted_at=None, model_id__in=models)
    return dict(rows.values_list("model_id", "uid"))
