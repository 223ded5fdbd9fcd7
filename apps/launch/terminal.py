"""What a pipeline looks like on a terminal: a ladder that moves, and the table at the end."""

from __future__ import annotations

import time
from typing import Any, TextIO

_MARKS = {"waiting": "·", "running": "▸", "succeeded": "✓", "failed": "✗", "cancelled": "–"}
_BAR = 20


class Screen:
    """Shows a pipeline's stages: redrawn in place on a terminal, a line a change elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._drawn = 0
        self._told: dict[str, str] = {}
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def show(self, detail: dict[str, Any]) -> None:
        """Draw the ladder, or tell what changed since the last call."""
        if self._live:
            lines = [_stage_line(stage) for stage in detail["stages"]]
            up = f"\x1b[{self._drawn}F\x1b[0J" if self._drawn else ""
            minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
            lines.append(f"  {minutes}:{seconds:02d}")
            self._out.write(up + "\n".join(lines) + "\n")
            self._out.flush()
            self._drawn = len(lines)
            return
        for stage in detail["stages"]:
            if self._told.get(stage["name"]) != stage["state"]:
                self._told[stage["name"]] = stage["state"]
                if stage["state"] != "waiting":
                    self.say(f"{int(time.monotonic() - self._began):5d} s {_stage_line(stage)}")


def table_lines(detail: dict[str, Any]) -> list[str]:
    """The table of a pipeline's evals, and what it says, as lines of text."""
    table = detail.get("table") or {}
    lines = []
    if table.get("rows"):
        lines.append(
            f"{'':12} {_measure(table):>14} {'95 % interval':>16} {'n':>5} {'T':>4}   "
            f"difference to {table['baseline']} (paired, 95 %)"
        )
        lines += [_row_line(row, table["baseline"]) for row in table["rows"]]
        lines.append("")
    if detail["state"] != "succeeded":
        error = detail.get("error") or {}
        message = error.get("message", "")
        return [*lines, f"The pipeline {detail['state']}. {message}".rstrip()]
    if table:
        lines += [_step_line(step) for step in table.get("steps", ())]
        lines.append(_verdict(table))
    return lines


def _measure(table: dict[str, Any]) -> str:
    """What the rows are scored by."""
    return next((row["measure"] for row in table["rows"] if row.get("measure")), "score")


def _verdict(table: dict[str, Any]) -> str:
    proof, baseline = table["proof"], table["baseline"]
    if table["better"]:
        return f"{proof} is better than {baseline}: the whole interval lies above 0."
    return f"NOT PROVEN: {proof} does not beat {baseline} with its whole 95 % interval."


def _row_line(row: dict[str, Any], baseline: str) -> str:
    temperature = row.get("temperature")
    line = (
        f"{row['stage']:12} {_number(row['mean']):>14} {_interval(row['ci95']):>16} {row['n']:5d} "
        f"{'' if temperature is None else f'{temperature:g}':>4}   "
    )
    leaked = "  LEAKED SEEDS" if row["leaked"] else ""
    if row["stage"] == baseline or row.get("difference") is None:
        return f"{line}{leaked}".rstrip()
    games = f"{row['wins']} won, {row['ties']} even, {row['losses']} lost"
    interval = _interval(row["difference_ci95"], "+")
    return f"{line}{_number(row['difference'], '+')} ({interval}); {games}{leaked}"


def _step_line(step: dict[str, Any]) -> str:
    games = f"{step['wins']} won, {step['ties']} even, {step['losses']} lost"
    gain = f"{_number(step['difference'], '+')} ({_interval(step['ci95'], '+')})"
    return f"{step['b']} against {step['a']}: {gain} on {step['n']} shared worlds; {games}"


def _number(value: float | None, sign: str = "") -> str:
    """Two decimals; a dash for what too few games leave unknown."""
    return "-" if value is None else f"{value:{sign}.2f}"


def _interval(bounds: list[float | None], sign: str = "") -> str:
    return f"{_number(bounds[0], sign)} to {_number(bounds[1], sign)}"


def _stage_line(stage: dict[str, Any]) -> str:
    parts = [f"{_MARKS.get(stage['state'], '?')} {stage['name']:15} {stage['kind']:8}"]
    total, done = stage.get("progress_total") or 0, stage.get("progress_done") or 0
    if stage["state"] == "running" and total:
        filled = min(_BAR, _BAR * done // total)
        parts.append(f"{'█' * filled}{'░' * (_BAR - filled)} {done}/{total}")
    elif stage["state"] == "running":
        parts.append("waits for a worker" if stage.get("run_state") == "queued" else "works")
    if stage.get("score") is not None:
        parts.append(f"{stage['score']:.2f} {stage.get('measure') or 'achievements'}")
    if stage.get("seconds") is not None:
        parts.append(f"{stage['seconds']:.0f} s")
    if stage.get("error"):
        parts.append(str(stage["error"].get("message", "")))
    return " ".join(parts).rstrip()
