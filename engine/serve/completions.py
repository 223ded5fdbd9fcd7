"""One chat completion: the prompt's tokens, the waiting, the text that grows out of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from jinja2 import TemplateError

from engine.errors import EngineError
from engine.serve.batch import Row
from engine.serve.models import LoadedModel
from engine.serve.replies import CALL_START, ChatBody, Finished, chunk, last_chunks
from engine.serve.worker import Ticket, seeded_generator


class BadRequest(EngineError):
    """A request that this model cannot answer."""

    code = "bad_request"


def open_ticket(model: LoadedModel, body: ChatBody) -> Ticket:
    """Queue a request. Raises BadRequest (prompt) or QueueFull. About 0.2 ms."""
    prompt = _encode(model, body)
    room = model.context - len(prompt)
    if room < 1:
        raise BadRequest(
            f"the prompt has {len(prompt)} tokens, {body.model} reads {model.context} at most",
            code="context_length_exceeded",
        )
    row = Row(
        prompt=prompt,
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=min(body.limit, room),
        stop_ids=frozenset() if body.ignore_eos else model.stop_ids,
        generator=seeded_generator(body.seed),
        adapter=model.adapter,
    )
    watched = body.stream or bool(body.stops)
    ticket = Ticket(row, asyncio.get_running_loop(), watched)
    model.worker.submit(ticket)
    return ticket


async def finish(model: LoadedModel, body: ChatBody, ticket: Ticket) -> Finished:
    """Wait for the whole answer. A caller that goes away frees its place in the batch."""
    async for _, done in _grow(model, body, ticket):
        if done is not None:
            return done
    raise RuntimeError("the answer ended without its end")


async def stream(model: LoadedModel, body: ChatBody, ticket: Ticket) -> AsyncIterator[str]:
    """The answer as server-sent events. Text is sent as it comes, a tool call when it is whole."""
    chat_id, sent = f"chatcmpl-{id(ticket):x}", 0
    yield chunk(body, chat_id, {"role": "assistant", "content": ""}, None)
    async for text, done in _grow(model, body, ticket):
        if done is not None:
            decode = partial(_decode_one, model)
            for last in last_chunks(body, chat_id, done, sent, decode):
                yield last
        elif (safe := _sendable(text, body)) > sent:
            yield chunk(body, chat_id, {"content": text[sent:safe]}, None)
            sent = safe


async def _grow(
    model: LoadedModel, body: ChatBody, ticket: Ticket
) -> AsyncIterator[tuple[str, Finished | None]]:
    """(text so far, None) after each token that is watched, then (text, Finished) once."""
    row, seen = ticket.row, 0
    try:
        while (item := await ticket.tokens.get()) is not None:
            if isinstance(item, Exception):
                raise item
            seen += 1
            text = _decode(model, row.completion[:seen])
            found = [text.find(stop) for stop in body.stops if stop in text]
            if found:
                text = text[: min(found)]
                yield text, Finished(text, "stop", ticket)
                return
            yield text, None
        text = _decode(model, row.completion)
        yield text, Finished(text, row.finish_reason, ticket)
    finally:
        ticket.dropped = True


def _sendable(text: str, body: ChatBody) -> int:
    """How much of a growing text is certain: no half character, no beginning of a call or stop."""
    end = len(text.rstrip("\ufffd"))
    marks = [*body.stops, *([CALL_START, "\n" + CALL_START] if body.offered_tools else [])]
    for mark in marks:
        if mark in text[:end]:
            end = text.index(mark)
        for size in range(min(len(mark) - 1, end), 0, -1):
            if text[:end].endswith(mark[:size]):
                end -= size
                break
    return end


def _encode(model: LoadedModel, body: ChatBody) -> list[int]:
    try:
        text = model.tokenizer.apply_chat_template(
            body.messages,
            tools=body.offered_tools or None,
            add_generation_prompt=True,
            tokenize=False,
            enable_thinking=False,
        )
        return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    except (TemplateError, TypeError, KeyError, ValueError) as err:
        raise BadRequest(f"the messages do not fit the model's chat template: {err}") from err


def _decode(model: LoadedModel, ids: list[int]) -> str:
    kept = [token for token in ids if token not in model.stop_ids]
    return str(model.tokenizer.decode(kept, skip_special_tokens=True))


def _decode_one(model: LoadedModel, token: int) -> str:
    return str(model.tokenizer.decode([token]))
