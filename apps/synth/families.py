"""The same job is asked for under four names: an endpoint is mounted at all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ninja import Router

FAMILIES = ("learning", "sft", "rl", "orchestration")
View = Callable[..., Any]


def on_all(router: Router, method: str, tail: str, **options: Any) -> Callable[[View], View]:
    """Mount an endpoint at `/{family}/jobs{tail}` of every family."""

    def decorate(view: View) -> View:
        for family in FAMILIES:
            router.add_api_operation(
                f"/{family}/jobs{tail}",
                [method],
                view,
                operation_id=f"{family}_{view.__name__}",
                **options,
            )
        return view

    return decorate
