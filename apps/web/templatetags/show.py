"""Formatting for templates: numbers with their unit, times, states, game icons. No queries here."""

from __future__ import annotations

import base64
import json
import re
import zlib
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now

from engine.rollout.scores import MainScore, main_score

register = template.Library()
_TRAINED_ID = re.compile(r"(ft|fft|qft|rl):(.+):job_([0-9a-f]{16})(:step_\d+)?")

ICONS = {
    "collect_coal": "coal",
    "collect_diamond": "diamond",
    "collect_drink": "water",
    "collect_iron": "iron",
    "collect_sapling": "sapling",
    "collect_stone": "stone",
    "collect_wood": "wood",
    "defeat_skeleton": "skeleton",
    "defeat_zombie": "zombie",
    "eat_cow": "cow",
    "eat_plant": "plant-ripe",
    "make_iron_pickaxe": "iron_pickaxe",
    "make_iron_sword": "iron_sword",
    "make_stone_pickaxe": "stone_pickaxe",
    "make_stone_sword": "stone_sword",
    "make_wood_pickaxe": "wood_pickaxe",
    "make_wood_sword": "wood_sword",
    "place_furnace": "furnace",
    "place_plant": "plant",
    "place_stone": "path",
    "place_table": "table",
    "wake_up": "player-sleep",
}
KIND_ICONS = {
    "eval": "player-down",
    "rollout": "player-right",
    "sft": "table",
    "rl": "diamond",
    "base": "sapling",
    "verify": "unknown",
    "fork": "player-sleep",
    "import": "iron",
    "import_model": "sapling",
    "dataset": "wood",
    "pipeline": "furnace",
}
ENDS = {"eval.reward": "mean reward", "train.reward": "mean reward"}
ENDS |= {"val.loss": "validation loss", "train.loss": "training loss"}
MEASURES = {
    "achievements": "unique achievements a game",
    "accuracy": "of the problems solved",
}
KIND_WORDS = {
    "eval": "evaluation",
    "rollout": "rollout",
    "sft": "fine-tuning",
    "rl": "reinforcement learning",
    "base": "base model",
    "verify": "verification",
    "fork": "fork",
    "import": "import of traces",
    "import_model": "import of a model",
    "dataset": "dataset",
    "pipeline": "pipeline",
}


@register.filter
def number(value: float | None, digits: int = 2) -> str:
    """`1234.5` → `1,234.5`; whole numbers without a point; nothing → `–`."""
    if value is None or value == "":
        return "–"
    if float(value) == int(value) and digits != -1:
        return f"{int(value):,}"
    return f"{float(value):,.{abs(digits)}f}"


@register.filter
def fixed(value: float | None, digits: int = 2) -> str:
    """Always `digits` decimals, so that columns align; nothing → `–`."""
    return "–" if value is None or value == "" else f"{float(value):,.{digits}f}"


@register.filter
def signed(value: float | None, digits: int = 2) -> str:
    """`+1.30`, `−0.20`."""
    if value is None:
        return "–"
    return f"{float(value):+,.{digits}f}".replace("-", "−")


@register.filter
def percent(value: float | None) -> str:
    """A rate from 0 to 1 as `42 %`."""
    return "–" if value is None else f"{100 * float(value):.0f} %"


@register.filter
def chance(value: float) -> str:
    """A probability (0–1) that may be tiny."""
    return f"{100 * value:.0f}%" if value >= 0.01 else f"{100 * value:.1g}%"


@register.filter
def short_model(model_id: str | None) -> str:
    """`ft:synthweb/crafter-small:job_0123456789abcdef` → `ft:crafter-small…abcdef`.

    Where a long id was cut at its end, two trainings of one base looked alike. The full id belongs
    into the `title` beside it. Other ids stay, cut when they are very long.
    """
    found = _TRAINED_ID.fullmatch(model_id or "")
    if found is None:
        return (model_id or "")[:35] + ("…" if len(model_id or "") > 35 else "")
    kind, base, job, step = found.groups()
    return f"{kind}:{base.rpartition('/')[2][-24:]}…{job[-6:]}{step or ''}"


@register.filter
def size(value: int | None) -> str:
    """Bytes for people."""
    left = float(value or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if left < 1000 or unit == "GB":
            return f"{left:.0f} {unit}" if unit == "B" or left >= 100 else f"{left:.1f} {unit}"
        left /= 1000
    return ""


@register.filter
def duration(seconds: float | None) -> str:
    """`3.2 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds is None:
        return "–"
    whole = int(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@register.filter
def about(seconds: float) -> str:
    """An estimate without false precision: `40 s`, `7 min`, `2.5 h`."""
    if seconds < 60:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """`3 min ago` with the exact time on hover; the script shows it in local time."""
    if moment is None:
        return "–"
    seconds = max(0, int((now() - moment).total_seconds()))
    exact = moment.isoformat(timespec="seconds")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', exact, f"{exact} (UTC)", _words(seconds)
    )


def _words(seconds: int) -> str:
    for limit, step, word in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{seconds // step} {word} ago" if seconds >= 5 else "just now"
    return f"{seconds // 86400} d ago"


@register.simple_tag
def lasted(start: datetime | None, end: datetime | None) -> str:
    """How long something took, or has taken so far."""
    return "–" if start is None else duration(max(0.0, ((end or now()) - start).total_seconds()))


@register.filter
def state(word: str) -> SafeString:
    """A state with its dot; the word carries the meaning, the colour only helps."""
    return format_html('<span class="state {}">{}</span>', word, word)


@register.filter
def words(name: str) -> str:
    """`collect_wood` → `collect wood`."""
    return str(name).replace("_", " ")


@register.filter
def icon(name: str) -> str:
    """The texture of an achievement, for `crafter/tex/NAME.png`."""
    return ICONS.get(str(name), "unknown")


@register.filter
def kind_icon(kind: str) -> str:
    return KIND_ICONS.get(kind, "unknown")


@register.filter
def kind_words(kind: str) -> str:
    return KIND_WORDS.get(kind, kind)


@register.filter
def hue(key: Any) -> int:
    """The palette slot of an id: the same on every page and on every visit."""
    return zlib.crc32(str(key).encode()) % 6


@register.filter
def pretty(value: Any) -> str:
    """JSON with indentation, for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """`mapping[key]` or nothing."""
    return mapping.get(key) if hasattr(mapping, "get") else None


@register.filter
def score_of(result: dict[str, Any]) -> MainScore | None:
    """What a run is judged by: achievements or accuracy, with its interval."""
    return main_score(result)


@register.filter
def valued(value: float | None, measure: str) -> str:
    """A score as people say it: `3.02` achievements, `62.5 %` of the problems."""
    if value is None or measure != "accuracy":
        return fixed(value)
    return f"{100 * value:.1f} %"


@register.filter
def gained(value: float | None, measure: str) -> str:
    """A difference of two scores: `+1.30` achievements, `+54.5` percentage points."""
    if value is None or measure != "accuracy":
        return signed(value)
    return signed(100 * value, 1)


@register.filter
def measured(measure: str) -> str:
    """What stands behind a score."""
    return MEASURES.get(measure, measure)


@register.filter
def problem_of(view: str) -> dict[str, Any] | None:
    """The words of a view that holds a problem instead of a picture; else nothing."""
    if not (view or "").startswith("ey"):  # how `{"` begins in base64
        return None
    try:
        found = json.loads(base64.b64decode(view))
        return {
            "problem": str(found["problem"]),
            "split": str(found["split"]),
            "index": int(found["index"]),
            "tries": [(str(answer), str(status)) for answer, status in found["tries"]],
            "expected": str(found.get("expected", "")),
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


@register.filter
def loss_of(result: dict[str, Any]) -> tuple[str, float] | None:
    """What a training ended with, in words: by reward, or on held-out records, if there are any."""
    for key, name in ENDS.items():
        if isinstance(result.get(key), int | float):
            return name, result[key]
    return None


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """The present address with some parameters changed (None removes one); back to page one."""
    params = context["request"].GET.copy()
    params.pop("cursor", None)
    for key, value in changes.items():
        params.pop(key, None)
        if value not in (None, ""):
            params[key] = str(value)
    return "?" + params.urlencode()
