"""The tree of errors. A class names the boundary that broke and knows whether trying again helps.

EngineError
├── ConfigError      a config or a run directory that cannot be used   never retryable
├── ProviderError    the model API: transport, status, timeout         retryable by status
├── ReplyError       the model answered, but not what was asked        never retryable
├── TaskError        the game or a remote task app                     retryable by cause
├── StorageError     disk, object store, a hash that does not match    retryable by cause
├── TrainingError    loss exploded, checkpoint unusable                never retryable
├── Cancelled        the run was asked to stop                         never retryable
└── LeaseLost        another attempt owns this shard now               never retryable

A message says where, what was found, what was expected and what to do.
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of all errors that a user may read.

    `code` is stable and machine-readable; `hint` says what to do about it.
    """

    code = "engine_error"
    retryable = False

    def __init__(
        self, message: str, *, hint: str = "", retryable: bool | None = None, code: str = ""
    ) -> None:
        super().__init__(message)
        self.hint = hint
        if retryable is not None:
            self.retryable = retryable
        if code:
            self.code = code

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self)


class ConfigError(EngineError):
    """A config, dataset or run directory that cannot be used as it is."""

    code = "config_error"


class ProviderError(EngineError):
    """The model API failed: no connection, bad status, timeout, unreadable answer.

    `status` is the HTTP status (0 when there was none); `retry_after_s`: as the server asked.
    """

    code = "provider_error"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
        hint: str = "",
        retryable: bool | None = None,
        code: str = "",
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable, code=code)
        self.status = status
        self.retry_after_s = retry_after_s


class ReplyError(EngineError):
    """The model answered, but the answer is no usable tool call.

    `code` is one of: no_call, many_calls, unknown_tool, bad_json, bad_arguments, unknown_action,
    no_actions, too_many_actions, refusal. The message is what the model is told next turn.
    """

    code = "bad_reply"


class TaskError(EngineError):
    """The game or a task app over HTTP broke."""

    code = "task_error"
    retryable = True


class StorageError(EngineError):
    """A file could not be written or read, or is not the one that was announced."""

    code = "storage_error"
    retryable = True


class TrainingError(EngineError):
    """A training that cannot go on: NaN loss, unusable checkpoint, no data."""

    code = "training_error"


class Cancelled(EngineError):
    """The run was asked to stop; what was announced so far is kept."""

    code = "cancelled"


class LeaseLost(EngineError):
    """This attempt's lease ran out or was taken over; its writes are refused from now on."""

    code = "lease_lost"
