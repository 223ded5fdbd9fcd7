"""How many games a score stands on, and long names that may break where their parts meet.

Other formats are in show.py.
"""

from __future__ import annotations

import re

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

register = template.Library()
_OWNER = re.compile(r"[^:/]+/")
_JOINT = re.compile(r"(?<=[/:_.])(?=\w)")


@register.filter
def games(n: int | None, measure: str) -> str:
    """`1 game`, `6,000 problems`: what a score of this measure was taken from."""
    word = "problem" if measure == "accuracy" else "game"
    return f"{n or 0:,} {word}{'' if n == 1 else 's'}"


@register.filter
def joints(name: str | None) -> SafeString:
    """A long id that may go on in the next line behind `/`, `:`, `_` and `.`, not within a word."""
    parts = ((part,) for part in _JOINT.split(name or ""))
    return format_html_join(SafeString("<wbr>"), "{}", parts)


@register.filter
def ownerless(model: str) -> str:
    """`ft:synthweb/crafter-small:job_1` → `ft:crafter-small:job_1`, where there is room for one."""
    return _OWNER.sub("", model, count=1)
