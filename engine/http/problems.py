"""What a task app refuses with: a status and words, in the shape that Synth's clients read.

`{"detail": {"error": {"code", "message", "hint"}}}`; a body whose fields are wrong gets FastAPI's
list of fields as `detail`, without the values, which may hold a key.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from engine.errors import EngineError, ProviderError, StorageError, TaskError


class Problem(EngineError):
    """A request that is not carried out."""

    def __init__(
        self, status: int, code: str, message: str, hint: str = "", *, retry_after_s: int = 0
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status
        self.retry_after_s = retry_after_s


class Json(Response):
    """JSON in ASCII: whatever a model or a client wrote, lone surrogates too, can be sent."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def problem_answer(err: EngineError) -> Json:
    """The answer for an error that was foreseen."""
    error = {"code": err.code, "message": err.message}
    if err.hint:
        error["hint"] = err.hint
    wait_s = err.retry_after_s if isinstance(err, Problem) else 0
    headers = {"Retry-After": str(wait_s)} if wait_s else None
    return Json({"detail": {"error": error}}, status_code=_status(err), headers=headers)


def _status(err: EngineError) -> int:
    if isinstance(err, Problem):
        return err.status
    if isinstance(err, StorageError) or (isinstance(err, TaskError) and err.retryable):
        return 503
    if isinstance(err, ProviderError):
        return 502
    return 422


def fields_answer(err: ValidationError) -> Json:
    """The answer for a body whose fields are missing or of the wrong type."""
    rows = [
        {"type": row["type"], "loc": ["body", *map(str, row["loc"])], "msg": row["msg"]}
        for row in err.errors(include_url=False, include_context=False, include_input=False)
    ]
    return Json({"detail": rows[:20]}, status_code=422)
