"""`{% terminal "run" run config %}`: a page's deeds as commands, folded away at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import template

from apps.web.terminal import Command, settings, work

register = template.Library()
PAGES: dict[str, Callable[..., list[Command]]] = {
    name.removeprefix("of_"): function
    for module in (work, settings)
    for name, function in vars(module).items()
    if name.startswith("of_")
}


@register.inclusion_tag("_terminal.html", takes_context=True)
def terminal(context: dict[str, Any], page: str, *subject: Any) -> dict[str, Any]:
    """The commands of a page that the reader's role may use, about `subject`."""
    actor, request = context["actor"], context["request"]
    commands = [each for each in PAGES[page](*subject) if actor.may(each.role)]
    return {"commands": commands, "url": f"{request.scheme}://{request.get_host()}"}
