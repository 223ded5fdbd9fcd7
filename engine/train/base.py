"""The starting model: fresh weights that learn the form of a task's calls from random play.

It answers with well-formed tool calls and plays (or solves) like chance: the weak beginning of
every loop. The same seed gives the same games, tokenizer and, on one machine, the same weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from transformers import PreTrainedTokenizerFast

from engine.errors import ReplyError
from engine.tasks.base import Message, PastCall, Task
from engine.train.tokenizer import DIGIT_PATTERN, make_tokenizer, tool_call_frame

STEPS_PER_GAME = 100
WORD_SEEDS = range(900_000, 900_030)  # worlds of the guide's games whose words are learned
SHORTEST_PHRASE = 20  # characters that all prompts begin with, to be worth a token
MOST_EQUAL = 8  # equal actions in one call, equal steps told of a way
WAYS = ("left", "right", "up", "down")


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


def task_tokenizer(
    task: Task, records: Sequence[dict[str, Any]], options: dict[str, Any]
) -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each word and fact that prompts and calls are made of.

    Words come from `records` (random play), from some of the guide's games, which get further, from
    the system prompt and the tools. Where a task has named actions, all amounts of what is met and
    runs of steps are counted out; where it has none, answers are spelled, digit by digit.
    """
    system = str(records[0]["messages"][0]["content"])
    names = sorted(set(re.findall(r"[A-Za-z_]+", f"{system} {json.dumps(task.tools)}")))
    texts = [str(record["messages"][-2]["content"]) for record in records]
    if "guide" in task.scripted:
        played = play_records(task, "guide", WORD_SEEDS, options)
        texts += [str(record["messages"][-2]["content"]) for record in played]
    phrases = [system, f"\nTools: {task.tools[0]['function']['name']}", *_frame(task)]
    if not task.actions:
        opening = _common_beginning(texts)
        phrases += [opening] if len(opening) > SHORTEST_PHRASE else []
        return make_tokenizer([*texts, *names, *map(str, range(10))], phrases, DIGIT_PATTERN)
    texts += [*_facts("\n".join(texts)), *_refusals(task)]
    texts += [f"{name}\n{name} {name}" for name in names]
    texts += [_run(name, n) for name in task.actions for n in range(1, MOST_EQUAL + 1)]
    return make_tokenizer(texts, phrases)


def _common_beginning(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    ends = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(ends, min(len(first), len(last)))]


def _frame(task: Task) -> tuple[str, str]:
    """What stands before and after the value in every call of the task's tool."""
    function = task.tools[0]["function"]
    argument = function["parameters"]["required"][0]
    is_list = function["parameters"]["properties"][argument]["type"] == "array"
    return tool_call_frame(function["name"], argument, "[]" if is_list else '""')


def _facts(seen: str) -> list[str]:
    """Every amount of every thing seen, and the ways there are."""
    facts = [f" {way}" * n for way in WAYS for n in range(1, MOST_EQUAL + 1)]
    facts += [f" {n}" for n in range(100)]
    for start, name in sorted(set(re.findall(r"(^|[\n ])([a-z_]+) \d", seen))):
        facts += [f"{start}{name} {n}" for n in range(10)]
    return facts


def _run(name: str, count: int) -> str:
    """`"do", "do"`, once at the beginning of a list and once behind another action."""
    run = ", ".join([f'"{name}"'] * count)
    return f"{run}\n, {run}"


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
