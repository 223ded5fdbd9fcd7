"""What is wrong with a config, said so that the person can mend it at once.

Lives here: `Mistake`, `ConfigErrors` and the translation of pydantic's errors into our words.
Where a key stands in the text is `positions.py`; what is refused in any config is `guards.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import ConfigError

ALL_KEYS = "All keys: docs/config.md"
SHOWN = 80  # characters of a wrong value that a message repeats

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong. `line` and `column` count from 1; 0 where there is no text (JSON).

    `key` is dotted ("rollout.max_turn"); `nearest` is the known name that was probably meant.
    """

    key: str
    message: str
    line: int = 0
    column: int = 0
    hint: str = ""
    nearest: str = ""

    def sentence(self, name: str = "") -> str:
        """`crafter_rl.toml:14 rollout.max_turn: unknown key, did you mean max_turns? All keys: …`
        `crafter_rl.toml:14 rollout.max_turn: unknown key, did you mean max_turns? All keys: …`"""
        place = f"{name}:{self.line}" if self.line else name
        parts = [part for part in (place, f"{self.key}:" if self.key else "") if part]
        return " ".join([*parts, self.message, *([self.hint] if self.hint else [])])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class ConfigErrors(ConfigError):
    """Every mistake of one config at once. `str()` has a line for each."""

    code = "invalid_config"

    def __init__(self, name: str, mistakes: Sequence[Mistake]) -> None:
        self.name = name
        self.mistakes = sorted(mistakes, key=lambda m: (m.line, m.column, m.key))
        super().__init__("\n".join(mistake.sentence(name) for mistake in self.mistakes))


def dotted(path: Path) -> str:
    """`("stages", "base", "seeds", 3)` → `stages.base.seeds[3]`; odd keys are quoted as in TOML."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        bare = part and all(c.isascii() and (c.isalnum() or c in "_-") for c in part)
        word = part if bare else '"' + _cut(part.replace('"', '\\"')) + '"'
        text += f".{word}" if text else word
    return text


def show(value: Any) -> str:
    """A wrong value for a message: short, on one line, never failing."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return _cut(repr(value))
    except ValueError:  # an integer of more than 4,300 digits
        return "a huge number"


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that looks most like `word`; "" when none comes near."""
    close = difflib.get_close_matches(word[:200].lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else ""


def unknown_key(path: Path, known: Sequence[str], elsewhere: Sequence[str] = ()) -> Mistake:
    """`elsewhere` are dotted keys of other sections that end in the same name."""
    close = nearest(str(path[-1]), known)
    if close:
        message = f"unknown key, did you mean {close}?"
    elif elsewhere:
        message = f"unknown key here, did you mean {elsewhere[0]}?"
        close = elsewhere[0]
    else:
        message = "unknown key."
    return Mistake(dotted(path), message, hint=ALL_KEYS, nearest=close)


def wrong_value(path: Path, error: dict[str, Any]) -> Mistake:
    """One of pydantic's errors, other than an unknown key, in our words."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return Mistake(dotted(path), "is missing and has no default.", hint=ALL_KEYS)
    if kind in ("value_error", "assertion_error"):
        return Mistake(dotted(path), str(context.get("error", error["msg"])))
    found = show(error["input"])
    if kind == "literal_error":
        allowed = str(context["expected"])
        words = [word.strip("'") for word in allowed.replace(" or ", ", ").split(", ")]
        close = nearest(str(error["input"]), words) if isinstance(error["input"], str) else ""
        wish = f", did you mean {close}?" if close else "."
        return Mistake(dotted(path), f"must be {allowed}, not {found}{wish}", nearest=close)
    wish = error["msg"].replace("Input should be ", "must be ", 1)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        wish = "must be a table ([section])"
    if kind in ("list_type", "tuple_type"):
        wish = "must be a list"
    return Mistake(dotted(path), f"{wish[0].lower()}{wish[1:]}, not {found}.")


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
