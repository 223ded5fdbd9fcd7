"""What pages, API and commands refuse with: the same words everywhere."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import EngineError


class Refused(EngineError):
    """A request that is not carried out. `status` is the HTTP status, `fields` name bad inputs.

    code: stable word for machines; message: what happened; hint: what to do about it.
    """

    code = "refused"

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        status: int = 400,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status
        self.fields: dict[str, str] = dict(fields or {})


def not_found(what: str, name: object) -> Refused:
    """The one way to say that something is not there, or not yours: a stranger learns nothing."""
    return Refused("not_found", f"There is no {what} {name} in this project.", status=404)
