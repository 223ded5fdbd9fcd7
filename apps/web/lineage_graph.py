"""Where a checkpoint comes from, as a graph: from single games to what became of it.

Geometry only; the queries bring the rows. Places are attributes of an SVG, for the pages allow no
inline style; what stands in a node is HTML (`templates/checkpoints/_graph.html`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from apps.checkpoints.models import Checkpoint
from apps.checkpoints.queries import Score
from apps.datasets.queries import Lineage
from apps.traces.models import Episode
from apps.web.templatetags.show import KIND_ICONS, loss_of, short_model, valued

WIDTH, HEIGHT, GAP, BETWEEN = 194, 50, 40, 8
LEAST_COLUMNS = 4
MOST = 5  # nodes of one sort


class Node(NamedTuple):
    """A box: what it is, where it leads, and a packed view to draw where it is a game."""

    key: str
    title: str
    sub: str
    href: str = ""
    icon: str = "unknown"
    view: str = ""
    here: bool = False


class Placed(NamedTuple):
    """A box in its place."""

    node: Node
    x: int
    y: int


class Graph(NamedTuple):
    """Everything that the template draws; edges are SVG paths."""

    width: int
    height: int
    heads: list[tuple[int, str]]  # x and the word above a column
    nodes: list[Placed]
    edges: list[str]


def draw_lineage(
    checkpoint: Checkpoint,
    found: Lineage,
    *,
    descendants: Sequence[Checkpoint],
    scores: Sequence[Score],
) -> Graph:
    """The graph around a checkpoint, from left to right in the order of time."""
    here = Node("here", _name(checkpoint), "this model", icon=_icon(checkpoint), here=True)
    games = _games(found)
    data = [
        Node(f"d{row.pk}", f"{row.name} v{row.version}", f"{row.n_records:,} records",
             f"/datasets/{row.pk}/", "wood")
        for row in found.datasets[:MOST]
    ]  # fmt: skip
    bases = [_model(row, "trained from") for row in found.ancestors[:MOST]]
    training = _training(found)
    after = [*_evals(scores), *[_model(row, "trained from this") for row in descendants[:MOST]]]
    columns = [
        ("Games", [*(games if data else []), *bases[1:]]),
        ("Learned from", [*data, *bases[:1], *([] if data else games)]),
        ("Training", training),
        ("Model", [here]),
        ("What became of it", after),
    ]
    maker = training[0] if training else here
    links = [(game, data[0] if data else maker) for game in games]
    links += [(row, maker) for row in [*data, *bases[:1]]]
    links += list(zip(bases[1:], bases, strict=False))
    links += [(row, here) for row in training] + [(here, row) for row in after]
    return _place(columns, links)


def _games(found: Lineage) -> list[Node]:
    """Single games as pictures, and one box for all the others."""
    nodes = [_game(row) for row in found.games[:MOST]]
    left = found.n_episodes - len(nodes)
    if nodes and left > 0:
        runs = found.source_runs or ([found.run] if found.run else [])
        href = f"/traces/?run={runs[0].pk}" if len(runs) == 1 else ""
        words = f"of run {runs[0].pk}" if len(runs) == 1 else f"of {len(runs)} runs"
        nodes.append(Node("more", f"{left:,} more games", words, href, "player-right"))
    return nodes


def _game(row: Episode) -> Node:
    words = f"{row.n_achievements} unlocked" if row.n_achievements else row.ended
    return Node(f"e{row.pk}", f"Seed {row.seed}", words.replace("_", " "), f"/traces/{row.pk}/",
                "player-down", row.final_view)  # fmt: skip


def _training(found: Lineage) -> list[Node]:
    run = found.run
    if run is None:
        return []
    loss = loss_of(run.result)
    words = f"{loss[0]} {loss[1]:.3f}" if loss else f"run {run.pk}"
    return [Node("run", run.name, words, f"/runs/{run.pk}/", KIND_ICONS.get(run.kind, "unknown"))]


def _evals(scores: Sequence[Score]) -> list[Node]:
    nodes = []
    for score in scores[:MOST]:
        name = score.main.name
        low, high = (valued(value, name) for value in (score.main.low, score.main.high))
        words = f"{low}–{high}, n {score.n}{', leaked' if score.leaked else ''}"
        title = f"{valued(score.main.mean, name)} {name}"
        key, href = f"s{score.run_id}", f"/runs/{score.run_id}/"
        nodes.append(Node(key, title, words, href, "player-down"))
    return nodes


def _model(row: Checkpoint, words: str) -> Node:
    return Node(f"c{row.pk}", _name(row), words, f"/checkpoints/{row.uid}/",
                _icon(row))  # fmt: skip


def _name(row: Checkpoint) -> str:
    """What fits into a box: of a model from outside the name without its owner."""
    return short_model(row.model_id.rpartition("/")[2] if row.kind == "import" else row.model_id)


def _icon(row: Checkpoint) -> str:
    return "sapling" if row.kind in ("base", "import") else "diamond"


def _place(columns: list[tuple[str, list[Node]]], links: list[tuple[Node, Node]]) -> Graph:
    """Columns side by side, each centred; the heads stand in the first line."""
    filled = [(word, nodes) for word, nodes in columns if nodes]
    tallest = max(len(nodes) for _, nodes in filled)
    height = tallest * (HEIGHT + BETWEEN) + 22
    heads, placed = [], {}
    for index, (word, nodes) in enumerate(filled):
        x = index * (WIDTH + GAP)
        heads.append((x, word))
        top = 22 + (tallest - len(nodes)) * (HEIGHT + BETWEEN) // 2
        for line, node in enumerate(nodes):
            placed[node.key] = Placed(node, x, top + line * (HEIGHT + BETWEEN))
    edges = [_edge(placed[a.key], placed[b.key]) for a, b in links]
    # The page stretches the drawing to its own width: two columns alone would be giants.
    width = max(len(filled), LEAST_COLUMNS) * (WIDTH + GAP) - GAP
    return Graph(width, height, heads, list(placed.values()), edges)


def _edge(a: Placed, b: Placed) -> str:
    """A curve from the right side of one box to the left side of another."""
    x, y = a.x + WIDTH, a.y + HEIGHT // 2
    to, down = b.x, b.y + HEIGHT // 2
    if to < x:  # both in one column: from below to above
        x = to = a.x + WIDTH // 2
        return f"M{x} {a.y}L{to} {b.y + HEIGHT}" if a.y > b.y else f"M{x} {a.y + HEIGHT}L{to} {b.y}"
    middle = (x + to) // 2
    return f"M{x} {y}C{middle} {y} {middle} {down} {to} {down}"
