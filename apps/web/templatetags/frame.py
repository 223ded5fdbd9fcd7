"""Parts of the frame that are the same for everybody: drawn once, not for every page.

Drawing them anew was a fifth of the time of a page. They are drawn again after a second, so that
an edited style sheet shows without a restart.
"""

from __future__ import annotations

import time
from functools import lru_cache

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def fixed(name: str, section: str = "") -> SafeString:
    """The template `name`, which may depend on nothing but the section of the site."""
    return _draw(name, section, int(time.monotonic()))


@lru_cache(maxsize=128)
def _draw(name: str, section: str, second: int) -> SafeString:
    """`second` only keys the cache."""
    return render_to_string(name, {"section": section})
