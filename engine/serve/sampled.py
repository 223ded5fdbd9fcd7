"""What every generator of a training shares: messages to token ids, sampled ids to a reply.

Lives here: the two ends of a call. Not here: who samples in between (`direct.py`: this process,
`vllm.py`: a server).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from engine.llm.types import ChatRequest, Reply, ToolCall, Usage
from engine.serve.replies import find_calls


def encode_prompt(tokenizer: PreTrainedTokenizerBase, request: ChatRequest) -> list[int]:
    """The ids that the model is to go on from."""
    text = tokenizer.apply_chat_template(
        request.messages,
        tools=request.tools or None,
        add_generation_prompt=True,
        tokenize=False,
        enable_thinking=False,
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def read_sampled(
    tokenizer: PreTrainedTokenizerBase,
    request: ChatRequest,
    prompt: Sequence[int],
    completion: Sequence[int],
    logprobs: Sequence[float],
    finish_reason: str,
    *,
    stop_ids: frozenset[int],
    model: str,
    queue_ms: float = 0.0,
    model_ms: float = 0.0,
) -> Reply:
    """The reply that these ids say, with the ids themselves."""
    kept = [token for token in completion if token not in stop_ids]
    text = str(tokenizer.decode(kept, skip_special_tokens=True))
    content, found = find_calls(text) if request.tools else (text, [])
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in found
    )
    return Reply(
        content=content,
        tool_calls=calls,
        finish_reason="tool_calls" if calls and finish_reason == "stop" else finish_reason,
        model=model,
        usage=Usage(len(prompt), len(completion)),
        queue_ms=queue_ms,
        model_ms=model_ms,
        prompt_ids=tuple(prompt),
        completion_ids=tuple(completion),
        logprobs=tuple(logprobs),
        pieces=tuple(tokenizer.batch_decode([[token] for token in completion])),
    )


def call_seed(salt: str, key: tuple[int, int, int]) -> int:
    """63 bits decided by salt and key (seed, repeat, turn) alone."""
    digest = hashlib.blake2b(f"{salt}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
