"""The starting model: fresh weights that learn the form of a task's calls from random play.

It answers with well-formed tool calls and plays like chance: the weak beginning of every loop. The
same seed gives the same games, tokenizer and, on one machine, the same weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from transformers import PreTrainedTokenizerFast

from engine.errors import ReplyError
from engine.tasks.base import Message, PastCall, Task
from engine.train.tokenizer import make_tokenizer, tool_call_frame

STEPS_PER_GAME = 100
DISTANCES = range(1, 10)


def play_records(
    task: Task, policy: str, seeds: Sequence[int], options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Chat records of a scripted policy's games, STEPS_PER_GAME env steps each."""
    for seed in seeds:
        game, past = task.new_game(seed, options), list[PastCall]()
        while game.n_steps < STEPS_PER_GAME and not game.ending():
            messages = task.messages(game, past)
            call = task.scripted[policy](messages, (seed, 0, len(past)))
            actions = task.read_call(call.name, call.arguments)
            for action in actions:
                if not game.ending():
                    game.step(action)
            past.append(PastCall(tuple(str(a) for a in actions), ""))
            yield chat_record(messages, call.name, call.arguments, task.tools)


def chat_record(
    messages: list[Message], name: str, arguments: dict[str, Any], tools: list[dict[str, Any]]
) -> dict[str, Any]:
    """A training record whose last message is one tool call."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    calls = [{"id": "call_0", "type": "function", "function": function}]
    said = {"role": "assistant", "content": "", "tool_calls": calls}
    return {"messages": [*messages, said], "tools": tools}


def task_tokenizer(task: Task, records: Sequence[dict[str, Any]]) -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each word that the task's prompts and calls are made of.

    Words come from the games, the system prompt and the tools; what random play never meets (a
    diamond, nine steps to the left) is named in the rules or counted out here.
    """
    system = str(records[0]["messages"][0]["content"])
    schema = json.dumps(task.tools)
    names = sorted(set(re.findall(r"[A-Za-z_]+", f"{system} {schema}")))
    texts = [str(record["messages"][-2]["content"]) for record in records]
    texts += [f"{name}\n {name}" for name in names]
    texts += [f'"{name}", "{name}"' for name in names]
    texts += [f" {way} {n}" for way in ("left", "right", "up", "down") for n in DISTANCES]
    texts += [f" {n}" for n in range(100)]
    texts += _refusals(task)
    function = task.tools[0]["function"]
    argument = function["parameters"]["required"][0]
    phrases = [system, f"\nTools: {function['name']}", *tool_call_frame(function["name"], argument)]
    return make_tokenizer(texts, phrases)


def _refusals(task: Task) -> list[str]:
    """What the model is told after a bad call."""
    function = task.tools[0]["function"]
    argument = function["parameters"]["required"][0]
    bad: list[dict[str, Any]] = [{}, {argument: []}, {argument: ["?"]}, {argument: ["do"] * 200}]
    told = []
    for arguments in bad:
        try:
            task.read_call(function["name"], arguments)
        except ReplyError as err:
            told.append(str(err))
    return told
