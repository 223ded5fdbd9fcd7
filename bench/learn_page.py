"""What `bench.learn --full` found, for people: a picture of the curves and the tables of a page.

    python -m bench.learn_page     # docs/learn.json -> docs/images/learn.svg, docs/workflows/rl.md

The page keeps its own words; only what stands between the two markers is written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from bench.figures import ROOT

DATA = ROOT / "docs" / "learn.json"
PICTURE = ROOT / "docs" / "images" / "learn.svg"
PAGE = ROOT / "docs" / "workflows" / "rl.md"
BEGIN, END = "<!-- bench.learn begins -->", "<!-- bench.learn ends -->"
WORDS = {
    "base": "starting model",
    "sft": "imitation of the guide (SFT)",
    "rl_base": "reward from the starting model",
    "rl_sft": "imitation, then reward",
    "control": "the same, rewards dealt to the wrong games",
}
COLOURS = {"rl_base": "#0072b2", "rl_sft": "#009e73", "control": "#d55e00"}  # Okabe & Ito
WIDTH, HEIGHT, LEFT, BOTTOM = 720, 360, 44, 40


def main() -> int:
    """Write picture and page from the stored figures."""
    found = json.loads(DATA.read_text())
    PICTURE.write_text(draw(found["curves"]))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(found)}\n{END}{after}")
    return 0


def draw(curves: dict[str, list[list[float]]]) -> str:
    """An SVG of the mean reward by iteration: thin lines are trainings, thick ones their mean."""
    curves = {arm: lines for arm, lines in curves.items() if any(lines)}
    length = max(len(line) for lines in curves.values() for line in lines)
    top = max(value for lines in curves.values() for line in lines for value in line) * 1.05
    parts = [_axes(length, top)]
    for row, (arm, lines) in enumerate(curves.items()):
        colour = COLOURS[arm]
        mean = [fmean(values) for values in zip(*lines, strict=False)]
        parts += [_line(line, length, top, colour, 0.8) for line in lines]
        parts.append(_line(mean, length, top, colour, 2.5))
        y = 20 + 18 * row
        parts.append(
            f'<rect x="{LEFT + 12}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
            f'<text x="{LEFT + 28}" y="{y}">{WORDS[arm]}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13" role="img">'
        "<title>Achievements of the training games by iteration</title>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _place(step: float, value: float, length: int, top: float) -> tuple[float, float]:
    """Where a point lies in the picture."""
    x = LEFT + (WIDTH - LEFT - 12) * step / max(1, length)
    return x, HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 10) * value / top


def _line(values: Sequence[float], length: int, top: float, colour: str, width: float) -> str:
    places = (_place(step, value, length, top) for step, value in enumerate(values, 1))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _axes(length: int, top: float) -> str:
    """Grid and numbers: every two achievements, every ten iterations."""
    parts = []
    for value in range(0, int(top) + 1, 2):
        x, y = _place(0, value, length, top)
        parts.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - 12}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{value}</text>'
        )
    for step in range(0, length + 1, 10):
        x, y = _place(step, 0, length, top)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{step}</text>')
    middle = LEFT + (WIDTH - LEFT) / 2
    words = "iteration (64 games each) – achievements in 100 steps, T = 1"
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{words}</text>')
    return "".join(parts)


def tables(found: dict[str, Any]) -> str:
    """The scores, the paired differences and the rates, as Markdown."""
    arms, size = found["arms"], found["size"]
    rows = [
        f"Mean achievements in 100 steps on {size['worlds']} held-out worlds, "
        "95 % intervals over the worlds.",
        "",
        "| model | T = 1 | each training | greedy | minutes | tokens |",
        "|---|---|---|---|---|---|",
    ]
    shown = {arm: words for arm, words in WORDS.items() if arm in arms}
    for arm, words in shown.items():
        row = arms[arm]
        each = ", ".join(f"{value:.2f}" for value in row["trainings"])
        rows.append(
            f"| {words} | {_interval(row['sampled'])} | {each} | {_interval(row['greedy'])} "
            f"| {row['seconds'] / 60:.0f} | {row['tokens'] / 1e6:.2f} M |"
        )
    rows += ["", "| paired by world, T = 1 | difference | won, even, lost |", "|---|---|---|"]
    for name, pair in found["pairs"].items():
        after, before = name.split(" - ")
        difference = f"{pair['difference']:+.2f} ({pair['low']:+.2f} to {pair['high']:+.2f})"
        games = f"{pair['wins']}, {pair['ties']}, {pair['losses']}"
        rows.append(f"| {WORDS[after]} − {WORDS[before]} | {difference} | {games} |")
    rows += ["", f"| unlocked in % of games | {' | '.join(shown.values())} |"]
    rows.append("|---|" + "---|" * len(shown))
    for goal in sorted(arms["base"]["rates"]):
        rates = [arms[arm]["rates"][goal] for arm in shown]
        if any(rates):
            cells = " | ".join(f"{100 * rate:.0f}" for rate in rates)
            rows.append(f"| {goal.replace('_', ' ')} | {cells} |")
    return "\n".join(rows) + "\n"


def _interval(mean: dict[str, float]) -> str:
    return f"{mean['mean']:.2f} ({mean['low']:.2f}–{mean['high']:.2f})"


if __name__ == "__main__":
    sys.exit(main())
