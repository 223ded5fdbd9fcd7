"""What goes to a model and what comes back; used by every policy, provider and our own server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model samples. `seed` makes a reply repeatable where the provider supports it."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)  # thinking_mode, thinking_budget, ...


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One model call. `turn_key` (seed, repeat, turn) keys randomness and logs, never content."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    tool_choice: dict[str, Any] | str
    sampling: Sampling
    turn_key: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the model made it; `arguments` is the raw string, valid JSON or not."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer. Token ids and logprobs (natural log, one a sampled token) where known."""

    content: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    model: str
    usage: Usage = Usage()
    queue_ms: float = 0.0  # waiting for a slot: ours plus what the server reports
    model_ms: float = 0.0  # the call itself
    prompt_ids: tuple[int, ...] = ()
    completion_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    pieces: tuple[str, ...] = ()  # what each sampled token says
    n_retries: int = 0


class Policy(Protocol):
    """Whatever chooses the next tool call: random, the guide, a provider, a checkpoint of ours."""

    name: str

    async def reply(self, request: ChatRequest) -> Reply:
        """Answer one turn. Raises ProviderError (after its retries) or Cancelled."""
        ...

    async def close(self) -> None: ...
