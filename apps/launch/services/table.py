"""The result of a pipeline: its evals, each against the baseline on the same worlds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from apps.launch.models import Pipeline, Stage
from apps.launch.services.names import SCRIPTED
from apps.runs.models import Run
from apps.traces.queries import compare_runs, run_scores
from engine.config import PipelineConfig, load_json
from engine.rollout.scores import main_score


def make_table(pipeline: Pipeline, stages: Sequence[Stage]) -> dict[str, Any]:
    """The table so far; {} for a pipeline without one.

    rows: stage, run, model, temperature, measure (achievements or accuracy), n, mean, ci95, leaked,
    and against the baseline: difference, difference_ci95, wins, ties, losses. baseline and proof
    name rows; `better`: whether proof beats baseline with its whole 95 % interval (None: not known
    yet). steps: the trained rows, each against the trained row before it, on the same worlds.
    """
    config = load_json(pipeline.config.data, name=pipeline.name).config
    if not isinstance(config, PipelineConfig) or config.table is None:
        return {}
    by_name = {stage.name: stage for stage in stages}
    names = config.table.rows
    baseline = config.table.baseline or names[0]
    proof = config.table.proof or names[-1]
    played = [(name, by_name[name].run) for name in names]
    rows = [_row(name, run) for name, run in played if run is not None]
    pairs = _pairs(pipeline, by_name, names, baseline)
    rows = [{**row, **pairs.get(row["run"], {})} for row in rows]
    found = next((row for row in rows if row["stage"] == proof), {})
    interval = found.get("difference_ci95")
    better = None if interval is None else interval[0] is not None and interval[0] > 0
    steps = _steps(pipeline, by_name, [name for name in names if name != baseline])
    return {"rows": rows, "baseline": baseline, "proof": proof, "better": better, "steps": steps}


def read_table(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored table, with the keys that older versions did not write."""
    if not stored:
        return {}
    old = {"measure": "achievements"}  # the only one, before there were problems to solve
    rows = [{**old, **row} for row in stored["rows"]]
    steps = [{**old, **step} for step in stored.get("steps", ())]
    return {**stored, "rows": rows, "steps": steps}


def _steps(
    pipeline: Pipeline, stages: dict[str, Stage], names: Sequence[str]
) -> list[dict[str, Any]]:
    """What each rung of the ladder added: a trained row against the one before it."""
    trained = [
        (name, run)
        for name in names
        if (run := stages[name].run) is not None and not _is_scripted(run)
    ]
    steps = []
    for (before, first), (after, second) in pairwise(trained):
        compared = compare_runs(project=pipeline.project, run_ids=[first.pk, second.pk])
        for pair in compared.pairs:
            kept = ("n", "difference", "ci95", "wins", "ties", "losses", "measure")
            steps.append({"a": before, "b": after, **{key: pair[key] for key in kept}})
    return steps


def _is_scripted(run: Run) -> bool:
    return run.inputs.get("policy", {}).get("kind") in SCRIPTED


def _row(name: str, run: Run) -> dict[str, Any]:
    score = main_score(run.result) or main_score(run_scores(run))
    scripted = _is_scripted(run)
    return {
        "stage": name,
        "run": run.pk,
        "model": run.model,
        "temperature": None if scripted else run.resolved.get("temperature"),
        "state": run.state,
        "measure": score.name if score else "",
        "n": score.n if score else 0,
        "mean": score.mean if score else None,
        "ci95": [score.low, score.high] if score else [None, None],
        "leaked": bool(run.leaked_seeds),
    }


def _pairs(
    pipeline: Pipeline, stages: dict[str, Stage], names: Sequence[str], baseline: str
) -> dict[int, dict[str, Any]]:
    """Run → its paired difference to the baseline."""
    first = stages[baseline].run_id
    others = [stages[name].run_id for name in names if name != baseline]
    ids = [run_id for run_id in others if run_id is not None and run_id != first]
    if first is None or not ids:
        return {}
    compared = compare_runs(project=pipeline.project, run_ids=[first, *ids])
    return {
        pair["b"]: {
            "n_pairs": pair["n"],
            "difference": pair["difference"],
            "difference_ci95": pair["ci95"],
            "wins": pair["wins"],
            "ties": pair["ties"],
            "losses": pair["losses"],
            "verdict": pair["verdict"],
        }
        for pair in compared.pairs
    }
