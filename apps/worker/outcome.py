"""What the end of an engine means, in words: from its result event and its exit code."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any, Literal

EXIT_CANCELLED = 4
EXIT_LEASE_LOST = 5

End = Literal["succeeded", "failed", "stopped"]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `error` is {code, message, hint}; stopped: somebody asked it to."""

    end: End
    exit_code: int
    values: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    retryable: bool = False


def judge(
    exit_code: int,
    result: dict[str, Any] | None,
    *,
    asked: bool,
    last_line: str,
    n_lost: int = 0,
) -> Outcome:
    """The outcome of an engine that ended.

    result: the data of its result event, None when it wrote none. asked: we told it to stop or
    killed it. last_line: of its stderr, quoted when there is nothing better. n_lost: games that it
    announced and whose files are not whole.
    """
    if n_lost and result is not None and result.get("ok"):
        message = f"{n_lost} of the games played are lost: their files are missing or torn."
        hint = "Another attempt plays them again; look at the disk of SYNTHWEB_HOME."
        error = {"code": "games_lost", "message": message, "hint": hint}
        return Outcome("failed", exit_code, {}, error, retryable=True)
    if result is not None and result.get("ok"):
        return Outcome("succeeded", exit_code, result.get("values") or {})
    told = (result or {}).get("error") or {}
    if told.get("code") == "cancelled" or exit_code == EXIT_CANCELLED or (asked and not told):
        return Outcome("stopped", exit_code, (result or {}).get("values") or {})
    if told:
        error = {key: str(told.get(key, "")) for key in ("code", "message", "hint")}
        return Outcome("failed", exit_code, {}, error, bool(told.get("retryable")))
    return Outcome("failed", exit_code, {}, _without_result(exit_code, last_line), True)


def _without_result(exit_code: int, last_line: str) -> dict[str, str]:
    """Why an engine ended that could not say so itself."""
    if exit_code == -signal.SIGKILL:
        message = "The engine was killed (signal 9): most likely it ran out of memory."
        hint = "Take a smaller batch or model, fewer episodes at once, or a larger machine."
        return {"code": "killed", "message": message, "hint": hint}
    if exit_code == EXIT_LEASE_LOST:
        message = "The engine stopped by itself because its lease was not renewed in time."
        hint = "The database was away, or the machine slept."
        return {"code": "lease_lost", "message": message, "hint": hint}
    if exit_code < 0:
        message = f"The engine died of signal {-exit_code} ({_signal_name(-exit_code)})."
    else:
        message = f"The engine ended with exit code {exit_code} and without a result."
    if last_line:
        message += f" Its last words: {last_line[:300]}"
    return {"code": "crashed", "message": message, "hint": "The end of its output is in the log."}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
