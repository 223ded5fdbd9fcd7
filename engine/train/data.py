"""Chat records to token ids with the loss on the assistant's tokens only.

Lives here: reading JSONL of `{"messages": [...], "tools": [...]}`, encoding. Batches of them are
made in `batches.py`; what makes such files is `apps/datasets`; training on them is `sft.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from engine.errors import TrainingError

IGNORED = -100  # label of a token that the loss does not count


class Example(NamedTuple):
    """One record: `labels` equals `input_ids` where the assistant speaks, IGNORED elsewhere."""

    input_ids: list[int]
    labels: list[int]
    record: int  # line of the file, from 1


class Piece(NamedTuple):
    """Tokens that show as one text; `learned`: the loss counts them."""

    ids: list[int]
    text: str
    learned: bool


def read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, record) of a JSONL file; empty lines are skipped. O(1) memory.

    Raises TrainingError naming file and line for what is no chat record.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as err:
                raise TrainingError(f"{path.name}:{number}: no JSON: {err.msg}") from err
            messages = record.get("messages") if isinstance(record, dict) else None
            if not isinstance(messages, list) or not messages:
                raise TrainingError(f'{path.name}:{number}: no "messages" list')
            yield number, record


def training_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The chat template with `{% generation %}` around what the assistant says; None: without.

    Our own has the markers; for known families TRL brings one.
    """
    template = tokenizer.chat_template
    if isinstance(template, str) and "generation %}" in template.replace("-%}", "%}"):
        return template
    from trl.chat_template_utils import get_training_chat_template

    try:
        return str(get_training_chat_template(tokenizer) or template)
    except ValueError:
        return None


def encode_records(
    records: Iterable[tuple[int, dict[str, Any]]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> list[Example]:
    """Token ids and labels of each record; one longer than `max_length` loses its beginning.

    Raises TrainingError when there is nothing to learn: no record, or none with assistant tokens.
    About 0.25 ms a record.
    """
    template = training_template(tokenizer)
    encode = partial(_encode_marked, template=template) if template else encode_spoken
    examples = []
    for number, record in records:
        ids, spoken = encode(tokenizer, record)
        ids, spoken = ids[-max_length:], spoken[-max_length:]
        labels = [token if said else IGNORED for token, said in zip(ids, spoken, strict=True)]
        if any(spoken):
            examples.append(Example(ids, labels, number))
    if not examples:
        raise TrainingError("the dataset has no record in which the assistant says something")
    return examples


def _encode_marked(
    tokenizer: PreTrainedTokenizerBase, record: dict[str, Any], *, template: str
) -> tuple[list[int], list[int]]:
    encoded = tokenizer.apply_chat_template(
        record["messages"],
        tools=record.get("tools"),
        chat_template=template,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    return list(encoded["input_ids"]), list(encoded["assistant_masks"])


def encode_spoken(
    tokenizer: PreTrainedTokenizerBase, record: dict[str, Any]
) -> tuple[list[int], list[int]]:
    """The same without marks: what the template adds for an answer behind the prompt for it.

    An answer ends with its stop token; the line break that some templates put behind it is not
    the assistant's. Raises TrainingError for a template that changes what went before.
    """
    messages, tools = record["messages"], record.get("tools")
    render = partial(
        tokenizer.apply_chat_template, tools=tools, tokenize=False, enable_thinking=False
    )
    whole, spans = str(render(messages)), list[tuple[int, int]]()
    for index, message in enumerate(messages):
        if message.get("role") == "assistant":
            start = len(prompt := str(render(messages[:index], add_generation_prompt=True)))
            after = str(render(messages[: index + 1]))
            stop = after.rfind(str(tokenizer.eos_token), start)
            end = stop + len(str(tokenizer.eos_token)) if stop >= 0 else len(after)
            if whole[:start] != prompt or whole[:end] != after[:end]:
                raise TrainingError(
                    "the model's chat template does not tell what the assistant says: it writes "
                    "an answer otherwise than the prompt for it begins",
                    hint="put {% generation %} … {% endgeneration %} around it in "
                    "chat_template.jinja",
                )
            spans.append((start, end))
    encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    spoken = [
        int(any(start <= first and last <= end for start, end in spans) and first < last)
        for first, last in encoded["offset_mapping"]
    ]
    return list(encoded["input_ids"]), spoken


def token_pieces(example: Example, tokenizer: PreTrainedTokenizerBase) -> list[Piece]:
    """The record as the model sees it: its tokens in order, each with its text.

    Tokens that share a character (a piece of UTF-8 each) stand together. The texts, put together,
    are what the tokenizer decodes the whole to.
    """
    pieces: list[Piece] = []
    open_ids: list[int] = []
    for index, (token, label) in enumerate(zip(example.input_ids, example.labels, strict=True)):
        open_ids.append(token)
        text = tokenizer.decode(open_ids, clean_up_tokenization_spaces=False)
        last = index + 1 == len(example.labels)
        learned = label != IGNORED
        turns = last or (example.labels[index + 1] != IGNORED) != learned
        if turns or not text.endswith("\ufffd"):
            pieces.append(Piece(open_ids, text, learned))
            open_ids = []
    return pieces


def split_validation(
    examples: Sequence[Example], share: float = 0.02, limit: int = 256
) -> tuple[list[Example], list[Example]]:
    """(training, validation): every n-th record is held out, `limit` at most, none below 50."""
    if len(examples) < 50:
        return list(examples), []
    every = max(round(1 / share), -(-len(examples) // limit))
    training = [e for i, e in enumerate(examples) if i % every]
    return training, [e for i, e in enumerate(examples) if not i % every]
